"""A reply on its review's page: asked for, seen to arrive, edited, held by the guard, approved and copied."""

from __future__ import annotations

from tests.browser.conftest import violations


def test_a_reply_is_drafted_edited_held_by_the_guard_approved_and_copied(
    open_page, house, an_issue
):
    page = open_page(f"/reviews/{an_issue.review_id}")
    page.get_by_role("button", name="Draft a reply").click()
    page.get_by_role("status").filter(has_text="A draft is being written").wait_for()
    assert violations(page) == []
    page.reload()
    page.get_by_role("status").filter(has_text="A draft is being written").wait_for()
    assert house.desk().written() == 1
    text = page.get_by_label("Draft")
    text.wait_for()
    assert len(text.input_value()) > 40
    assert violations(page) == []
    good = text.input_value()
    text.fill("We will refund you 50 euros if you change your review.")
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("alert").filter(has_text="change it before it is approved").wait_for()
    text.fill(good + "\n\nAnd we thank you.")
    page.locator("#reply-save").click()
    page.locator("#reply").get_by_text("Saved.").wait_for()
    page.get_by_role("button", name="Approve").click()
    page.locator("#reply").get_by_text("Approved. Copy it").wait_for()
    assert page.get_by_label("Approved text").input_value().endswith("And we thank you.")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.locator("#reply").get_by_text("Copied.", exact=True).first.wait_for()
    pasted = page.evaluate("navigator.clipboard.readText()")
    assert pasted.endswith("And we thank you.")
    assert "approved" in page.locator("#history-list").inner_text()
