"""What to do first: themes ranked by frequency x urgency x recency, with what most of their issues say.

    score = issues x mean urgency x mean recency
          = the sum over the period's open issues of urgency x recency

urgency of an issue's review: low 1, normal 2, high 4; recency: 0.5 ^ (age in days at the period's end / 14).
The mean recency is weighted by urgency, so that the product is exactly the sum. Issues that people
settled (done, or not an issue) do not count. It does not know daily counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from consumers.record.answers import Priority, Told
from consumers.record.conditions import of_place
from consumers.record.filters import Filters
from consumers.record.periods import Period
from consumers.record.schema import issue_state, issues
from consumers.record.scope import Scope

FORMULA = (
    "score = issues × mean urgency (low 1, normal 2, high 4) × mean recency "
    "(halved every 14 days, weighted by urgency); issues that are done or judged to be none are left out"
)
HALF_LIFE_DAYS = 14
_WEIGHTS = {None: 1, 0: 1, 1: 2, 2: 4}
_SETTLED = ("done", "not an issue")
# Sentences are counted over so many of a theme's newest issues: enough to know the most frequent.
_NEWEST_ISSUES = 500
_MOST_SETTLED = 1_000_000


@dataclass
class _Weighed:
    issues: int = 0
    urgency: float = 0.0
    score: float = 0.0
    by_age: Counter[int] = field(default_factory=Counter)

    def add(self, amount: int, urgency: int | None, age_days: int) -> None:
        weight = amount * _WEIGHTS[urgency]
        self.issues += amount
        self.by_age[age_days] += amount
        self.urgency += weight
        self.score += weight * 0.5 ** (age_days / HALF_LIFE_DAYS)


def first(
    connection: Connection, scope: Scope, filters: Filters, period: Period, limit: int = 5
) -> list[Priority]:
    """The themes with the highest scores, highest first; see the module for the formula."""
    inside = inside_period(scope, filters, period)
    last_day = period.numbers[1]
    weighed: dict[str, _Weighed] = defaultdict(_Weighed)
    for sign, query in ((1, _groups), (-1, _settled)):
        for row in connection.execute(query(scope, filters, period)):
            weighed[row.theme].add(sign * row.amount, row.urgency, last_day - row.day)
    ranked = sorted(weighed.items(), key=lambda x: (-round(x[1].score, 6), x[0]))
    out = []
    for theme, weight in ranked[:limit]:
        if weight.issues < 1:
            continue
        of_theme = [*inside, issues.c.theme == theme]
        action = _first(told(connection, of_theme, issues.c.action, 1))
        # A quote that shows why: of an issue that asks for this action, where there is one.
        about = of_theme if action is None else [*of_theme, issues.c.action == action]
        quote = connection.execute(_quote(about)).one_or_none()
        out.append(
            Priority(
                theme=theme,
                score=round(weight.score, 3),
                issues=weight.issues,
                since=period.until - timedelta(max(age for age, n in weight.by_age.items() if n)),
                mean_urgency=round(weight.urgency / weight.issues, 3),
                mean_recency=round(weight.score / weight.urgency, 3),
                action=action,
                problem=_first(told(connection, of_theme, issues.c.problem, 1)),
                quote=None if quote is None else quote.evidence,
                review_id=None if quote is None else quote.review_id,
            )
        )
    return out


def inside_period(scope: Scope, filters: Filters, period: Period) -> list[ColumnElement[bool]]:
    """Conditions over shown `issues`: business, source and category, and the period in seconds.

    Raises:
        Forbidden: another business than the scope's is asked for.
    """
    since, until = (number * 86400 for number in period.numbers)
    within = issues.c.created_at.between(since, until + 86399)
    return [*_shown(scope, filters, issues.c), within]


def _shown(scope: Scope, filters: Filters, row: Any) -> list[ColumnElement[bool]]:
    return [row.shown == 1, *of_place(filters, scope, row)]


def told(
    connection: Connection, inside: list[ColumnElement[bool]], column: Any, limit: int
) -> list[Told]:
    """The sentences that most of the newest issues carry, most first."""
    newest = select(column.label("text")).where(*inside, column.is_not(None))
    newest = newest.order_by(issues.c.created_at.desc()).limit(_NEWEST_ISSUES)
    some, count = newest.subquery(), func.count()
    query = select(some.c.text, count.label("amount")).group_by(some.c.text)
    rows = connection.execute(query.order_by(count.desc(), some.c.text).limit(limit))
    return [Told(text=row.text, issues=row.amount) for row in rows]


def _groups(scope: Scope, filters: Filters, period: Period) -> Select[Any]:
    row = issues.c
    query = select(row.theme, row.urgency, row.day, func.count().label("amount"))
    inside = [*_shown(scope, filters, row), row.day.between(*period.numbers)]
    return query.where(*inside).group_by(row.day, row.theme, row.urgency)


def _settled(scope: Scope, filters: Filters, period: Period) -> Select[Any]:
    """The same of those that people settled: few, and found from their states.

    The inner query's limit keeps the database from seeking them among all issues of the period.
    """
    state, row = issue_state.c, issues.c
    some = (
        select(row.theme, row.urgency, row.day, row.shown, row.business, row.source, row.category)
        .where(row.id.in_(select(state.issue_id).where(state.status.in_(_SETTLED))))
        .limit(_MOST_SETTLED)
    )
    inner = some.subquery()
    query = select(inner.c.theme, inner.c.urgency, inner.c.day, func.count().label("amount"))
    inside = [*_shown(scope, filters, inner.c), inner.c.day.between(*period.numbers)]
    return query.where(*inside).group_by(inner.c.day, inner.c.theme, inner.c.urgency)


def _quote(inside: list[ColumnElement[bool]]) -> Select[Any]:
    """The most confident of the newest."""
    row = issues.c
    newest = select(row.evidence, row.review_id, row.confidence, row.created_at, row.id)
    some = newest.where(*inside).order_by(row.created_at.desc(), row.id).limit(50).subquery()
    best = func.coalesce(some.c.confidence, 0).desc()
    return select(some.c.evidence, some.c.review_id).order_by(best, some.c.id).limit(1)


def _first(sentences: list[Told]) -> str | None:
    return sentences[0].text if sentences else None
