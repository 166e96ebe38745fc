"""Tokens made, shown once and revoked, and how businesses speak: by their pages."""

from __future__ import annotations

from consumers.dashboard.tokens import list_tokens
from consumers.replies.drafts import voice_of
from tests.browser.conftest import sign_in, violations


def accessible(page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], scheme
    page.set_viewport_size({"width": 360, "height": 780})
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_token_is_shown_once_opens_the_pages_and_is_revoked(open_page, house):
    page = open_page("/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Tokens").click()
    page.get_by_label("For whom").fill("<b>Kim</b>")
    page.get_by_role("combobox", name="Business").select_option("Hotel Linde")
    page.get_by_label("Write: ").check()
    page.get_by_role("button", name="Make the token").click()
    secret = page.get_by_label("The new token").input_value()
    assert secret.startswith("bs_") and page.locator("main b").count() == 0
    accessible(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("status").filter(has_text="Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.goto(f"{house.url}/tokens")
    assert secret not in page.content() and page.get_by_label("The new token").count() == 0
    kim = open_page("/", token=secret)
    assert "Hotel Linde" in kim.locator("h1").inner_text()
    assert kim.get_by_role("link", name="Tokens").count() == 0
    kim.goto(f"{house.url}/tokens")
    kim.get_by_role("heading", name="Forbidden").wait_for()
    page.get_by_role("button", name="Revoke the token of <b>Kim</b>").click()
    page.get_by_role("status").filter(has_text="The token was revoked").wait_for()
    kim.goto(f"{house.url}/reviews")
    assert "/sign-in" in kim.url
    accessible(page)


def test_what_cannot_be_made_or_ended_says_why(open_page, house):
    page = open_page("/tokens")
    yours = page.get_by_role("row").filter(has_text="yours")
    assert yours.get_by_role("button").count() == 0
    page.get_by_label("For whom").fill("   ")
    page.get_by_role("button", name="Make the token").click()
    page.get_by_role("alert").filter(has_text="give 1 to 100 characters").wait_for()
    assert violations(page) == []
    identity = yours.locator("code").inner_text()
    form = {"csrf_token": page.locator("input[name=csrf_token]").first.get_attribute("value")}
    answer = page.request.post(f"{house.url}/tokens/{identity}/revoke", form=form)
    assert answer.status == 400 and "you are signed in with this token" in answer.text().lower()
    with house.engine.connect() as connection:
        assert not next(t for t in list_tokens(connection) if t.id == identity).revoked_at


def test_a_business_is_given_a_voice_and_hears_how_it_sounds(open_page, house):
    page = open_page("/voices", token=house.token("write"))
    accessible(page)
    page.get_by_role("link", name="Change the voice of Hotel Linde").click()
    warm = page.locator("#example").inner_text()
    page.get_by_label("Formal: ").check()
    page.get_by_label("Signature").fill("Greta Linde\n<i>Hotel Linde</i>")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("status").filter(has_text="Saved.").wait_for()
    formal = page.locator("#example").inner_text()
    assert formal != warm and formal.endswith("Greta Linde\n<i>Hotel Linde</i>")
    accessible(page)
    with house.engine.connect() as connection:
        kept = voice_of(connection, "Hotel Linde")
    assert (kept.tone, kept.signature) == ("formal", "Greta Linde\n<i>Hotel Linde</i>")


def test_a_voice_that_cannot_be_kept_says_why_and_one_of_another_business_is_out_of_reach(
    open_page, house
):
    page = open_page("/voices", token=house.token("write", "Hotel Linde"))
    assert page.get_by_role("link", name="Change").count() == 1
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Signature").evaluate("node => node.removeAttribute('maxlength')")
    page.get_by_label("Signature").fill("x" * 501)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").filter(has_text="at most 500 characters").wait_for()
    assert page.get_by_label("Signature").input_value() == "x" * 501, "nothing typed is lost"
    page.goto(f"{house.url}/voices/one?business=Harbour+Grill")
    page.get_by_role("heading", name="Forbidden").wait_for()
    sign_in(page, house, house.token("read"))
    page.goto(f"{house.url}/voices")
    page.get_by_role("heading", name="Forbidden").wait_for()
