"""Sums of the daily counts: what overview pages stand on, at a cost that the number of reviews does not change.

It knows rollups only; what the sums mean for people is in queries_summary.py and queries_themes.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from consumers.record.conditions import of_place
from consumers.record.filters import Filters
from consumers.record.periods import Period
from consumers.record.rates import Ratings
from consumers.record.schema import rollups
from consumers.record.scope import Scope
from shared.review import EMOTIONS, THEMES

# Kind of a daily count -> the values it may have (schema.rollups).
VALUES: Mapping[str, tuple[str, ...]] = {
    "review": ("",),
    "waiting": ("",),
    "rating": tuple("12345"),
    "urgency": tuple("012"),
    "theme": THEMES,
    "emotion": EMOTIONS,
}
_TOTALS = [func.sum(rollups.c[name]).label(name) for name in ("amount", "rated", "total")]
# What a period is compared by.
COMPARED = ("review", "waiting", "rating", "theme")


@dataclass
class Sums:
    """Counts of one period, by kind and value as schema.rollups has them."""

    counts: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    rated: int = 0
    total: float = 0.0

    def of(self, kind: str) -> dict[str, int]:
        """Value -> amount, most first; values without any are left out."""
        found = self.counts.get(kind, {})
        return dict(sorted(((v, n) for v, n in found.items() if n), key=lambda x: (-x[1], x[0])))

    @property
    def reviews(self) -> int:
        """All of the period."""
        return self.counts.get("review", {}).get("", 0)

    @property
    def waiting(self) -> int:
        """Those without analysis yet."""
        return self.counts.get("waiting", {}).get("", 0)

    @property
    def analysed(self) -> int:
        """Those that issues and emotions can come from."""
        return self.reviews - self.waiting

    @property
    def ratings(self) -> Ratings:
        """Stars, for means and their intervals."""
        stars = {int(value): amount for value, amount in self.of("rating").items()}
        return Ratings(self.rated, self.total, stars)


def conditions(scope: Scope, filters: Filters, period: Period) -> list[ColumnElement[bool]]:
    """Conditions over `rollups`: the scope, the filters that daily counts know, and the period's days.

    Raises:
        Forbidden: another business than the scope's is asked for.
    """
    return [rollups.c.day.between(*period.numbers), *of_place(filters, scope, rollups.c)]


def sums(
    connection: Connection,
    scope: Scope,
    filters: Filters,
    period: Period,
    kinds: Iterable[str] = tuple(VALUES),
) -> Sums:
    """Counts of the period, a query for each of `kinds`.

    Raises:
        Forbidden: another business than the scope's is asked for.
    """
    row, out = rollups.c, Sums()
    inside = conditions(scope, filters, period)
    for kind in kinds:
        query = (
            select(row.value, *_TOTALS)
            # Naming the values lets the database go to each one's days, and add without sorting.
            .where(*inside, row.kind == kind, row.value.in_(VALUES[kind]))
            .group_by(row.value)
        )
        for found in connection.execute(query):
            out.counts[kind][found.value] = int(found.amount)
            if kind == "review":
                out.rated, out.total = int(found.rated), float(found.total)
    return out


def by_day(
    connection: Connection,
    scope: Scope,
    filters: Filters,
    period: Period,
    kind: str,
    value: str = "",
) -> list[Any]:
    """Rows (day, amount, rated, total) of the days that have any, in order."""
    row = rollups.c
    query = (
        select(row.day, *_TOTALS)
        .where(*conditions(scope, filters, period), row.kind == kind, row.value == value)
        .group_by(row.day)
        .order_by(row.day)
    )
    return list(connection.execute(query))


def by_business(
    connection: Connection,
    scope: Scope,
    filters: Filters,
    period: Period,
    kind: str,
    value: str = "",
    among: Iterable[str] | None = None,
) -> dict[str, int]:
    """Business -> amount, most first; at most 200. `among`: only these."""
    row, amount = rollups.c, func.sum(rollups.c.amount)
    query = (
        select(row.business, amount)
        .where(*conditions(scope, filters, period), row.kind == kind, row.value == value)
        .group_by(row.business)
        .having(amount > 0)
        .order_by(amount.desc(), row.business)
        .limit(200)
    )
    if among is not None:
        query = query.where(row.business.in_(list(among)))
    return {business: int(count) for business, count in connection.execute(query)}
