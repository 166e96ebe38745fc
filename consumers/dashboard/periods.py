"""The period that a page's address asks for: "30d", "all", or "2026-09-01..2026-09-30".

It counts from the newest review.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from consumers.record.answers import Meta
from consumers.record.filters import Filters, parse
from consumers.record.periods import period_of
from consumers.record.scope import Scope
from shared.errors import InvalidRequest

PERIODS = (
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
    ("90d", "Last 90 days"),
    ("365d", "Last 12 months"),
    ("all", "All time"),
)
_EARLIEST = date(1970, 1, 1)
_COMPARED_DAYS = 90


@dataclass(frozen=True)
class Asked:
    """What an address asks for: filters with both days set, and the words to ask the same again."""

    filters: Filters
    period: str

    @property
    def business(self) -> str | None:
        """None: all."""
        return self.filters.business

    @property
    def until(self) -> date:
        """The last day."""
        assert self.filters.until is not None
        return self.filters.until

    @property
    def query(self) -> str:
        """For links to other pages about the same business and period."""
        pairs = [("business", self.business)] if self.business else []
        return urlencode([*pairs, ("period", self.period)])

    @property
    def dates(self) -> str:
        """For links to the list of reviews, which knows days only."""
        return self.filters.query


def asked(
    connection: Connection,
    scope: Scope,
    parameters: QueryParams,
    today: date,
    first_day: date | None,
    beside: tuple[str, ...] = (),
) -> Asked:
    """Read `business`, `source`, `category`, and `period`, or in its place `since` and `until`; not those `beside`.

    Raises:
        InvalidRequest: a value without meaning; the text names it.
        Forbidden: another business than the scope's.
    """
    filters = parse(parameters.multi_items(), beside=("period", *beside))
    filters = filters.but(business=scope.narrow(filters.business)).only_rollups()
    period = parameters.get("period") or "30d"
    first, dots, last = period.partition("..")
    if dots:
        filters = parse([*filters.pairs(), ("since", first), ("until", last)])
    if filters.since or filters.until:
        whole = period_of(connection, scope, filters, today)
        filters = filters.but(since=whole.since, until=whole.until)
        return Asked(filters, f"{whole.since}..{whole.until}")
    if period not in dict(PERIODS):
        known = ", ".join(dict(PERIODS))
        raise InvalidRequest(f"period: no such period; there are {known}, and DAY..DAY")
    until = period_of(connection, scope, filters, today).until
    if period == "all":
        since = min(first_day or until, until)
    else:
        since = max(until - timedelta(int(period.removesuffix("d")) - 1), _EARLIEST)
    return Asked(filters.but(since=since, until=until), period)


def sides(
    connection: Connection, scope: Scope, parameters: QueryParams, meta: Meta, today: date
) -> tuple[Filters, Filters]:
    """What is compared with what, each with both days set.

    By default the two businesses with the most reviews, or one business and its period before.

    Raises:
        InvalidRequest: a value without meaning; the text names it.
        Forbidden: another business than the scope's.
    """
    named = [b.name for b in meta.businesses if b.name]
    two = len(named) > 1
    chosen = any(parameters.get(name) for name in _SIDES)
    left, right = (
        _side(connection, scope, parameters, side, "" if chosen or not two else named[i], today)
        for i, side in enumerate(("left", "right"))
    )
    if not chosen and not two:
        days = (left.until - left.since).days + 1  # type: ignore[operator]
        before = left.since - timedelta(1)  # type: ignore[operator]
        right = right.but(since=before - timedelta(days - 1), until=before)
    return left, right


_SIDES = [f"{side}{part}" for side in ("left", "right") for part in ("", "_since", "_until")]


def _side(
    connection: Connection,
    scope: Scope,
    given: QueryParams,
    side: str,
    business: str,
    today: date,
) -> Filters:
    filters = parse(
        [
            ("business", given.get(side) or business),
            ("since", given.get(f"{side}_since", "")),
            ("until", given.get(f"{side}_until", "")),
        ]
    )
    filters = filters.but(business=scope.narrow(filters.business))
    # Both sides end with the newest review of all, so that two businesses are seen in one period.
    until = filters.until or period_of(connection, scope, Filters(), today).until
    since = filters.since or until - timedelta(_COMPARED_DAYS - 1)
    return filters.but(since=since, until=until)
