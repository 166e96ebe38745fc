from __future__ import annotations

import json
from collections import Counter

import pytest

from shared.errors import Misconfigured, TemporaryFailure
from tests.conftest import make_review
from trainer.examples import Label
from trainer.label import Cache, Labelled, ask, cut_off, require_some
from trainer.teachers import INSTRUCTIONS, TRUNCATED, Answer

TEXT = "We waited an hour and the soup was cold."


def issue(**change: str) -> dict[str, str]:
    return {
        "evidence": "waited an hour",
        "theme": "waiting",
        "problem": "p",
        "action": "Serve faster.",
    } | change


class Scripted:
    """A teacher that gives prepared answers; a TemporaryFailure among them is raised."""

    name, parallel = "scripted", 1

    def __init__(self, *answers: object) -> None:
        self.answers, self.asked = list(answers), 0

    def answer(self, task, review):  # type: ignore[no-untyped-def]
        self.asked += 1
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return Answer(found if isinstance(found, str) else json.dumps({"issues": found}))


def labels(count: int) -> list[Label]:
    return [Label(make_review(i, TEXT)) for i in range(count)]


def run(tmp_path, task, *answers):  # type: ignore[no-untyped-def]
    teacher = Scripted(*answers)
    return ask(
        labels(len(answers)), task, teacher, Cache(tmp_path, "scripted", task), lambda line: None
    )


def test_valid_labels_are_kept_and_the_rest_counted_by_reason(tmp_path):
    found = run(
        tmp_path,
        "issues",
        [issue()],
        [],
        "I am sorry, I cannot",
        [issue(evidence="a rat")],
        [issue(theme="magic")],
        [issue(action="Offer her a free dessert.")],
        [issue()] * 4,
        json.dumps({"issues": []}) + TRUNCATED,
    )
    assert len(found.labels) == 2 and found.labels[0].issues[0].start == 3
    assert found.dropped == {
        "unparsable": 3,
        "evidence not verbatim": 1,
        "unsupported offer": 1,
        "truncated": 1,
    }


@pytest.mark.parametrize(
    "text, reason",
    [
        ("Serve soup hot. 2.", "truncated"),
        ("Serve soup", "truncated"),
        ("", "no answer"),
        (INSTRUCTIONS["feedback"] + " Serve soup hot.", "echo of the prompt"),
        ("Give them a voucher.", "unsupported offer"),
    ],
)
def test_bad_free_text_is_dropped(tmp_path, text, reason):
    assert run(tmp_path, "feedback", text).dropped == {reason: 1}


def test_a_failing_teacher_stops_the_step_is_never_a_label_and_nothing_is_asked_twice(tmp_path):
    teacher = Scripted([issue()], TemporaryFailure("down"))
    cache = Cache(tmp_path, "scripted", "issues")
    with pytest.raises(TemporaryFailure, match="down"):
        ask(labels(3), "issues", teacher, cache, lambda line: None)
    path = next(tmp_path.glob("*.jsonl"))
    path.write_text(path.read_text() + '{"key": "cut o')  # killed while writing
    again = Scripted([issue()], [])
    found = ask(
        labels(3), "issues", again, Cache(tmp_path, "scripted", "issues"), lambda line: None
    )
    assert (
        len(found.labels) == 3
        and found.cached == 1
        and again.asked == 2
        and "down" not in path.read_text()
    )
    last = Scripted()
    found = ask(labels(3), "issues", last, Cache(tmp_path, "scripted", "issues"), lambda line: None)
    assert found.cached == 3, "the answer after the cut line was written onto it, and lost"


def test_all_labels_invalid_says_why():
    with pytest.raises(Misconfigured, match="3 unparsable"):
        require_some(Labelled(dropped=Counter(unparsable=3)), "issues")


def test_an_ending_in_the_middle_is_seen():
    assert (
        cut_off("First. 2.")
        and cut_off("as follows:")
        and cut_off("and then")
        and not cut_off("Serve it hot.")
    )
