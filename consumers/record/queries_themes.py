"""One theme in depth: its trend, what its issues say, typical quotes, businesses compared; and what there is to filter by.

It does not know topics beyond the closed list of themes.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

from sqlalchemy import Connection, func, select

from consumers.record.answers import (
    Business,
    BusinessCount,
    IssueRow,
    Meta,
    ThemeCount,
    ThemeDetail,
    ThemePoint,
)
from consumers.record.conditions import moment
from consumers.record.filters import Filters
from consumers.record.periods import EPOCH, period_of
from consumers.record.queries import issue_page
from consumers.record.queries_first import inside_period, told
from consumers.record.queries_summary import theme_counts
from consumers.record.schema import issues, progress, reviews, rollups
from consumers.record.scope import Scope
from consumers.record.sums import COMPARED, by_business, by_day, sums
from shared.review import Theme

_SENTENCES, _QUOTES, _READ_FOR_QUOTES, _BUSINESSES = 5, 6, 50, 200


def themes(
    connection: Connection, scope: Scope, filters: Filters, today: date
) -> tuple[ThemeCount, ...]:
    """Every theme that has issues in the period or the one before it, most first.

    Raises:
        InvalidRequest: a filter is set that daily counts do not know.
    """
    filters = filters.only_rollups()
    period = period_of(connection, scope, filters, today)
    now = sums(connection, scope, filters, period, COMPARED)
    return tuple(theme_counts(now, sums(connection, scope, filters, period.before, COMPARED)))


def theme_detail(
    connection: Connection, scope: Scope, theme: Theme, filters: Filters, today: date
) -> ThemeDetail:
    """One theme in the period; all empty where it has no issue.

    Raises:
        InvalidRequest: a filter is set that daily counts do not know.
    """
    filters = filters.only_rollups()
    period = period_of(connection, scope, filters, today)
    now = sums(connection, scope, filters, period, COMPARED)
    counts = theme_counts(now, sums(connection, scope, filters, period.before, COMPARED))
    none = ThemeCount(theme=theme, issues=0, share=0.0, before=0, change=None)
    points: Counter[date] = Counter()
    for row in by_day(connection, scope, filters, period, "theme", theme):
        points[period.step_of(row.day)] += int(row.amount)
    inside = [*inside_period(scope, filters, period), issues.c.theme == theme]
    affected = by_business(connection, scope, filters, period, "theme", theme)
    reviewed = by_business(connection, scope, filters, period, "review", among=affected)
    within = filters.but(theme=(theme,), since=period.since, until=period.until)
    return ThemeDetail(
        count=next((count for count in counts if count.theme == theme), none),
        since=period.since,
        until=period.until,
        step=period.step,
        trend=tuple(ThemePoint(day=day, issues=points[day]) for day in period.steps()),
        problems=tuple(told(connection, inside, issues.c.problem, _SENTENCES)),
        actions=tuple(told(connection, inside, issues.c.action, _SENTENCES)),
        quotes=_quotes(issue_page(connection, scope, within, limit=_READ_FOR_QUOTES).issues),
        businesses=tuple(
            BusinessCount(
                business=business or None,
                issues=count,
                reviews=(total := reviewed.get(business, 0)),
                share=count / total if total else 0.0,
            )
            for business, count in affected.items()
        ),
    )


def meta(connection: Connection, scope: Scope) -> Meta:
    """Businesses, sources, categories and days that the scope sees, and how far the record has read."""
    row, amount = rollups.c, func.sum(rollups.c.amount)
    counted = select(row.business, row.source, row.category, amount.label("amount")).where(
        row.kind == "review", row.value == "", scope.limits(row.business)
    )
    businesses: Counter[str] = Counter()
    sources, categories = set(), set()
    for found in connection.execute(counted.group_by(row.business, row.source, row.category)):
        businesses[found.business] += int(found.amount)
        sources.add(found.source)
        categories.add(found.category)
    # Two queries: each is one look into the index, min and max in one would read all of it.
    days, by_time = (
        select(reviews.c.day).where(scope.limits(reviews.c.business)),
        reviews.c.created_at,
    )
    first = connection.scalar(days.order_by(by_time).limit(1))
    last = connection.scalar(days.order_by(by_time.desc()).limit(1))
    read = read_to(connection)
    return Meta(
        businesses=tuple(
            Business(name=name or None, reviews=count)
            for name, count in businesses.most_common(_BUSINESSES)
        ),
        sources=tuple(sorted(sources)),
        categories=tuple(sorted(categories - {""})),
        first_day=None if first is None else EPOCH + timedelta(first),
        last_day=None if last is None else EPOCH + timedelta(last),
        reviews=businesses.total(),
        read_to=None if read is None else read[0],
        read_at=None if read is None else moment(read[1]),
    )


def read_to(connection: Connection) -> tuple[str, int] | None:
    """(entry, updated_at) of the feed as far as the record has read it; None where it has read nothing."""
    query = select(progress.c.entry, progress.c.updated_at).where(progress.c.name == "feed")
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.entry, row.updated_at)


def _quotes(found: tuple[IssueRow, ...]) -> tuple[IssueRow, ...]:
    """The most confident, each told once."""
    best = sorted(found, key=lambda issue: -(issue.confidence or 0))
    once = {issue.evidence.lower(): issue for issue in reversed(best)}
    return tuple(sorted(once.values(), key=lambda issue: -(issue.confidence or 0))[:_QUOTES])
