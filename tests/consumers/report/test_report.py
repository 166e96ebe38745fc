"""The report says what the record holds, in every form, the same each time."""

from __future__ import annotations

import re
import subprocess
from datetime import date, timedelta
from html.parser import HTMLParser

import pypdfium2
import pytest
from sqlalchemy import Engine, insert

from consumers.record.database import open_database, writing
from consumers.record.filters import Filters
from consumers.record.schema import issue_state, issues
from consumers.record.scope import Scope, owner_scope
from consumers.report.commands import rendered
from consumers.report.gather import Report, gather
from consumers.report.html import html
from consumers.report.markdown import markdown
from consumers.report.view import view_of
from shared.errors import Forbidden
from tests.consumers.record.conftest import database, postgresql, record_settings  # noqa: F401
from tests.consumers.report.filled import NEWEST, happy, restaurant, review, unhappy, write

UNTIL = NEWEST.date()
GRILL = Filters(business="Harbour Grill")


def report(
    engine: Engine, filters: Filters = GRILL, scope: Scope | None = None, days: int = 30
) -> Report:
    with engine.connect() as connection:
        return gather(connection, scope or owner_scope(), filters, UNTIL, days=days)


@pytest.fixture
def grill(settings):
    return restaurant(open_database(settings))


def pdf_text(content: bytes) -> tuple[int, str]:
    """Pages, and their text with single blanks."""
    document = pypdfium2.PdfDocument(content)
    text = " ".join(page.get_textpage().get_text_range() for page in document)
    return len(document), " ".join(text.split())


def test_it_says_what_hurts_what_to_do_what_is_loved_and_what_rises(database):  # noqa: F811
    found = report(restaurant(database))
    assert found.period.days == 30 and found.period.until == UNTIL
    first, second = found.pains
    assert first.count.theme == "waiting" and second.count.theme == "price"
    assert first.count.issues >= 40 and first.count.change and first.count.change.low > 1
    todo = found.summary.first[0]
    assert todo.action == "Send a second cook to the pass on Fridays." and todo.mean_urgency == 4
    assert {one.phrase for one in found.loved} == {"friendly staff", "fresh fish", "lovely terrace"}
    assert all("staff" in x.quote for x in found.loved if x.phrase == "friendly staff")
    assert [(s.kind, s.key) for s in found.spikes] == [("theme", "waiting")]
    assert [e.emotion for e in found.emotions] == ["joy", "love", "annoyance"]
    assert sum(found.summary.ratings.values()) == found.summary.reviews


@pytest.mark.parametrize("form", [".html", ".md", ".pdf"])
def test_every_form_shows_all_of_it_and_two_runs_give_the_same_bytes(grill, form):
    content = rendered(report(grill), form)
    assert content == rendered(report(grill), form)
    text = pdf_text(content)[1] if form == ".pdf" else plain(content.decode(), form)
    for said in (
        "Harbour Grill",
        "2 to 31 October 2026",
        "Send a second cook to the pass on Fridays.",
        "Waiting times",
        "Most often: The customer waited far too long",
        "“We waited fifty minutes for our soup”",
        "friendly staff",
        "annoyance",
        "exact conditional",
        "Method and limits",
    ):
        assert said in text, said


def plain(text: str, form: str) -> str:
    """What a reader sees: without tags, or without Markdown's backslashes."""
    if form == ".md":
        return re.sub(r"\\(.)", r"\1", text)
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_data = seen.append  # type: ignore[method-assign]
    parser.feed(text)
    return " ".join(" ".join(seen).split())


def test_html_fetches_nothing_and_prints_on_two_pages(grill, tmp_path):
    page = html(report(grill))
    assert not re.search(r"(?:src|href)\s*=|@import|url\(", page)
    (tmp_path / "r.html").write_text(page)
    command = ["chromium", "--headless", "--no-sandbox", "--no-pdf-header-footer"]
    try:
        subprocess.run(
            [*command, f"--print-to-pdf={tmp_path}/r.pdf", (tmp_path / "r.html").as_uri()],
            check=True,
            capture_output=True,
            timeout=120,
        )
    except FileNotFoundError:
        pytest.skip("needs chromium")
    assert pdf_text((tmp_path / "r.pdf").read_bytes())[0] <= 2
    assert pdf_text(rendered(report(grill), ".pdf"))[0] <= 2


def test_customers_words_stay_text(settings):
    engine = open_database(settings)
    quote = '<script>alert(1)</script> [x](javascript:y) *bold* | `c` ‮ <img src=x onerror="z">'
    one = review("x", f"{quote} and more", 1, NEWEST, business="<b>A & B</b>")
    write(engine, [unhappy(one, "waiting", quote=quote)])
    found = report(engine, Filters(business="<b>A & B</b>"))
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _: tags.append(tag)  # type: ignore[method-assign,assignment]
    parser.feed(html(found))
    assert not {"script", "img", "b>"} & set(tags) and "alert(1)" in plain(html(found), ".html")
    assert "\\<script\\>" in markdown(found) and "\\[x\\](javascript" in markdown(found)
    assert "<b>A & B</b>" in pdf_text(rendered(found, ".pdf"))[1]


