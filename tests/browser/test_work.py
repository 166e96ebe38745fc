"""What people do on the pages: sign in and out, filter and share, judge issues, answer, keep views.

With and without scripts.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from sqlalchemy import func, select

from consumers.dashboard.tokens import list_tokens, revoke_token
from consumers.record.database import writing
from consumers.record.schema import issue_state, issues, reviews
from shared.stream.broker import connect
from shared.stream.verdicts import read_verdicts
from tests.browser.conftest import sign_in, violations


def state_of(house, issue_id):
    with house.engine.connect() as connection:
        query = select(issue_state).where(issue_state.c.issue_id == issue_id)
        return connection.execute(query).one_or_none()


def test_one_signs_in_lands_where_one_wanted_to_and_signs_out(open_page, house):
    page = open_page("/reviews?theme=staff", token=None)
    page.get_by_label("Token").fill(house.token())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/reviews?theme=staff")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto(f"{house.url}/reviews")
    assert "/sign-in?next=" in page.url
    page.goto(f"{house.url}/sign-in?next=//example.org/")
    page.get_by_label("Token").fill(house.token())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{house.url}/")


def test_a_filtered_list_has_an_address_that_shows_others_the_same(open_page):
    page = open_page("/reviews")
    page.get_by_label("Words").fill("soup")
    page.locator("select[name=business]").select_option("Hotel Linde")
    page.get_by_text("More filters").click()
    page.get_by_label("At most stars").fill("3")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.wait_for_url(re.compile(r"/reviews\?"))
    assert page.url.endswith("/reviews?business=Hotel+Linde&rating_max=3&q=soup")
    found = page.locator("#rows .clip").all_inner_texts()
    assert found and all("soup" in text.lower() for text in found)
    other = open_page(page.url.removeprefix(page.url.split("/reviews")[0]))
    assert other.locator("#rows .clip").all_inner_texts() == found
    other.get_by_role("link", name="Remove words").click()
    other.wait_for_url("**/reviews?business=Hotel+Linde&rating_max=3")
    assert other.locator("#rows .clip").count() > len(found)


def test_pages_of_the_list_follow_each_other_without_gaps(open_page, house):
    page = open_page("/reviews?theme=staff,price,safety,waiting,digital,other")
    seen: list[str] = []
    while True:
        links = page.locator("#rows a:has(.clip)")
        seen += [link.get_attribute("href") for link in links.all()]
        older = page.get_by_role("link", name="Older reviews")
        if not older.count():
            break
        older.click()
        page.wait_for_load_state()
    with house.engine.connect() as connection:
        themes = ("staff", "price", "safety", "waiting", "digital", "other")
        wanted = select(func.count(func.distinct(issues.c.review_id)))
        count = connection.scalar(wanted.where(issues.c.shown == 1, issues.c.theme.in_(themes)))
    assert len(seen) == len(set(seen)) == count > 50


def test_a_view_is_kept_used_and_removed(open_page):
    page = open_page("/reviews?urgency=high")
    page.get_by_label("Name").fill("What <b>burns</b>")
    page.get_by_role("button", name="Save view").click()
    link = page.get_by_role("link", name="What <b>burns</b>")
    link.wait_for()
    page.get_by_role("link", name="Clear all").click()
    page.wait_for_url("**/reviews")
    link.click()
    page.wait_for_url("**/reviews?urgency=high")
    page.get_by_role("button", name="remove the view What").click()
    link.wait_for(state="detached")


def test_ticked_reviews_are_changed_together(open_page, house):
    page = open_page("/reviews?theme=delivery")
    boxes = page.locator("input[name=id]")
    ids = [boxes.nth(n).get_attribute("value") for n in range(2)]
    for n in range(2):
        boxes.nth(n).check()
    page.get_by_label("Status of their issues").select_option("in progress")
    page.get_by_label("Owner").fill("Kim")
    page.get_by_role("button", name="Apply to ticked").click()
    page.get_by_text("In progress, Kim").first.wait_for()
    assert page.url.endswith("/reviews?theme=delivery")
    with house.engine.connect() as connection:
        query = select(issue_state).where(issue_state.c.review_id.in_(ids))
        states = connection.execute(query).all()
    assert {s.review_id for s in states} == set(ids)
    assert {(s.status, s.owner) for s in states} == {("in progress", "Kim")}
    page.get_by_role("button", name="Apply to ticked").click()
    page.get_by_text("Tick the reviews to change first").wait_for()


def test_a_status_is_changed_without_a_reload_and_reaches_history_and_trainer(
    open_page, house, an_issue
):
    page = open_page(f"/reviews/{an_issue.review_id}")
    page.evaluate("window.stayed = true")
    page.locator(f"#status-{an_issue.id}").select_option("not an issue")
    page.locator(f"#owner-{an_issue.id}").fill("Ana <i>")
    page.locator(f"#save-{an_issue.id}").click()
    page.locator(f"#issue-{an_issue.id}").get_by_text("Saved.").wait_for()
    assert page.evaluate("window.stayed")
    history = page.locator("#history-list")
    assert "not an issue" in history.inner_text() and "Ana <i>" in history.inner_text()
    kept = state_of(house, an_issue.id)
    assert (kept.status, kept.owner, kept.updated_by) == ("not an issue", "Ana <i>", "Admin Ana")
    verdict = read_verdicts(connect(house.settings))[an_issue.id]
    assert not verdict.is_issue and verdict.review_id == an_issue.review_id
    assert violations(page) == []
    page.reload()
    assert page.locator(f"#status-{an_issue.id}").input_value() == "not an issue"


def test_a_status_is_changed_without_scripts(open_page, house, an_issue):
    page = open_page(f"/reviews/{an_issue.review_id}", java_script_enabled=False)
    page.locator(f"#status-{an_issue.id}").select_option("done")
    page.locator(f"#save-{an_issue.id}").click()
    page.wait_for_url(f"**/reviews/{an_issue.review_id}#issue-{an_issue.id}")
    assert state_of(house, an_issue.id).status == "done"


def test_a_reader_sees_no_way_to_change_and_a_business_only_its_own(open_page, house, an_issue):
    page = open_page(f"/reviews/{an_issue.review_id}", token=house.token("read"))
    assert page.get_by_role("button", name="Save this issue").count() == 0
    assert page.get_by_role("link", name="Pipeline").count() == 0
    page.goto(f"{house.url}/pipeline")
    page.get_by_role("heading", name="Forbidden").wait_for()
    own = open_page("/reviews", token=house.token("write", "Hotel Linde"))
    assert own.get_by_label("Business").count() == 0
    with house.engine.connect() as connection:
        other = select(reviews.c.id).where(reviews.c.business == "Harbour Grill")
        foreign = connection.scalars(other).first()
    own.goto(f"{house.url}/reviews/{foreign}")
    own.get_by_role("heading", name="Not found").wait_for()
    own.goto(f"{house.url}/?business=Harbour+Grill")
    own.get_by_role("heading", name="Forbidden").wait_for()
    own.goto(f"{house.url}/?period=all")
    assert "Harbour Grill" not in own.content() and "Hotel Linde" in own.content()


def test_a_form_from_another_site_changes_nothing(open_page, house, an_issue):
    page = open_page(f"/reviews/{an_issue.review_id}")
    answer = page.request.post(
        f"{house.url}/issues/{an_issue.id}", form={"status": "done", "csrf_token": "guessed"}
    )
    assert answer.status == 403 and state_of(house, an_issue.id) is None


def test_everything_can_be_done_by_keyboard(open_page, house, an_issue):
    page = open_page("/sign-in", token=None)
    keys = page.keyboard

    def tab_to(wanted: str, most: int = 150) -> None:
        """Tab until the focused element matches; the focus must be seen there."""
        for _ in range(most):
            keys.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", wanted):
                style = "getComputedStyle(document.activeElement)"
                seen = page.evaluate(f"[{style}.outlineStyle, {style}.outlineWidth]")
                assert seen[0] != "none" and seen[1] != "0px", wanted
                return
        raise AssertionError(f"Tab does not reach {wanted}")

    keys.type(house.token())  # the field has the focus
    keys.press("Enter")
    page.wait_for_url(f"{house.url}/")
    tab_to(".skip", 1)
    keys.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(f"{house.url}/")
    tab_to("nav a[href='/reviews']")
    keys.press("Enter")
    page.wait_for_url("**/reviews")
    tab_to("input[name=q]")
    keys.type("soup")
    keys.press("Enter")
    page.wait_for_url("**/reviews?q=soup")
    tab_to("#rows a[href^='/reviews/']")
    keys.press("Enter")
    page.wait_for_url(re.compile(r"/reviews/\w+$"))
    page.goto(f"{house.url}/reviews/{an_issue.review_id}")
    tab_to(f"#status-{an_issue.id}")
    keys.press("ArrowDown")  # open -> in progress
    tab_to(f"#save-{an_issue.id}")
    keys.press("Enter")
    page.locator(f"#issue-{an_issue.id}").get_by_text("Saved.").wait_for()
    assert state_of(house, an_issue.id).status == "in progress"
    focused = page.evaluate("document.activeElement.id")
    assert focused == f"save-{an_issue.id}", "the focus stays where the work is"
    tab_to("#reply-draft")
    keys.press("Enter")
    page.locator("#reply-wait").wait_for()
    house.desk().written()
    page.locator("#reply-text").wait_for()
    tab_to("#reply-approve")
    keys.press("Enter")
    page.locator("#reply").get_by_text("Approved. Copy it").wait_for()
    page.goto(f"{house.url}/")
    tab_to("form[action='/sign-out'] button")
    keys.press("Enter")
    page.wait_for_url("**/sign-in")


def test_a_revoked_token_ends_its_sessions_also_in_a_page_that_is_open(open_page, house, an_issue):
    page = open_page(f"/reviews/{an_issue.review_id}", token=house.token("write"))
    with writing(house.engine) as connection:
        newest = list_tokens(connection)[-1]
        assert revoke_token(connection, newest.id, 0)
    page.locator(f"#status-{an_issue.id}").select_option("done")
    page.locator(f"#save-{an_issue.id}").click()
    page.get_by_role("alert").filter(has_text="Your session is over").wait_for()
    assert page.locator(f"#status-{an_issue.id}").input_value() == "done", "nothing typed is lost"
    assert state_of(house, an_issue.id) is None
    page.goto(f"{house.url}/reviews")
    assert "/sign-in" in page.url
    sign_in(page, house, house.token("read"))
    page.get_by_role("button", name="Sign out").wait_for()


def test_one_business_is_compared_with_itself_before(open_page, house):
    page = open_page("/compare", token=house.token("read", "Hotel Linde"))
    assert page.get_by_role("heading", name="Hotel Linde").count() == 2
    (since, until), (before, end) = (
        [datetime.strptime(day, "%d %b %Y") for day in told.split(" to ")]
        for told in page.locator(".sides section p").all_inner_texts()
    )
    assert end == since - timedelta(1) and until - since == end - before == timedelta(89)
    both = open_page("/compare?left=Hotel+Linde&right=Harbour+Grill&left_since=2026-01-01")
    assert both.get_by_role("heading", name="Harbour Grill").count() == 1
    assert "1 Jan 2026 to" in both.locator(".sides section p").first.inner_text()
