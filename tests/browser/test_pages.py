"""Every page in a real browser: reachable, without accessibility violations, in both schemes, at 360 px."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select

from consumers.record.schema import issues, reviews
from tests.browser.conftest import violations
from tests.browser.hostile import BUSINESS, TEXTS

PAGES = {
    "overview": "/?period=365d",
    "overview of nothing": "/?period=2001-01-01..2001-01-31",
    "reviews": "/reviews",
    "reviews filtered": "/reviews?theme=staff&urgency=high&rating_min=1",
    "no reviews": "/reviews?q=zzzzzz",
    "bad filter": "/reviews?theme=nonsense",
    "review": "/reviews/{review}",
    "themes": "/themes?period=365d",
    "theme": "/themes/staff?period=365d",
    "theme of nothing": "/themes/staff?period=2001-01-01..2001-01-31",
    "compare": "/compare",
    "compare nothing": "/compare?left_since=2001-01-01&left_until=2001-01-02&right_since=2001-01-01&right_until=2001-01-02",
    "pipeline": "/pipeline",
    "voices": "/voices",
    "voice": "/voices/one?business=Hotel+Linde",
    "tokens": "/tokens",
    "not found": "/reviews/nothing-here",
}


@pytest.fixture
def a_review(house):
    """The id of a review with an issue and a rating."""
    query = select(reviews.c.id).join(issues, issues.c.review_id == reviews.c.id)
    known = query.where(
        issues.c.shown == 1, reviews.c.language == "en", issues.c.action.is_not(None)
    )
    with house.engine.connect() as connection:
        return connection.scalars(known.order_by(reviews.c.id)).first()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_in_both_schemes_and_fits_a_telephone(name, open_page, a_review):
    page = open_page(PAGES[name].format(review=a_review))
    page.locator("#loved a[href^='/loved']").wait_for(state="detached")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], scheme
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.set_viewport_size({"width": 360, "height": 780})
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("h1").count() == 1


def test_the_sign_in_page_is_accessible(open_page):
    page = open_page("/sign-in", token=None)
    assert violations(page) == []
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").filter(has_text="unknown or revoked").wait_for()
    assert violations(page) == []


def test_the_navigation_leads_to_every_page(open_page, house):
    page = open_page("/")
    for name in ("Reviews", "Themes", "Compare", "Voices", "Pipeline", "Tokens", "Overview"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        current = page.get_by_role("navigation", name="Pages").locator("[aria-current=page]")
        current.filter(has_text=name).wait_for()


def test_what_reviews_say_stays_text(open_page, house):
    with house.engine.connect() as connection:
        rows = connection.execute(select(reviews).where(reviews.c.source == "hostile")).all()
    assert len(rows) == len(TEXTS)
    page = open_page("/reviews?source=hostile")
    for row in rows:
        page.goto(f"{house.url}/reviews/{row.id}")
        assert page.locator(".text").evaluate("node => node.textContent") == row.text
        assert page.locator(".text mark").evaluate("n => n.textContent") == row.text[:40]
        assert page.locator("main script, main img, main svg[onload], main b").count() == 0
        assert page.get_by_role("link", name="At its source").count() == 0
        page.set_viewport_size({"width": 360, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto(f"{house.url}/?business={BUSINESS}&period=all")
    assert page.locator("h1").evaluate("node => node.textContent") == BUSINESS
    for path in ("/themes/staff?period=all", "/compare", "/reviews?source=hostile"):
        page.goto(house.url + path)  # `open_page` fails on any dialog or script


def test_charts_can_be_read_as_tables(open_page):
    page = open_page("/?period=365d")
    chart = page.locator("figure", has_text="Reviews by week")
    chart.get_by_text("Numbers").click()
    rows = chart.get_by_role("row")
    assert rows.count() > 50
    drawn = sum(int(t) for t in chart.locator("tbody td").all_text_contents())
    said = page.locator(".lead").inner_text()
    assert drawn == int(re.match(r"[\d,]+", said)[0].replace(",", ""))  # type: ignore[index]


def test_times_are_in_the_readers_zone(open_page, a_review, house):
    with house.engine.connect() as connection:
        seconds = connection.scalar(select(reviews.c.created_at).where(reviews.c.id == a_review))
    shown = {}
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # UTC+14, UTC-11
        page = open_page(f"/reviews/{a_review}", timezone_id=zone)
        node = page.locator(".head time").first
        assert node.get_attribute("datetime")
        shown[zone] = node.inner_text()
    assert shown["Pacific/Kiritimati"] != shown["Pacific/Pago_Pago"] and seconds


def test_how_the_ranking_is_made_shows_on_focus_and_escape_hides_it(open_page):
    page = open_page("/?period=365d")
    tip = page.get_by_role("tooltip").first
    assert not tip.is_visible()
    page.get_by_role("button", name="How this is ranked").focus()
    tip.wait_for()
    assert "mean urgency" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
