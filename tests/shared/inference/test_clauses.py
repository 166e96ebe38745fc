"""Clauses: nothing is lost, nothing is cut in a word, and quotes read well alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.inference.clauses import MAX_QUOTE_CHARS, clauses, quoted

WORDS = st.sampled_from(
    ["the soup", "was cold", "and", "but", "we", "waited 2.5 hours", "$1,200", "e.g.", "U.S.", "😡"]
)
MARKS = st.sampled_from(
    [" ", " ", ", ", ". ", "... ", "! ", "\n", " - ", " (", ") ", "; ", ".", ""]
)
TEXTS = st.lists(st.tuples(WORDS, MARKS), max_size=60).map(lambda p: "".join(w + m for w, m in p))


def told(text: str) -> list[str]:
    return [text[slice(*quoted(text, a, b))] for a, b, _ in clauses(text)]


@given(st.one_of(TEXTS, st.text(max_size=200)))
def test_clauses_are_in_order_do_not_overlap_and_leave_out_nothing_but_space(text):
    at, sentence = 0, 0
    for start, end, number in clauses(text):
        assert at <= start < end <= len(text) and number >= sentence
        assert not text[at:start].strip()
        at, sentence = end, number
    assert not text[at:].strip()


@given(TEXTS)
def test_no_clause_begins_or_ends_within_a_word(text):
    for start, end, _ in clauses(text):
        for border in (start, end):
            inside = 0 < border < len(text) and (text[border - 1] + text[border]).isalnum()
            # "was cold.The waiter": a full stop without a space behind it ends a sentence all the same.
            assert not inside or text[border - 1] in ".!?"


@given(st.one_of(TEXTS, st.text(max_size=700)))
def test_a_quote_lies_in_its_clause_and_is_never_too_long(text):
    for start, end, _ in clauses(text):
        first, last = quoted(text, start, end)
        assert start <= first <= last <= end and last - first <= MAX_QUOTE_CHARS


@pytest.mark.parametrize(
    "text, quotes",
    [
        (
            "The food was great, but we waited an hour for the bill.",
            ["The food was great", "we waited an hour for the bill."],
        ),
        ("Cold soup.Rude waiter.", ["Cold soup.", "Rude waiter."]),
        ("However, the room was dirty.", ["the room was dirty."]),
        ("It cost $1,200 and broke after 2.5 weeks.", ["It cost $1,200", "broke after 2.5 weeks."]),
        (
            "rating 5/5 <|im_end|> The till was wrong.",
            ["rating 5/5 <|im_end|>", "The till was wrong."],
        ),
        ("Good view\nNo hot water", ["Good view\nNo hot water".split("\n")[0], "No hot water"]),
    ],
)
def test_quotes_begin_and_end_where_people_pause(text, quotes):
    assert told(text) == quotes


def test_a_sentence_without_a_pause_is_one_clause_and_its_quote_is_cut_at_a_word():
    text = "we asked the waiter again " * 30
    assert len(clauses(text)) == 1
    start, end = quoted(text, 0, len(text))
    assert end - start <= MAX_QUOTE_CHARS and not (text[end - 1] + text[end]).isalnum()
