from __future__ import annotations

import math

import pytest

from shared.inference.prompts import target
from tests.conftest import make_review
from trainer.examples import Label, located
from trainer.metrics.measures import matched, mean, own, repetition

TEXT = "We waited an hour for soup. It was cold. The waiter shrugged."
GOLD = (
    located(
        {
            "theme": "waiting",
            "problem": "Slow.",
            "evidence": "waited an hour",
            "action": "Be fast.",
        },
        TEXT,
    ),
    located(
        {"theme": "quality", "problem": "Cold.", "evidence": "It was cold", "action": "Heat it."},
        TEXT,
    ),
)
LABEL = Label(make_review(0, TEXT), issues=GOLD)
CALM = Label(make_review(1, "Lovely soup."), issues=())


def measure(answer: str, label: Label = LABEL) -> dict[str, float]:
    return own("issues", label, answer, target(label.issues or ()))


def test_the_label_itself_is_perfect():
    found = measure(target(GOLD))
    assert {found[k] for k in ("parsed", "verbatim", "found", "theme", "issue_f1")} == {
        1.0
    } and found["offers"] == 0


def test_a_touching_quote_of_another_theme_is_found_but_not_right():
    found = measure("evidence: an hour for soup\ntheme: staff\nproblem: p\naction: a\n")
    assert (found["found"], found["theme"], found["issue_f1"]) == (1.0, 0.0, 0.0)


def test_half_the_issues_right_is_f1_of_two_thirds():
    assert measure(target(GOLD[:1]))["issue_f1"] == pytest.approx(2 / 3)


def test_none_where_the_label_has_none_is_right_and_only_there():
    assert measure("none", CALM)["none_recall"] == 1 and measure("none", CALM)["issue_f1"] == 1
    assert measure("none")["found"] == 0 and math.isnan(measure("none")["none_recall"])


def test_an_invented_quote_is_not_verbatim_and_not_parsed():
    found = measure("evidence: a rat ran by\ntheme: safety\nproblem: p\naction: a\n")
    assert found["verbatim"] == 0 and found["parsed"] == 0


def test_a_promise_that_the_review_does_not_speak_of_is_counted():
    assert (
        measure(
            "evidence: waited an hour\ntheme: waiting\nproblem: p\naction: Offer the guest a free dessert.\n"
        )["offers"]
        == 1
    )


def test_each_gold_issue_is_matched_once():
    both = [GOLD[0], GOLD[0]]
    assert len(matched(both, GOLD)) == 1


def test_repetition_counts_repeated_4_grams():
    assert repetition("a b c d e f") == 0 and repetition("a b c d " * 5) > 0.5


def test_means_leave_out_what_does_not_apply():
    assert mean([1.0, math.nan, 0.0]) == 0.5 and math.isnan(mean([math.nan]))
