"""Spikes of the record: themes and topics of each business, the last days against the weeks before.

It knows the record's daily counts and links; the test itself is in spikes.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Select, case, func, select

from consumers.record.conditions import day_number
from consumers.record.schema import issues, rollups, topic_issues, topics
from consumers.record.scope import Scope
from consumers.topics.spikes import MINIMUM, Series, Verdict, judge

DAYS, WINDOWS = 7, 8


@dataclass(frozen=True)
class Spike:
    """A theme or topic of a business that has risen beyond chance. `business` "": reviews that name none.

    `count` in the days from `since` to `until` (both included), `verdict.expected` by the
    `windows` periods of the same length before.
    """

    kind: Literal["theme", "topic"]
    key: str
    name: str
    business: str
    since: date
    until: date
    windows: int
    count: int
    verdict: Verdict

    @property
    def sentence(self) -> str:
        """The spike in one sentence, with its statistic."""
        days = (self.until - self.since).days + 1
        return (
            f"{self.name}: {self.count} in the {days} days to {self.until}, "
            f"{self.verdict.expected:.1f} expected by the {self.windows} periods before; "
            f"{self.verdict.statistic}"
        )


def spikes(
    connection: Connection,
    scope: Scope,
    until: date,
    *,
    business: str | None = None,
    days: int = DAYS,
    windows: int = WINDOWS,
    minimum: int = MINIMUM,
) -> list[Spike]:
    """What has risen in the `days` up to `until`, the surest first.

    Themes and topics of every business in scope are tested together, so that looking at many
    things does not raise false alarms.

    Raises:
        Forbidden: another business than the scope's was asked for.
    """
    alone = scope.business is not None
    asked = _Asked(scope.narrow(business), day_number(until), days, windows, alone)
    reviews = asked.reviews(connection)
    counted = {**asked.themes(connection), **asked.topics(connection)}
    known = [key for key in sorted(counted) if key[3] in reviews]
    series = [
        Series(
            counts=tuple(counted[key][1:]),
            reviews=tuple(reviews[key[3]][1:]),
            current=counted[key][0],
            current_reviews=reviews[key[3]][0],
        )
        for key in known
    ]
    since = until - timedelta(days - 1)
    out = [
        Spike(*key, since, until, windows, counted[key][0], verdict)
        for key, verdict in zip(known, judge(series, minimum), strict=True)
        if verdict is not None and verdict.flagged
    ]
    return sorted(out, key=lambda spike: (spike.verdict.p, spike.kind, spike.key, spike.business))


_Key = tuple[Literal["theme", "topic"], str, str, str]  # kind, key, name, business


@dataclass(frozen=True)
class _Asked:
    """The periods that are counted: window 0 ends with day `last`, window 1 ends `days` earlier."""

    business: str | None
    last: int
    days: int
    windows: int
    alone: bool

    def reviews(self, connection: Connection) -> dict[str, list[int]]:
        """Business -> analysed reviews by window. Those that wait can tell of nothing yet."""
        row = rollups.c
        amount = case((row.kind == "waiting", -row.amount), else_=row.amount)
        query = select(row.business, func.sum(amount)).where(row.kind.in_(("review", "waiting")))
        return {key[0]: counts for key, counts in self._counts(connection, query, row).items()}

    def themes(self, connection: Connection) -> dict[_Key, list[int]]:
        """Shown issues by window."""
        row = rollups.c
        query = select(row.value, row.business, func.sum(row.amount)).where(row.kind == "theme")
        return {
            ("theme", theme, theme, business): counts
            for (theme, business), counts in self._counts(connection, query, row).items()
        }

    def topics(self, connection: Connection) -> dict[_Key, list[int]]:
        """Linked issues by window."""
        row = issues.c
        linked = topic_issues.join(issues, topic_issues.c.issue_id == row.id)
        query = select(topic_issues.c.topic_id, row.business, func.count()).select_from(linked)
        # A topic's name is a sentence of any business's review: whoever may see one only gets its own.
        own = func.min(func.coalesce(row.problem, row.evidence))
        named = (
            select(topics.c.id, topics.c.name)
            if not self.alone
            else select(topic_issues.c.topic_id, own)
            .select_from(linked)
            .where(row.business == self.business)
            .group_by(topic_issues.c.topic_id)
        )
        names = {i: name for i, name in connection.execute(named)}
        return {
            ("topic", topic, names[topic], business): counts
            for (topic, business), counts in self._counts(connection, query, row).items()
        }

    def _counts(
        self, connection: Connection, query: Select[Any], row: Any
    ) -> dict[tuple[str, ...], list[int]]:
        """Rows (key..., amount) by window; `row` has `business` and `day`."""
        first = self.last - self.days * (self.windows + 1) + 1
        query = query.where(row.day.between(first, self.last))
        if self.business is not None:
            query = query.where(row.business == self.business)
        *keys, amount = query.selected_columns
        window = (self.last - row.day) // self.days
        query = query.with_only_columns(*keys, window, amount).group_by(*keys, window)
        out: dict[tuple[str, ...], list[int]] = {}
        rows: Iterable[Any] = connection.execute(query)
        for *key, at, count in rows:
            out.setdefault(tuple(key), [0] * (self.windows + 1))[int(at)] = int(count)
        return out
