"""A period of whole UTC days, the one before it, and its steps.

It reads one row: the last day there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from sqlalchemy import Connection, select

from consumers.record.conditions import day_number
from consumers.record.filters import Filters
from consumers.record.schema import reviews
from consumers.record.scope import Scope

DEFAULT_DAYS = 30
_LONGEST_BY_DAY = 45  # longer periods go by week
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Period:
    """Days from `since` to `until`, both included."""

    since: date
    until: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.until - self.since).days + 1

    @property
    def before(self) -> Period:
        """The period of the same length that ends the day before."""
        return Period(self.since - timedelta(self.days), self.since - timedelta(1))

    @property
    def numbers(self) -> tuple[int, int]:
        """First and last day as the record counts them."""
        return day_number(self.since), day_number(self.until)

    @property
    def step(self) -> Literal["day", "week"]:
        """What a point of a trend stands for."""
        return "day" if self.days <= _LONGEST_BY_DAY else "week"

    def steps(self) -> list[date]:
        """The first day of each step; of weeks the Monday, also where the period begins later."""
        if self.step == "day":
            return [self.since + timedelta(n) for n in range(self.days)]
        monday = self.step_of(day_number(self.since))
        weeks = (self.until - monday).days // 7 + 1
        return [monday + timedelta(7 * n) for n in range(weeks)]

    def step_of(self, day: int) -> date:
        """The step to which a day (as the record counts) belongs."""
        found = EPOCH + timedelta(day)
        return found if self.step == "day" else found - timedelta(found.weekday())


def period_of(connection: Connection, scope: Scope, filters: Filters, today: date) -> Period:
    """The period that is asked for; by default the 30 days up to the last day that has a review.

    So a business whose reviews were read from a file sees its last month, not an empty one.
    """
    until = filters.until
    if until is None:
        newest = select(reviews.c.day).where(scope.limits(reviews.c.business))
        if filters.business is not None:
            newest = newest.where(reviews.c.business == filters.business)
        day = connection.scalar(newest.order_by(reviews.c.created_at.desc()).limit(1))
        until = today if day is None else min(today, EPOCH + timedelta(day))
        until = max(until, filters.since or until)
    return Period(filters.since or until - timedelta(DEFAULT_DAYS - 1), until)
