"""What people take along from the list, and how it looks where a theme has risen."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta

import pyarrow.parquet
import pytest

from consumers.record.database import writing
from consumers.record.project import apply
from consumers.record.schema import alerts
from shared.review import EMOTIONS, Analysis, Emotions, Insight, Issue, Review
from tests.browser.conftest import violations
from tests.consumers.record.filled import NEWEST


def taken(page, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("link", name=name, exact=True).click()
    with open(waiting.value.path(), "rb") as file:
        return file.read()


def test_the_filtered_list_is_taken_along_in_three_forms(open_page, house):
    page = open_page("/reviews?theme=staff&rating_max=2&business=Hotel+Linde")
    lines = [json.loads(line) for line in taken(page, "JSON lines").decode().splitlines()]
    assert lines and {line["business"] for line in lines} == {"Hotel Linde"}
    assert page.locator("#rows .clip").count() == len(lines)
    rows = list(csv.DictReader(io.StringIO(taken(page, "CSV").decode())))
    assert {row["id"] for row in rows} == {line["id"] for line in lines}
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(taken(page, "Parquet")))
    assert set(table["id"].to_pylist()) == {line["id"] for line in lines}
    scoped = open_page("/reviews", token=house.token("read", "Café Zoë & Söhne"))
    own = [json.loads(line) for line in taken(scoped, "JSON lines").decode().splitlines()]
    assert own and {line["business"] for line in own} == {"Café Zoë & Söhne"}


def test_ticked_reviews_are_taken_along_alone(open_page):
    page = open_page("/reviews?theme=staff")
    boxes = page.locator("input[name=id]")
    ids = {boxes.nth(n).get_attribute("value") for n in (0, 2)}
    for n in (0, 2):
        boxes.nth(n).check()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export ticked").click()
    with open(waiting.value.path(), encoding="utf-8", newline="") as file:
        assert {row["id"] for row in csv.DictReader(file)} == ids
    assert page.url.endswith("/reviews?theme=staff") and boxes.nth(2).is_checked()


@pytest.fixture
def risen(house):
    """A fortnight of quiet weeks, then a week in which every review of a new business speaks of billing."""

    def one(number: int, moment: datetime, bad: bool) -> tuple[Review, Analysis]:
        text = "I was charged twice." if bad else "The friendly staff made it a fine evening."
        review = Review(
            source="risen",
            external_id=f"risen-{number}",
            text=text,
            rating=1 if bad else 5,
            business="Risen",
            created_at=moment,
        )
        issue = Issue(theme="billing", evidence=text, start=0, end=len(text), confidence=0.9)
        insight = Insight(
            issues=(issue,) if bad else (),
            urgency="normal",
            urgency_reason="an issue",
            adapter="a",
            prompt_version="1",
        )
        emotions = Emotions(probabilities=dict.fromkeys(EMOTIONS, 0.1), present=("joy",))
        return review, Analysis(
            review_id=review.id, emotions=emotions, insight=insight, analysed_at=moment
        )

    pairs = [
        one(week * 20 + n, NEWEST - timedelta(days=week * 7 + 1 + n % 5), week == 0 and n < 12)
        for week in range(9)
        for n in range(20)
    ]
    with writing(house.engine) as connection:
        apply(connection, pairs)


def test_a_theme_that_has_risen_is_told_with_its_test(open_page, risen):
    page = open_page("/?business=Risen")
    section = page.get_by_role("region", name="Risen beyond chance")
    section.get_by_text("Billing: 12 issues in the 7 days").wait_for()
    assert "Benjamini-Hochberg" in section.inner_text()
    assert violations(page) == []
    section.get_by_role("link", name="See billing").click()
    page.get_by_role("heading", name="Billing at Risen").wait_for()
    page.get_by_text("Billing: 12 issues in the 7 days").wait_for()
    assert violations(page) == []


def test_what_customers_love_comes_after_the_page_and_without_scripts_by_a_link(open_page, risen):
    page = open_page("/?business=Risen")
    section = page.get_by_role("region", name="What customers love")
    section.get_by_text("Friendly staff", exact=True).wait_for()
    section.get_by_role("listitem").first.get_by_role("link").click()
    page.locator(".text").wait_for()
    plain = open_page("/?business=Risen", java_script_enabled=False)
    plain.get_by_role("link", name="Read it from the reviews").click()
    plain.get_by_role("heading", name="What customers love", level=1).wait_for()
    plain.get_by_text("Friendly staff", exact=True).wait_for()


def test_the_overview_is_taken_along_as_a_report(open_page, risen):
    page = open_page("/?business=Risen")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="as a report to print").click()
    name = waiting.value.suggested_filename
    with open(waiting.value.path(), "rb") as file:
        assert name.startswith("report-2026-") and file.read(5) == b"%PDF-"
    assert b"Risen" in taken(page, "HTML")


def test_an_alert_waits_on_the_overview_until_it_was_seen(open_page, house, risen):
    row = {"rule": "billing", "business": "Risen", "text": "<b>Twelve</b> in a week"}
    with writing(house.engine) as connection:
        connection.execute(alerts.insert().values(id="risen-1", raised_at=1_790_000_000, **row))
    reader = open_page("/?business=Risen", token=house.token("read"))
    reader.get_by_role("region", name="Alerts").get_by_text("<b>Twelve</b>").wait_for()
    assert reader.get_by_role("button", name="Seen").count() == 0
    other = open_page("/", token=house.token("read", "Hotel Linde"))
    assert other.get_by_role("region", name="Alerts").count() == 0
    nothing = open_page("/?business=Risen&period=2001-01-01..2001-01-31")
    nothing.get_by_role("region", name="Alerts").wait_for()
    page = open_page("/?business=Risen")
    assert violations(page) == []
    page.get_by_role("button", name="Seen").click()
    page.get_by_role("region", name="Alerts").wait_for(state="detached")
    assert page.url.endswith("/?business=Risen&period=30d")
