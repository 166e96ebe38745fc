"""Dates as people's files write them, to aware UTC. It knows values, not files, columns or reviews.

ISO 8601 and epoch numbers are read as they are, `Jan 15, 2026` by dateutil. `03/04/2026` means two
days; which one is decided once for a whole file (`DayOrder`), never row by row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dateutil import parser

from shared.errors import InvalidReview, Misconfigured

# What exports write for "no value" (pandas, SQL clients, spreadsheets), compared in lower case.
MISSING = frozenset({"", "-", "n/a", "na", "nan", "nat", "none", "null", "\\n"})
# Epoch numbers above this are milliseconds: 1e11 seconds is the year 5138, 1e11 ms is March 1973.
_MILLISECONDS_FROM = 1e11
_EPOCH_DIGITS = 9  # shorter numbers are years (2026) or basic ISO dates (20260115)
_NUMBERS_ONLY = re.compile(r"\s*(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
_YEAR_FIRST = re.compile(r"\s*\d{4}[/.-]")
# JavaScript prints GMT+0100 for an hour ahead of UTC; dateutil reads that as POSIX does: behind it.
_GMT_OFFSET = re.compile(r"\b(?:GMT|UTC)(?=[+-]\d)")
# The zone names of RFC 5322, section 4.3, in seconds; any other name means several zones (IST, BST).
_ZONES_SECONDS = {
    **{"UT": 0, "GMT": 0, "UTC": 0, "Z": 0},
    **{"EST": -18000, "EDT": -14400, "CST": -21600, "CDT": -18000},
    **{"MST": -25200, "MDT": -21600, "PST": -28800, "PDT": -25200},
}
# A date that lacks a part is filled by dateutil from a default; read with two defaults that differ
# in every part, an incomplete one gives two dates and is refused.
_DEFAULTS = (datetime(1904, 1, 1), datetime(1907, 2, 2))


class DayOrder:
    """Collects, over a whole file, whether its all-number dates put the day or the month first.

    Constant memory: one example of each kind.
    """

    def __init__(self) -> None:
        self._examples: dict[str, str] = {}

    def see(self, value: Any) -> None:
        """Take one cell into account; anything but an all-number date says nothing."""
        found = _NUMBERS_ONLY.match(value) if isinstance(value, str) else None
        if found is None:
            return
        first, second = int(found[1]), int(found[3])
        if first > 12 >= second:
            kind = "day first"
        elif second > 12 >= first:
            kind = "month first"
        else:  # 01/01 and 05/05 are the same day either way
            kind = "either" if first != second else "same"
        self._examples.setdefault(kind, value.strip()[:40])

    def day_first(self) -> bool:
        """True where the file's dates put the day first.

        Raises:
            Misconfigured: the file holds both orders, or no date that tells; the text names the remedy.
        """
        day, month = self._examples.get("day first"), self._examples.get("month first")
        if day and month:
            raise Misconfigured(
                f"dates in both orders: {day!r} can only have the day first, {month!r} only the month; "
                "say which one the file uses with --day-first or --month-first (rows in the other "
                "order are then rejected)"
            )
        if not day and not month and "either" in self._examples:
            raise Misconfigured(
                f"created_at: {self._examples['either']!r} can be two days, and no other date in the "
                "file tells which; add --day-first or --month-first"
            )
        return bool(day)


class DateReader:
    """Reads the cells of one file's date column.

    Args:
        date_format: `strptime` format that every cell must have; then nothing else is tried.
        day_first: the order in all-number dates; None: asked of `decide` at the first of them.
        decide: looks through the whole file (DayOrder).

    Raises:
        Misconfigured: `date_format` lacks day, month or year.
    """

    def __init__(
        self,
        date_format: str | None = None,
        day_first: bool | None = None,
        decide: Callable[[], bool] = lambda: DayOrder().day_first(),
    ) -> None:
        self._format, self._day_first, self._decide = date_format, day_first, decide
        if date_format is not None and _incomplete(date_format):
            raise Misconfigured(
                f"--date-format {date_format!r} needs day, month and year: %d.%m.%Y"
            )

    def __call__(self, value: Any) -> datetime | None:
        """The moment in aware UTC (UTC where the cell names no zone); None for an empty cell.

        Raises:
            InvalidReview: no date, or not the whole of one; the text names the remedy.
            Misconfigured: an all-number date whose order nothing tells.
        """
        if value is None or str(value).strip().lower() in MISSING:
            return None
        try:
            found = self._read(value)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError, OSError) as error:
            wanted = (
                f"it does not fit --date-format {self._format!r}"
                if self._format
                else "use ISO 8601, e.g. 2026-03-01T12:00:00Z, or name its form: "
                "--date-format '%d.%m.%Y'"
            )
            why = f" ({error})" if isinstance(error, _Refused) else ""
            shown = str(value)[:40]
            raise InvalidReview(f"created_at: {shown!r} is no date{why}; {wanted}") from None

    def _read(self, value: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        if self._format:
            return datetime.strptime(text, self._format)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number or (text.isdigit() and len(text) >= _EPOCH_DIGITS):
            seconds = float(value)
            if abs(seconds) > _MILLISECONDS_FROM:
                seconds /= 1000
            return datetime.fromtimestamp(seconds, UTC)
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return self._by_dateutil(text)

    def _by_dateutil(self, text: str) -> datetime:
        numbers = _NUMBERS_ONLY.match(text)
        day_first = False
        if numbers and numbers[1] != numbers[3]:
            if self._day_first is None:
                self._day_first = self._decide()
            day_first = self._day_first
            if int(numbers[1 if not day_first else 3]) > 12:
                order = "day" if day_first else "month"
                raise _Refused(f"the dates of this file have the {order} first")
        text = _GMT_OFFSET.sub("", text)
        year_first = bool(_YEAR_FIRST.match(text))
        read: list[datetime] = [
            parser.parse(
                text, dayfirst=day_first, yearfirst=year_first, default=default, tzinfos=_zone
            )
            for default in _DEFAULTS
        ]
        if read[0] != read[1]:
            raise _Refused("it lacks a day, month or year")
        return read[0]


class _Refused(ValueError):
    """Why a text that looks like a date was not taken for one."""


def _zone(name: str | None, offset_seconds: int | None) -> Any:
    if offset_seconds is not None:
        return offset_seconds
    if name is None or name in _ZONES_SECONDS:
        return _ZONES_SECONDS.get(name or "")
    raise _Refused(f"the zone {name} means several; write an offset such as +01:00")


def _incomplete(date_format: str) -> bool:
    whole = re.search(r"%[cx]", date_format)
    parts = ("%d", "%[mbB]", "%[yY]")
    day_of_year = re.search("%j", date_format) and re.search("%[yY]", date_format)
    return not (whole or day_of_year or all(re.search(p, date_format) for p in parts))
