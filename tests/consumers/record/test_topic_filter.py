"""Reviews of a recurring pain point: found as a plain reading finds them, page by page, within the scope."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import islice

import numpy as np
import pytest
from sqlalchemy import select

from consumers.record import queries
from consumers.record.database import writing
from consumers.record.filters import Filters
from consumers.record.project import apply
from consumers.record.queries import issue_page, review_page
from consumers.record.queries_topics import topics
from consumers.record.schema import issues
from consumers.record.scope import Scope, owner_scope
from consumers.topics.tables import Topic, replace
from shared.errors import InvalidRequest
from tests.consumers.record.filled import NEWEST, filled, synthetic

ALL, ONE = owner_scope(), Scope("reader", business="Hotel Linde")
SOUP = "soup0123456789abcdef"


def told(evidence: str) -> bool:
    return evidence.startswith("The soup")


@pytest.fixture
def linked(database):
    """600 reviews; the issues about the soup are a topic, unsure ones too, as they may become after a run."""
    filled(database, 600)
    with writing(database) as connection:
        rows = connection.execute(select(issues.c.id, issues.c.evidence)).all()
        topic = Topic(
            SOUP, "The soup was cold.", ("soup",), 9, 20000, 20001, np.ones(4, np.float32)
        )
        replace(connection, [topic], ((SOUP, row.id) for row in rows if told(row.evidence)), 0)
    return database


def expected(business: str | None = None) -> list[str]:
    found = [
        review
        for review, analysis in synthetic(600)
        if analysis and analysis.insight and any(told(i.evidence) for i in analysis.insight.issues)
        if business in (None, review.business)
    ]
    found.sort(key=lambda review: (int(review.created_at.timestamp()), review.id), reverse=True)
    return [review.id for review in found]


def by_week() -> tuple[int, ...]:
    """Issues of the last 26 weeks up to the newest shown one, by plain counting."""
    shown = [
        (review.created_at.date(), issue.evidence)
        for review, analysis in synthetic(600)
        if analysis and analysis.insight
        for issue in analysis.insight.issues
    ]
    last = max(day for day, _ in shown)
    ago = Counter((last - day).days // 7 for day, said in shown if told(said))
    return tuple(ago[week] for week in range(25, -1, -1))


@pytest.mark.parametrize("tried", [10_000, 20])
def test_its_reviews_are_walked_without_gaps_while_others_come_in(linked, tried, monkeypatch):
    monkeypatch.setattr(queries, "_TRIED", tried)  # beyond it the query starts from the topic
    seen, cursor, batch = [], None, 1
    while True:
        with linked.connect() as connection:
            page = review_page(connection, ALL, Filters(topic=SOUP), limit=4, cursor=cursor)
        seen += [row.id for row in page.reviews]
        with writing(linked) as connection:
            some = synthetic(3, seed=batch, newest=NEWEST + timedelta(batch))
            apply(connection, list(islice(some, 3)))
        batch += 1
        if (cursor := page.next) is None:
            break
    assert seen == expected() and len(seen) > 10


def test_a_scope_sees_its_own_and_other_filters_hold_of_the_same_issue(linked):
    with linked.connect() as connection:
        mine = review_page(connection, ONE, Filters(topic=SOUP), limit=200).reviews
        assert [row.id for row in mine] == expected("Hotel Linde") != []
        both = issue_page(
            connection, ALL, Filters(topic=SOUP, theme=("digital",)), limit=200
        ).issues
        assert both and all(i.theme == "digital" and told(i.evidence) for i in both)
        assert topics(connection, ALL, SOUP)[0].issues == len(expected())
        assert topics(connection, ONE, SOUP)[0].issues == len(mine)
        assert topics(connection, ALL, "gone") == ()
        (whole,) = topics(connection, ALL)
        assert whole.weeks == by_week() and sum(whole.weeks) > 0
        assert review_page(connection, ALL, Filters(topic="gone")).reviews == ()


def test_sums_refuse_a_topic_that_they_would_ignore():
    with pytest.raises(InvalidRequest, match="topic"):
        Filters(topic=SOUP).only_rollups()