def test_signs_without_a_glyph_do_not_break_the_pdf(settings):
    engine = open_database(settings)
    quote = "待ち時間が長い and Zażółć, Ελλάδα, Привет 😡😡"
    one = review("x", quote, 1, NEWEST)
    write(engine, [unhappy(one, "waiting", quote=quote)])
    text = pdf_text(rendered(report(engine), ".pdf"))[1]
    assert "[…] and Zażółć, Ελλάδα, Привет […]" in text
    assert "待ち時間が長い" in html(report(engine))


def test_an_empty_record_says_how_to_fill_it_and_an_empty_period_what_there_is(settings):
    engine = open_database(settings)
    for form in (".html", ".md", ".pdf"):
        assert b"" != rendered(report(engine), form)
    assert "beyond backfill" in markdown(report(engine))
    restaurant(engine)
    nobody = markdown(report(engine, Filters(business="Nobody")))
    assert "Harbour Grill (390)" in nobody and "2026" in nobody and "What hurts" not in nobody


def test_only_happy_reviews_and_reviews_without_stars_or_analysis_make_a_report(settings):
    engine = open_database(settings)
    write(engine, [happy(review(f"h{n}", "Lovely terrace here.", None, NEWEST)) for n in range(5)])
    with writing(engine) as connection:
        from consumers.record.project import apply

        apply(connection, [(review("w", "Waiting for its analysis.", 1, NEWEST), None)])
    found = report(engine)
    text = markdown(found)
    assert "No complaint was found" in text and "lovely terrace" in text
    assert text.count("6 reviews") == 1 and "Not analysed yet: 1 review." in text
    for form in (".html", ".pdf"):
        assert rendered(found, form)


def test_settled_issues_are_not_what_to_do_first(grill):
    with writing(grill) as connection:
        ids = connection.execute(
            issues.select()
            .with_only_columns(issues.c.id, issues.c.review_id)
            .where(issues.c.theme == "waiting")
        ).all()
        state = {"status": "done", "owner": "", "note": "", "updated_at": 0, "updated_by": "ann"}
        rows = [{"issue_id": i, "review_id": r, **state} for i, r in ids]
        connection.execute(insert(issue_state), rows)
    assert [first.theme for first in report(grill).summary.first] == ["price"]


def test_a_scope_sees_its_business_only(grill):
    write(grill, [happy(review("o", "Lovely view.", 5, NEWEST, business="Hotel Linde"))])
    scope = Scope("reader", business="Hotel Linde")
    assert report(grill, Filters(), scope).summary.reviews == 1
    empty = report(grill, Filters(until=UNTIL - timedelta(300)), scope)
    assert "Harbour" not in markdown(empty)
    with pytest.raises(Forbidden):
        report(grill, GRILL, scope)


def test_long_periods_are_drawn_in_few_points_that_keep_their_sums(grill):
    found = report(grill, days=300)
    view = view_of(found)
    assert len(view.trend) <= 31 and "in 2 weeks" in view.legend
    assert sum(point.reviews for point in view.trend) == found.summary.reviews
    assert all(len(pain.trend) <= 15 for pain in view.pains)
    assert sum(view.pains[0].trend) == found.pains[0].count.issues


def test_the_command_writes_each_form_and_says_what_is_wrong(processes, settings):
    restaurant(open_database(settings))
    for name in ("r.html", "r.md", "r.pdf"):
        file = settings.home / name
        done = processes.run("report", "--since", "4w", "--until", "2026-10-31", "-o", str(file))
        assert done.returncode == 0, done.stderr
        first = file.read_bytes()
        processes.run("report", "--since", "4w", "--until", "2026-10-31", "-o", str(file))
        assert file.read_bytes() == first
    printed = processes.run("report", "--since", "2026-10-01", "-o", "-").stdout
    assert printed.startswith("# All businesses") and "1 to 31 October 2026" in printed
    for wrong, told in (
        (["--since", "soon"], "--since 'soon': give days"),
        (["-o", "r.doc"], "end the name with .html"),
        (["--until", "31.10.2026"], "until"),
        (["-o", "/nowhere/r.md"], "cannot be written"),
        (["--schedule", "daily", "--to", "x"], "alerts.toml"),
    ):
        done = processes.run("report", *wrong)
        assert done.returncode == 2 and told in done.stderr, done.stderr


def test_days_are_named_once():
    from consumers.report.words import days

    assert days(date(2026, 10, 1), date(2026, 10, 31)) == "1 to 31 October 2026"
    assert days(date(2026, 9, 30), date(2026, 10, 1)) == "30 September to 1 October 2026"
    assert days(date(2025, 12, 31), date(2026, 1, 1)) == "31 December 2025 to 1 January 2026"
    assert days(date(2026, 1, 1), date(2026, 1, 1)) == "1 January 2026"
