"""Praise is told from mention, and what happy reviews love from what everybody says."""

from __future__ import annotations

import pytest

from consumers.report.loved import LEAST_REVIEWS, loved
from consumers.report.praise import praised


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Friendly staff!", [("friendly", "staff")]),
        ("The staff were really, truly kind", []),  # "truly kind" has lost its verb
        ("The staff were really kind and helpful.", [("kind", "staff"), ("helpful", "staff")]),
        ("great beer selection", [("great", "beer selection")]),
        ("Not a great room, but clean sheets", [("clean", "sheets")]),
        ("The room wasn't clean", []),
        ("never had good service here", []),
        ("a great time in a great place", []),
        ("It was delicious", []),
        ("good food good service", [("good", "food"), ("good", "service")]),
        ("", []),
    ],
)
def test_praise_has_a_thing_and_is_not_denied(text, pairs):
    assert list(praised(text)) == pairs


def texts(prefix: str, *counted: tuple[int, str]) -> list[tuple[str, str]]:
    lines = [text for count, text in counted for _ in range(count)]
    return [(f"{prefix}{n:03}", text) for n, text in enumerate(lines)]


def test_what_unhappy_guests_praise_as_well_is_not_what_is_loved():
    happy = texts("h", (20, "A great location by the sea."), (15, "The staff was friendly to us."))
    unhappy = ["A great location, but the room was dirty."] * 20 + ["Never again."] * 5
    assert [one.phrase for one in loved(happy, unhappy)] == ["friendly staff"]


def test_a_thing_counts_once_a_review_in_all_its_forms():
    said = (
        "Friendly staff, really friendly staff.",
        "The staff is helpful.",
        "Lovely kitchen staff here.",
    )
    found = loved(texts("h", (2, said[0]), (2, said[1]), (1, said[2])), [])
    assert [(one.phrase, one.reviews) for one in found] == [("friendly staff", 5)]
    assert found[0].quote == "Friendly staff, really friendly staff."


def test_chance_and_nothing_are_not_loved():
    assert loved(texts("h", (LEAST_REVIEWS - 1, "Fresh fish here at last.")), []) == []
    assert loved([], ["Bad."]) == []


def test_the_quote_is_one_sentence_of_the_review_that_it_names():
    happy = texts(
        "h",
        (
            3,
            "We came late.\n- The terrace was lovely in the evening sun. Prices are $8.50 a glass.",
        ),
    )
    (found,) = loved(happy, [])
    assert found.quote == "The terrace was lovely in the evening sun."
    assert found.review_id == "h000"
