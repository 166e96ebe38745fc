from __future__ import annotations

import pytest

from shared.inference.offers import offers_unsupported
from shared.review import Issue
from tests.conftest import make_review
from tests.fakes import ANGRY
from workers.guard import UNSUPPORTED_OFFER, guarded, insight, urgency


def issue(theme="waiting", evidence="The soup was cold", start=0, action="Serve soup hot."):  # type: ignore[no-untyped-def]
    return Issue(
        theme=theme,
        problem="p",
        evidence=evidence,
        start=start,
        end=start + len(evidence),
        action=action,
    )


@pytest.mark.parametrize(
    "action, review, flagged",
    [
        ("Offer the guest a free dessert.", "The soup was cold.", True),
        ("Refund the guest.", "The soup was cold.", True),
        ("Send a gift card with an apology.", "The soup was cold.", True),
        ("Refund the guest.", "They refused my refund.", False),
        ("Check the soup's temperature before it leaves the kitchen.", "The soup was cold.", False),
        ("Credit staff who stay late.", "The soup was cold.", False),
    ],
)
def test_an_offer_the_review_does_not_carry_is_flagged(action, review, flagged):
    assert offers_unsupported(action, review) is flagged


def test_evidence_that_is_not_verbatim_is_dropped():
    review = make_review(0, "The soup was cold.")
    assert guarded([issue(), issue(evidence="The soup was hot!")], review) == [issue()]


def test_issues_on_the_same_words_are_not_repeated_and_offers_carry_a_flag():
    review = make_review(0, "The soup was cold.")
    kept = guarded([issue(action="Offer a discount."), issue(theme="quality")], review)
    assert [i.flags for i in kept] == [(UNSUPPORTED_OFFER,)]


def test_urgency_follows_theme_then_anger_then_rating():
    review = make_review(0, "The soup was cold.", rating=3)
    calm = ANGRY.model_copy(update={"present": ("sadness",)})
    assert urgency([issue("safety")], review, calm)[0] == "high"
    assert urgency([issue()], make_review(0, rating=1), ANGRY)[0] == "high"
    assert urgency([issue()], review, calm)[0] == "normal"
    assert urgency([issue()], make_review(0, rating=5), calm)[0] == "low"
    assert urgency([], review, calm) == ("low", "no issue was found")


def test_an_insight_names_its_adapter_and_prompt():
    made = insight([issue()], make_review(0, "The soup was cold."), ANGRY, "a1", "issues-1")
    assert (made.adapter, made.prompt_version, len(made.issues)) == ("a1", "issues-1", 1)
