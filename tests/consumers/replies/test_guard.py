from __future__ import annotations

import pytest

from shared.replies.guard import breaches


@pytest.mark.parametrize(
    "text, rule",
    [
        ("We will refund you in full.", "money"),
        ("Please accept a 20% discount on your next stay.", "money"),
        ("Your next coffee is on us.", "money"),
        ("We'd like to offer you a free dessert.", "money"),
        ("You will get your refund on Friday.", "money"),
        ("We have set aside $50 for you.", "money"),
        ("We promise to do better.", "outcome"),
        ("This will never happen again.", "outcome"),
        ("It won't happen again, you have our word.", "outcome"),
        ("The waiter will be fired.", "outcome"),
        ("We would be glad if you changed your review.", "review"),
        ("Please consider updating your rating.", "review"),
        ("A five-star review would help us.", "review"),
        ("In return for a kind word we will call you.", "review"),
        ("It was our fault.", "fault"),
        ("We were negligent and accept full responsibility.", "fault"),
        ("Our food made you ill.", "fault"),
        ("We are liable for the damage.", "fault"),
        ("Write to jo@example.org about it.", "personal data"),
        ("We called you at +1 (212) 555-0188.", "personal data"),
        ("We looked up your order 4471902.", "personal data"),
    ],
)
def test_each_rule_is_named_with_the_words_that_break_it(text, rule):
    found = breaches(text, "My order 4471902 never came.")
    assert [breach.rule for breach in found] == [rule]
    assert found[0].words and found[0].forbids in str(found[0])


@pytest.mark.parametrize(
    "text",
    [
        "We're sorry about the refund or deposit and would like to check this with you.",
        "Thank you for your review. We review our prices regularly.",
        "Please feel free to contact us directly.",
        "We are responsible people who care about 24/7 service, and open at 10.30.",
        "We never take such feedback lightly, and hope you will come again.",
        "The team will look at how the charge came about on 12 March 2026.",
    ],
)
def test_careful_words_pass(text):
    assert breaches(text, "They took 120 dollars on 12 March 2026.") == []


def test_one_text_may_break_several_rules():
    text = "It was our fault, we guarantee a full refund if you change your review."
    assert {b.rule for b in breaches(text)} == {"money", "outcome", "review", "fault"}
