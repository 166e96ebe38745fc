"""The period that a page's address asks for: "30d", "all", or "2026-09-01..2026-09-30". It counts from the newest review."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

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
) -> Asked:
    """Read `business`, `source`, `category`, and `period`, or in its place `since` and `until`.

    Raises:
        InvalidRequest: a value without meaning; the text names it.
        Forbidden: another business than the scope's.
    """
    filters = parse(parameters.multi_items(), beside=("period",))
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
