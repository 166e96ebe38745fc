"""Scoring a reader on labelled reviews: what is counted, by kind, and how it is shown."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from beyond import main
from shared.errors import Misconfigured
from shared.inference.emotions import load_emotions
from shared.inference.playbook import Line
from shared.review import Issue
from trainer.metrics.labels_score import MEANING
from trainer.readings import Lines, read_readings
from trainer.score import ALL, score, table
from trainer.score_picture import draw

LINES = [Line("quality", "The food was cold.", "Check the pass.", ("any",))]
ROWS = [
    {
        "key": "hotel:1",
        "stars": 2,
        "text": "The soup was cold. The view was nice.",
        "issues": [
            {"q": "The soup was cold", "theme": "quality", "problem": "The food was cold."},
        ],
        "emotions": ["disappointment"],
    },
    {"key": "app:1", "stars": 5, "text": "Lovely.", "issues": [], "emotions": ["joy"]},
]


@pytest.fixture
def labels(tmp_path):  # type: ignore[no-untyped-def]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def first_sentence(reviews, felt):  # type: ignore[no-untyped-def]
    """Shows every review's first sentence as cold food, however friendly; half sure."""
    out = []
    for review in reviews:
        told = review.text.split(".")[0]
        issue = Issue(
            theme="quality",
            problem="The food was cold.",
            action="Check the pass.",
            evidence=told,
            start=0,
            end=len(told),
            confidence=0.5,
        )
        out.append(([issue], []))
    return out


@pytest.fixture
def scores(labels, settings):  # type: ignore[no-untyped-def]
    readings = read_readings(labels, Lines(LINES, {}))
    emotions, places = load_emotions(settings), {LINES[0].problem: 0}
    return score(readings, "first sentence", first_sentence, emotions, places)


def test_shares_are_given_for_all_and_for_each_kind(scores):
    assert scores.reviews == {ALL: 2, "app": 1, "hotel": 1}
    assert (
        scores.shares["hotel"]["problem"].value == 1 and scores.shares["hotel"]["main"].value == 1
    )
    assert scores.shares["app"]["silent"].value == 0
    assert scores.shares[ALL]["theme"].value == 0.5


def test_the_calibration_error_is_that_of_what_was_shown(scores):
    assert scores.as_json()["calibration_error"] == 0  # half sure, and right in one of two


def test_what_nothing_was_asked_of_is_null_in_json_and_no_number_in_the_table(scores):
    assert scores.as_json()["kinds"]["hotel"]["silent"] is None
    rows = {row[0]: row[2:] for row in table(scores)}
    assert rows["hotel"][list(MEANING).index("silent")] == "n/a"


def test_a_file_without_reviews_is_an_error(settings):
    with pytest.raises(Misconfigured, match="no reviews"):
        score([], "none", first_sentence, load_emotions(settings), {})


def test_the_picture_is_a_png(scores, tmp_path):
    draw(scores, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_a_quote_that_its_text_does_not_hold_names_the_line(labels):
    labels.write_text(json.dumps({**ROWS[0], "text": "Something else."}) + "\n")
    done = CliRunner().invoke(main, ["score", "--labels", str(labels)])
    assert done.exit_code == 2 and "labels.jsonl:1" in done.output
