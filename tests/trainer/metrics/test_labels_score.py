"""The scores beside a careful reader's labels, on cases small enough to count by hand."""

from __future__ import annotations

import math

import pytest

from shared.review import Issue
from trainer.metrics.labels_score import (
    MEANING,
    Read,
    Share,
    calibration_error,
    found_of,
    reliability,
    shares,
    total,
)
from trainer.readings import Quote, Reading

TEXT = (
    "We waited an hour for the table. The soup was cold. The waiter was rude to my wife. Nice view."
)
PLACES = {"The wait was long.": 0, "The food was cold.": 1}
WAIT, COLD, RUDE = (0, 31), (33, 50), (52, 82)


def quote(span: tuple[int, int], theme: str, line: int | None) -> Quote:
    return Quote(*span, theme, line)


def issue(span: tuple[int, int], theme: str, problem: str | None = None) -> Issue:
    fields = {} if problem is None else {"problem": problem, "action": "Do it."}
    return Issue(theme=theme, evidence=TEXT[slice(*span)], start=span[0], end=span[1], **fields)


def label(*quotes: Quote, emotions: tuple[str, ...] = ()) -> Reading:
    return Reading("test:1", "test", TEXT, 2.0, "food", quotes, emotions)


LABEL = label(quote(WAIT, "waiting", 0), quote(COLD, "quality", 1), quote(RUDE, "staff", None))


def scored(one: Reading, issues=(), unsure=(), emotions=()):  # type: ignore[no-untyped-def]
    shown, rest = ([found_of(i, PLACES) for i in part] for part in (issues, unsure))
    return shares(one, Read(shown, rest, emotions))


def test_a_shown_issue_is_right_in_quote_theme_and_problem_or_up_to_where_it_went_wrong():
    given = [
        issue(WAIT, "waiting", "The wait was long."),
        issue(COLD, "quality", "The wait was long."),
        issue(RUDE, "quality"),
    ]
    out = scored(LABEL, given)
    assert (out["quote"], out["theme"], out["problem"]) == (Share(3, 3), Share(2, 3), Share(1, 3))
    assert out["bare"] == Share(1, 3)


def test_an_issue_without_a_sentence_has_no_right_one_even_where_the_label_has_none():
    out = scored(LABEL, [issue(RUDE, "staff"), issue(COLD, "quality")])
    assert (out["problem"], out["bare"]) == (Share(0, 2), Share(2, 2))


def test_a_sentence_that_the_playbook_lacks_is_never_right():
    assert scored(LABEL, [issue(RUDE, "staff", "Made up.")])["problem"] == Share(0, 1)


def test_a_quote_is_right_from_half_of_the_shorter_one_on():
    half, less = (33 + 9, 33 + 9 + 16), (33 + 10, 33 + 10 + 17)  # 8 of 16 and 7 of 17 characters
    assert scored(LABEL, [issue(half, "quality")])["quote"] == Share(1, 1)
    assert scored(label(LABEL.quotes[1]), [issue(less, "quality")])["quote"] == Share(0, 1)


def test_the_main_complaint_counts_only_with_its_theme():
    assert scored(LABEL, [issue(WAIT, "waiting")])["main"] == Share(1, 1)
    assert scored(LABEL, [issue(WAIT, "booking")])["main"] == Share(0, 1)
    assert scored(LABEL, [issue(COLD, "quality")])["main"] == Share(0, 1)


def test_found_asks_for_the_first_three_and_recall_for_all_with_the_unsure_ones():
    four = label(*LABEL.quotes, quote((83, 93), "facilities", None))
    out = scored(four, [issue(COLD, "quality")], unsure=[issue((83, 93), "facilities")])
    assert out["found"] == Share(1, 3) and out["recall"] == Share(2, 4)


def test_silence_is_asked_of_reviews_without_complaints_alone_and_the_unsure_do_not_break_it():
    assert scored(label())["silent"] == Share(1, 1)
    assert scored(label(), [issue(COLD, "quality")])["silent"] == Share(0, 1)
    assert scored(label(), unsure=[issue(COLD, "quality")])["silent"] == Share(1, 1)
    assert scored(LABEL)["silent"].of == 0 and scored(label())["main"].of == 0


def test_emotions_are_a_micro_f1_over_what_both_name():
    rows = [
        scored(label(emotions=("anger", "annoyance")), emotions=("anger",)),
        scored(label(emotions=("joy",)), emotions=("joy", "love")),
    ]
    # 2 of 3 labelled and 2 of 3 shown ones are right.
    assert total(rows)["emotions"].value == pytest.approx(2 / 3)


def test_neutral_alone_is_wrong_only_where_something_is_felt():
    assert scored(label(emotions=("anger",)), emotions=("neutral",))["only_neutral"] == Share(1, 1)
    assert scored(label(emotions=("neutral",)), emotions=("neutral",))["only_neutral"].of == 0


def test_a_positive_emotion_where_the_label_has_none_is_of_the_wrong_polarity():
    assert scored(label(emotions=("anger",)), emotions=("joy",))["wrong_polarity"] == Share(1, 1)
    assert scored(label(emotions=("anger", "love")), emotions=("joy",))["wrong_polarity"].of == 0
    assert scored(label(emotions=()), emotions=("joy",))["wrong_polarity"].of == 0


def test_reviews_without_labelled_emotions_count_for_none_of_the_emotion_scores():
    out = scored(label(), emotions=("joy",))
    assert all(out[name].of == 0 for name in ("emotions", "only_neutral", "wrong_polarity"))


def test_shares_of_reviews_add_up_and_those_of_nothing_are_no_number():
    out = total([scored(LABEL, [issue(WAIT, "waiting")]), scored(LABEL)])
    assert out["main"] == Share(1, 2) and set(out) == set(MEANING)
    assert math.isnan(total([])["quote"].value)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy():
    honest = [(0.75, True)] * 3 + [(0.75, False)]
    boastful = [(0.95, True), (0.95, False)]
    assert calibration_error(honest) == pytest.approx(0)
    assert calibration_error(boastful) == pytest.approx(0.45)
    assert calibration_error(honest + boastful) == pytest.approx(0.45 / 3)
    assert math.isnan(calibration_error([]))


def test_the_reliability_diagram_has_a_point_for_each_bin_that_holds_any():
    points = reliability([(0.0, False), (1.0, True), (0.95, True)])
    assert [(round(mean, 3), share) for mean, share in points] == [
        (0.0, Share(0, 1)),
        (0.975, Share(2, 2)),
    ]
