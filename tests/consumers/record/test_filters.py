from __future__ import annotations

from datetime import date
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.record.conditions import read_cursor, write_cursor
from consumers.record.filters import Filters, parse
from consumers.record.schema import STATUSES
from shared.errors import InvalidRequest
from shared.review import EMOTIONS, THEMES, TRADES

WORDS = st.text(min_size=1, max_size=40).map(str.strip).filter(bool)
EVERY = st.builds(
    Filters,
    business=st.none() | WORDS,
    source=st.lists(st.sampled_from(["google", "judge.me"]), unique=True).map(tuple),
    category=st.lists(st.sampled_from(TRADES), unique=True).map(tuple),
    rating=st.lists(st.integers(1, 5), unique=True).map(tuple),
    rating_min=st.sampled_from([None, 1.0, 2.5]),
    rating_max=st.sampled_from([None, 3.5, 5.0]),
    emotion=st.lists(st.sampled_from(EMOTIONS), unique=True).map(tuple),
    theme=st.lists(st.sampled_from(THEMES), unique=True).map(tuple),
    urgency=st.lists(st.sampled_from(["low", "normal", "high"]), unique=True).map(tuple),
    status=st.lists(st.sampled_from(STATUSES), unique=True).map(tuple),
    language=st.lists(st.sampled_from(["en", "de"]), unique=True).map(tuple),
    since=st.none() | st.dates(date(1990, 1, 1), date(2020, 1, 1)),
    until=st.none() | st.dates(date(2020, 1, 2), date(2090, 1, 1)),
    min_confidence=st.sampled_from([None, 0.0, 0.85, 1.0]),
    q=st.none() | WORDS,
    state=st.sampled_from([None, "analysed", "waiting"]),
)


@given(EVERY)
def test_an_address_that_is_shared_means_the_same_to_whoever_opens_it(filters):
    assert parse(parse_qsl(filters.query)) == filters


@pytest.mark.parametrize(
    "pairs, says",
    [
        ([("colour", "red")], "colour: no such parameter; there are business, source"),
        ([("theme", "staff,food")], "theme: .*'food'"),
        ([("rating", "6")], "rating: .*less than or equal to 5"),
        ([("since", "2026")], "since: "),
        ([("since", "2026-02-30")], "since: "),
        ([("since", "1012-01-01")], "since: .*a year from 1900 to 2200"),
        ([("since", "2026-02-02"), ("until", "2026-02-01")], "since .* is after until"),
        ([("rating_min", "4"), ("rating_max", "3")], "rating_min .* is above"),
        ([("q", "a"), ("q", "b")], "q: given twice"),
        ([("min_confidence", "80")], "min_confidence: "),
        ([("source", "<script>")], "source: "),
    ],
)
def test_a_parameter_without_meaning_is_named(pairs, says):
    with pytest.raises(InvalidRequest, match=says):
        parse(pairs)


def test_lists_repeat_or_take_commas_and_empty_fields_of_a_form_are_not_set():
    assert parse([("theme", "staff, waiting"), ("theme", "price"), ("q", " ")]) == Filters(
        theme=("staff", "waiting", "price")
    )


def test_sums_refuse_a_filter_that_they_would_ignore():
    assert Filters(business="b").only_rollups() == Filters(business="b")
    with pytest.raises(InvalidRequest, match="theme: sums are kept by business, category"):
        Filters(theme=("staff",)).only_rollups()


@given(st.integers(-(10**11), 10**11), st.text("abc234_-", min_size=1, max_size=80))
def test_a_cursor_is_the_place_it_was_made_from(seconds, identity):
    assert read_cursor(write_cursor(seconds, identity)) == (seconds, identity)


@pytest.mark.parametrize("cursor", ["x", "!!!!", "é", "bm9wZQ", "====", "LjE"])
def test_a_cursor_that_is_none_is_refused(cursor):
    with pytest.raises(InvalidRequest, match="cursor"):
        read_cursor(cursor)
