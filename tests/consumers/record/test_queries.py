"""Queries beside a plain reading of the same reviews, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest

from consumers.record.database import writing
from consumers.record.filters import Filters
from consumers.record.periods import Period
from consumers.record.project import apply
from consumers.record.queries import issue_page, review_detail, review_page
from consumers.record.queries_first import HALF_LIFE_DAYS, first
from consumers.record.queries_summary import compare, summary
from consumers.record.queries_themes import meta, theme_detail
from consumers.record.schema import issue_state
from consumers.record.scope import Scope, owner_scope
from shared.errors import Forbidden
from tests.consumers.record.filled import NEWEST, filled, synthetic

COUNT = 600
ALL = owner_scope()
ONE = Scope("reader", business="Hotel Linde")
TODAY = NEWEST.date()
PAIRS = list(synthetic(COUNT))


def shown(pair):  # type: ignore[no-untyped-def]
    return pair[1].insight.issues if pair[1] and pair[1].insight else ()


def expected(fits):  # type: ignore[no-untyped-def]
    found = [review for review, analysis in PAIRS if fits(review, analysis)]
    key = lambda review: (int(review.created_at.timestamp()), review.id)  # noqa: E731
    return [review.id for review in sorted(found, key=key, reverse=True)]


def walked(connection, scope, filters, limit=37):  # type: ignore[no-untyped-def]
    out, cursor = [], None
    while True:
        page = review_page(connection, scope, filters, limit=limit, cursor=cursor)
        out += [row.id for row in page.reviews]
        if (cursor := page.next) is None:
            return out


CASES = [
    ({}, lambda r, a: True),
    ({"business": "Harbour Grill"}, lambda r, a: r.business == "Harbour Grill"),
    ({"source": ("google", "csv")}, lambda r, a: r.source in ("google", "csv")),
    ({"category": ("food",)}, lambda r, a: r.category == "food"),
    ({"language": ("de",)}, lambda r, a: r.language == "de"),
    ({"rating": (5,)}, lambda r, a: r.rating in (4.5, 5)),
    ({"rating_min": 2.0, "rating_max": 4.0}, lambda r, a: r.rating and 2 <= r.rating <= 4),
    ({"emotion": ("anger", "joy")}, lambda r, a: a and {"anger", "joy"} & set(a.emotions.present)),
    ({"theme": ("staff", "price")}, lambda r, a: any(i.theme in ("staff", "price") for i in shown((r, a)))),
    ({"min_confidence": 0.7}, lambda r, a: any((i.confidence or 0) >= 0.7 for i in shown((r, a)))),
    ({"urgency": ("high",)}, lambda r, a: a and a.insight and a.insight.urgency == "high"),
    ({"status": ("open",)}, lambda r, a: bool(shown((r, a)))),
    ({"status": ("done",)}, lambda r, a: False),
    ({"state": "waiting"}, lambda r, a: a is None),
    ({"state": "analysed"}, lambda r, a: a is not None),
    ({"since": date(2026, 5, 3), "until": date(2026, 6, 4)}, lambda r, a: date(2026, 5, 3) <= r.created_at.date() <= date(2026, 6, 4)),
    ({"q": "soup COLD"}, lambda r, a: "soup" in r.text and "cold" in r.text),
    ({"theme": ("staff",), "min_confidence": 0.5, "business": "Hotel Linde"},
     lambda r, a: r.business == "Hotel Linde" and any(i.theme == "staff" and i.confidence >= 0.5 for i in shown((r, a)))),
]  # fmt: skip


def test_each_filter_finds_what_a_plain_reading_finds_in_the_same_order(database):
    filled(database, COUNT)
    with database.connect() as connection:
        for filters, fits in CASES:
            assert walked(connection, ALL, Filters(**filters)) == expected(fits), filters
            inside = expected(lambda r, a, fits=fits: fits(r, a) and r.business == "Hotel Linde")
            if filters.get("business") in (None, "Hotel Linde"):
                assert walked(connection, ONE, Filters(**filters)) == inside, filters


def test_pages_stay_stable_while_reviews_come_in(database):
    filled(database, 200)
    before = set(expected_ids(database))
    seen, cursor, batch = [], None, 1
    while True:
        with database.connect() as connection:
            page = review_page(connection, ALL, Filters(), limit=15, cursor=cursor)
        seen += [row.id for row in page.reviews]
        with writing(database) as connection:  # newer, older and between
            apply(connection, list(synthetic(5, seed=batch, newest=NEWEST + timedelta(batch))))
        batch += 1
        if (cursor := page.next) is None:
            break
    assert len(seen) == len(set(seen)), "a review came twice"
    assert before <= set(seen), "a review was passed over"


def expected_ids(database):  # type: ignore[no-untyped-def]
    with database.connect() as connection:
        return walked(connection, ALL, Filters())


def test_issues_are_those_of_the_reviews_that_fit_and_a_status_moves_them(database):
    filled(database, COUNT)
    fitting = [(r.id, i.evidence) for r, a in PAIRS for i in shown((r, a)) if r.rating == 2]
    with writing(database) as connection:
        found = issue_page(connection, ALL, Filters(rating=(2,)), limit=200).issues
        assert Counter((i.review_id, i.evidence) for i in found) == Counter(fitting)
        row = {"issue_id": found[0].id, "review_id": found[0].review_id, "status": "done"}
        connection.execute(issue_state.insert().values(**row, updated_at=0, updated_by="x"))
        done = issue_page(connection, ALL, Filters(status=("done",))).issues
        assert [issue.id for issue in done] == [found[0].id] and done[0].status == "done"
        still_open = issue_page(connection, ALL, Filters(rating=(2,), status=("open",)), limit=200)
        assert len(still_open.issues) == len(found) - 1
        assert walked(connection, ALL, Filters(status=("done",))) == [found[0].review_id]


def test_one_review_is_all_that_was_stored_and_another_businesss_is_not_there(database):
    filled(database, COUNT)
    review, analysis = next(p for p in PAIRS if shown(p) and p[0].business == "Harbour Grill")
    with database.connect() as connection:
        assert review_detail(connection, ONE, review.id) is None
        found = review_detail(connection, ALL, review.id)
    assert found is not None and analysis is not None
    assert (found.text, found.rating, found.version) == (review.text, review.rating, review.version)
    assert [(i.theme, i.evidence) for i in found.issues] == [
        (i.theme, i.evidence) for i in shown((review, analysis))
    ]
    assert list(found.emotions) == sorted(
        found.emotions, key=lambda e: -analysis.emotions.probabilities[e]
    )
    assert set(found.emotions) == set(analysis.emotions.present)


@pytest.mark.parametrize("since", [date(2026, 10, 1), date(2025, 1, 1)])
def test_the_summary_counts_what_a_plain_reading_counts(database, since):
    filled(database, COUNT)
    period = Period(since, TODAY)
    with database.connect() as connection:
        found = summary(connection, ALL, Filters(since=since, until=TODAY), TODAY)
    inside = [p for p in PAIRS if since <= p[0].created_at.date() <= TODAY]
    rated = [r.rating for r, _ in inside if r.rating is not None]
    assert found.reviews == len(inside) == sum(point.reviews for point in found.trend)
    assert found.waiting == sum(a is None for _, a in inside)
    assert found.mean_rating == pytest.approx(sum(rated) / len(rated))
    themes = Counter(i.theme for p in inside for i in shown(p))
    assert {t.theme: t.issues for t in found.themes if t.issues} == themes
    felt = Counter(e for _, a in inside if a for e in a.emotions.present)
    assert found.emotions == felt
    urgent = Counter(a.insight.urgency for _, a in inside if a and a.insight)
    assert {u: n for u, n in found.urgency.items() if n} == urgent
    before = [p for p in PAIRS if period.before.since <= p[0].created_at.date() < since]
    assert found.reviews_before == len(before)


def test_what_to_do_first_is_frequency_times_urgency_times_recency(database):
    filled(database, COUNT)
    period = Period(TODAY - timedelta(59), TODAY)
    weights = {"low": 1, "normal": 2, "high": 4}
    scores: Counter[str] = Counter()
    for review, analysis in PAIRS:
        if period.since <= review.created_at.date() <= period.until:
            for issue in shown((review, analysis)):
                age = (TODAY - review.created_at.date()).days
                scores[issue.theme] += weights[analysis.insight.urgency] * 0.5 ** (  # type: ignore[union-attr, assignment]
                    age / HALF_LIFE_DAYS
                )
    with writing(database) as connection:
        found = first(connection, ALL, Filters(), period)
        wanted = sorted(scores, key=lambda t: -scores[t])[:5]
        assert [one.theme for one in found] == wanted
        for one in found:
            assert one.score == pytest.approx(scores[one.theme], abs=0.001)
            product = one.issues * one.mean_urgency * one.mean_recency
            assert product == pytest.approx(one.score, rel=0.01)
        # What people settled does not count.
        fitting = Filters(theme=(found[0].theme,), since=period.since, until=period.until)
        for issue in issue_page(connection, ALL, fitting, limit=200).issues:
            row = {"issue_id": issue.id, "review_id": issue.review_id, "status": "not an issue"}
            connection.execute(issue_state.insert().values(**row, updated_at=0, updated_by="x"))
        after = first(connection, ALL, Filters(), period)
        assert found[0].theme not in [one.theme for one in after]
        assert [one.theme for one in after][:4] == wanted[1:]


def test_a_theme_is_compared_over_businesses_and_a_scope_sees_its_own_only(database):
    filled(database, COUNT)
    since = date(2025, 1, 1)
    asked = Filters(since=since, until=TODAY)
    with database.connect() as connection:
        whole = theme_detail(connection, ALL, "staff", asked, TODAY)
        mine = theme_detail(connection, ONE, "staff", asked, TODAY)
    counts = Counter(
        r.business or None
        for r, a in PAIRS
        for i in shown((r, a))
        if i.theme == "staff" and r.created_at.date() >= since
    )
    assert {b.business: b.issues for b in whole.businesses} == counts
    assert sum(point.issues for point in whole.trend) == whole.count.issues == counts.total()
    assert [b.business for b in mine.businesses] == ["Hotel Linde"]
    assert {quote.business for quote in mine.quotes} == {"Hotel Linde"}


def test_two_businesses_stand_side_by_side(database):
    filled(database, COUNT)
    sides = [Filters(business=b, since=date(2025, 1, 1)) for b in ("Harbour Grill", "Hotel Linde")]
    with database.connect() as connection:
        found = compare(connection, ALL, *sides, TODAY)
        with pytest.raises(Forbidden):
            compare(connection, ONE, *sides, TODAY)
    assert (found.left.business, found.right.business) == ("Harbour Grill", "Hotel Linde")
    for theme in found.themes:
        if theme.ratio and theme.left and theme.right:
            assert theme.ratio.low < theme.ratio.estimate < theme.ratio.high


def test_a_record_without_reviews_answers_too(database):
    with database.connect() as connection:
        assert review_page(connection, ALL, Filters()).reviews == ()
        empty = summary(connection, ALL, Filters(), TODAY)
        assert (empty.reviews, empty.mean_rating, empty.first) == (0, None, ())
        assert empty.until == TODAY and len(empty.trend) == 30
        assert meta(connection, ALL).first_day is None
        assert theme_detail(connection, ALL, "staff", Filters(), TODAY).count.issues == 0


def test_what_there_is_to_filter_by_ends_at_the_scope(database):
    filled(database, 300)
    with database.connect() as connection:
        whole, mine = meta(connection, ALL), meta(connection, ONE)
    assert len(whole.businesses) == 5 and whole.reviews == 300
    assert [b.name for b in mine.businesses] == ["Hotel Linde"] and mine.categories == ("lodging",)
    days = [r.created_at.date() for r, _ in synthetic(300)]
    assert (whole.first_day, whole.last_day) == (min(days), max(days))
