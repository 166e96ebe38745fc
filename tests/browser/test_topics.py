"""A recurring pain point leads to its reviews by an address that can be shared; an excerpt says that it is one."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from sqlalchemy import select

from consumers.record.database import writing
from consumers.record.project import apply
from consumers.record.schema import issues, reviews
from consumers.topics.tables import Topic, replace
from shared.review import Review
from tests.browser.conftest import violations
from tests.consumers.record.filled import NEWEST

SOUP = "0123456789abcdef0123"
NAME = "The soup <b>comes</b> cold."
WARNING = "excerpt: the platform shows only the beginning"


@pytest.fixture(scope="module")
def soup(house):
    """The ids of the reviews whose shown issue is about the soup, which is a topic."""
    with writing(house.engine) as connection:
        about = issues.c.evidence.like("The soup%")
        rows = connection.execute(
            select(issues.c.id, issues.c.review_id, issues.c.shown).where(about)
        ).all()
        topic = Topic(SOUP, NAME, ("soup", "cold"), len(rows), 20000, 20400, np.ones(4, np.float32))
        replace(connection, [topic], ((SOUP, row.id) for row in rows), 0)
    return {row.review_id for row in rows if row.shown}


def test_a_pain_point_leads_to_its_reviews_by_an_address_that_can_be_shared(open_page, soup, house):
    page = open_page("/themes?period=all")
    page.get_by_role("region", name="Recurring pain points").get_by_role("link", name=NAME).click()
    page.wait_for_url(f"**/reviews?topic={SOUP}")
    page.locator(".lead").filter(has_text=NAME).wait_for()
    assert violations(page) == []
    links = page.locator("#rows a:has(.clip)")
    found = {link.get_attribute("href").rsplit("/", 1)[1] for link in links.all()}
    assert found == soup
    page.locator("select[name=business]").select_option("Hotel Linde")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.wait_for_url(re.compile(rf"business=Hotel\+Linde&topic={SOUP}"))
    other = open_page(page.url.removeprefix(house.url), token=house.token("read"))
    shown = other.locator("#rows a:has(.clip)").count()
    assert 0 < shown < len(soup) and other.get_by_text("Hotel Linde").count() >= 1
    with other.expect_download() as waiting:
        other.get_by_role("link", name="JSON lines").click()
    with open(waiting.value.path()) as file:
        assert len({json.loads(line)["id"] for line in file}) == shown
    other.get_by_role("link", name="Remove pain point").click()
    other.wait_for_url("**/reviews?business=Hotel+Linde")


def test_a_reader_of_one_business_gets_its_own_words_and_a_pain_point_that_is_gone_says_so(
    open_page, soup, house
):
    page = open_page(f"/reviews?topic={SOUP}", token=house.token("read", "Harbour Grill"))
    lead = page.locator(".lead").inner_text()
    assert "The soup" in lead and NAME not in page.content()
    page.goto(f"{house.url}/reviews?topic=gone")
    page.get_by_role("heading", name="No review fits").wait_for()
    page.get_by_text("no longer found among the reviews").wait_for()
    assert violations(page) == []
    page.goto(f"{house.url}/reviews?topic=%3Cscript%3E")
    page.get_by_role("alert").filter(has_text="topic: ").wait_for()


def test_an_excerpt_says_that_it_is_one(open_page, house):
    begun = Review(
        source="yelp",
        external_id="begun",
        text="The chowder was the best that we...",
        excerpt=True,
        business="Harbour Grill",
        created_at=NEWEST,
    )
    with writing(house.engine) as connection:
        apply(connection, [(begun, None)])
    page = open_page("/reviews?source=yelp")
    page.locator("#rows").get_by_text(WARNING).wait_for()
    assert violations(page) == []
    page.locator("#rows a:has(.clip)").click()
    page.locator(".head").get_by_text(WARNING).wait_for()
    secret = house.token("read")
    headers = {"Authorization": f"Bearer {secret}"}
    listed = page.request.get(f"{house.url}/v1/reviews?source=yelp", headers=headers).json()
    one = page.request.get(f"{house.url}/v1/reviews/{begun.id}", headers=headers).json()
    assert [row["excerpt"] for row in listed["reviews"]] == [one["excerpt"]] == [True]
    with house.engine.connect() as connection:
        whole = connection.scalars(select(reviews.c.id).where(reviews.c.excerpt == 0)).first()
    page.goto(f"{house.url}/reviews/{whole}")
    page.locator(".text").wait_for()
    assert page.get_by_text(WARNING).count() == 0
