"""Dates and ratings as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from producers.dates import DateReader, DayOrder
from producers.ratings import stars
from shared.errors import InvalidReview, Misconfigured

JANUARY_15 = datetime(2026, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-15",
        "20260115",
        "2026/01/15",
        "2026.1.15",
        "Jan 15, 2026",
        "January 15, 2026",
        "15 Jan 2026",
        "Thursday, January 15th, 2026",
        "2026-01-15T01:00:00+01:00",
        "Thu Jan 15 2026 01:00:00 GMT+0100",
        "Wed, 14 Jan 2026 19:00:00 EST",
        1768435200,
        "1768435200",
        1768435200000,
        datetime(2026, 1, 15),
    ],
)
def test_a_date_that_can_be_read_in_one_way_needs_no_option(written):
    assert DateReader()(written) == JANUARY_15


@pytest.mark.parametrize("empty", [None, "", "  ", "N/A", "null", float("nan"), "-"])
def test_an_empty_cell_is_no_date_and_no_rating(empty):
    assert DateReader()(empty) is None and stars(empty) is None


@pytest.mark.parametrize(
    "written, why",
    [
        ("soon", "ISO 8601"),
        ("2 weeks ago", "ISO 8601"),
        ("Jan 2026", "lacks a day"),
        ("15", "lacks"),
        ("10:30", "lacks"),
        ("31.02.2026", "no date"),
        ("Jan 15 2026 10:00 IST", "zone IST"),
        ("15. Januar 2026", "--date-format"),
        (1e300, "no date"),
    ],
)
def test_what_is_no_whole_date_is_refused_with_the_remedy(written, why):
    with pytest.raises(InvalidReview, match=f"created_at.*{why}"):
        DateReader(day_first=True)(written)


@pytest.mark.parametrize("day_first, month", [(True, 4), (False, 3)])
def test_an_all_number_date_follows_the_order_of_its_file(day_first, month):
    read = DateReader(day_first=day_first)
    assert read("03/04/2026") == datetime(2026, month, 7 - month, tzinfo=UTC)
    assert read("03-04-26 10:30") == datetime(2026, month, 7 - month, 10, 30, tzinfo=UTC)
    assert read("05.05.2026") == datetime(2026, 5, 5, tzinfo=UTC)
    assert read("2026/03/04") == datetime(2026, 3, 4, tzinfo=UTC), "a year in front decides itself"


def test_a_date_in_the_other_order_is_refused_not_turned_round():
    with pytest.raises(InvalidReview, match="month first"):
        DateReader(day_first=False)("15/01/2026")
    with pytest.raises(InvalidReview, match="day first"):
        DateReader(day_first=True)("01/15/2026")


def test_one_date_that_tells_decides_for_all():
    for telling, day_first in (("15.01.2026", True), ("01/15/2026", False)):
        order = DayOrder()
        for cell in ["03/04/2026", None, "", "2026-01-15", telling, "01/02/2026"]:
            order.see(cell)
        assert order.day_first() is day_first


def test_no_telling_date_or_two_that_differ_are_refused_with_the_remedy():
    for cells in (["03/04/2026"], ["15/01/2026", "01/15/2026"]):
        order = DayOrder()
        for cell in cells:
            order.see(cell)
        with pytest.raises(Misconfigured, match=f"{cells[0]}.*--day-first or --month-first"):
            order.day_first()


def test_a_date_format_is_the_only_one():
    read = DateReader(date_format="%d.%m.%y")
    assert read("15.01.26") == JANUARY_15
    with pytest.raises(InvalidReview, match="--date-format '%d.%m.%y'"):
        read("2026-01-15")
    with pytest.raises(Misconfigured, match="day, month and year"):
        DateReader(date_format="%m/%Y")


@pytest.mark.parametrize(
    "written, found",
    [
        (4, 4),
        ("4", 4),
        ("4.5", 4.5),
        ("4,5", 4.5),
        ("5 stars", 5),
        ("1 star", 1),
        ("4-star", 4),
        ("4/5", 4),
        ("4 / 5 stars", 4),
        ("4.0 out of 5 stars", 4),
        ("8/10", 4),
        ("1/10", 1),
        ("0/10", 1),
        ("80%", 4),
        ("72,5 %", 3.62),
        ("★★★★☆", 4),
        ("★★★", 3),
        ("★★★½", 3.5),
        ("⭐⭐", 2),
        ("⭐️⭐️⭐️", 3),
        ("★★★★★★★★☆☆", 4),
        ("FOUR", 4),
        ("five stars", 5),
    ],
)
def test_a_rating_is_read_as_people_write_it(written, found):
    assert stars(written) == found


@pytest.mark.parametrize(
    "written", ["great", "☆☆☆☆☆", "0", 9, "-3", "6/5", "120%", "inf", "5 apples"]
)
def test_what_is_no_rating_is_refused_with_what_is_one(written):
    with pytest.raises(InvalidReview, match="rating: .*(write 1-5|--rating-scale|between 0 and)"):
        stars(written)


def test_plain_numbers_follow_the_scale_and_others_name_their_own():
    assert [stars(x, scale=10) for x in (8, "7", "0", "4/5", "80%", "★★")] == [4, 3.5, 1, 4, 4, 2]
    with pytest.raises(InvalidReview, match="0 and 10"):
        stars(11, scale=10)
