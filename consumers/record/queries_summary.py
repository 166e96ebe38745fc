"""The overview of a period against the one before it, and two of them side by side.

Sums come from daily counts (sums.py), so all but "do this first" costs the same for any number of
reviews. It does not know one theme in depth (queries_themes.py).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date

from sqlalchemy import Connection

from consumers.record.answers import (
    Comparison,
    Point,
    Summary,
    ThemeCount,
    ThemeRatio,
)
from consumers.record.filters import Filters
from consumers.record.periods import Period, period_of
from consumers.record.queries import review_page
from consumers.record.queries_first import first
from consumers.record.rates import mean_difference, rate_ratio
from consumers.record.scope import Scope
from consumers.record.sums import COMPARED, Sums, by_day, sums
from shared.review import URGENCIES

MOST_URGENT = 10  # urgent reviews of a summary


def summary(connection: Connection, scope: Scope, filters: Filters, today: date) -> Summary:
    """The overview of `filters`' business, sources, categories and days.

    Raises:
        InvalidRequest: a filter is set that daily counts do not know.
    """
    filters = filters.only_rollups()
    period = period_of(connection, scope, filters, today)
    return _summary(connection, scope, filters, period)[0]


def compare(
    connection: Connection, scope: Scope, left: Filters, right: Filters, today: date
) -> Comparison:
    """Two businesses or two periods: both overviews, and how far they are apart.

    Raises:
        InvalidRequest: a filter is set that daily counts do not know.
    """
    sides = []
    for filters in (left.only_rollups(), right.only_rollups()):
        period = period_of(connection, scope, filters, today)
        sides.append(_summary(connection, scope, filters, period))
    (one, ones), (other, others) = sides
    mine, theirs = ones.of("theme"), others.of("theme")
    themes = sorted(mine.keys() | theirs.keys(), key=lambda t: (-mine.get(t, 0), t))
    return Comparison(
        left=one,
        right=other,
        rating_difference=mean_difference(ones.ratings, others.ratings),
        themes=tuple(
            ThemeRatio(
                theme=theme,
                left=(a := mine.get(theme, 0)),
                right=(b := theirs.get(theme, 0)),
                ratio=rate_ratio(a, ones.analysed, b, others.analysed),
            )
            for theme in themes
        ),
    )


def theme_counts(now: Sums, before: Sums) -> list[ThemeCount]:
    """Every theme that has issues in either period, most first."""
    counts, earlier = now.of("theme"), before.of("theme")
    themes = sorted(counts.keys() | earlier.keys(), key=lambda t: (-counts.get(t, 0), t))
    return [
        ThemeCount(
            theme=theme,
            issues=(n := counts.get(theme, 0)),
            share=n / now.analysed if now.analysed else 0.0,
            before=(m := earlier.get(theme, 0)),
            change=rate_ratio(n, now.analysed, m, before.analysed),
        )
        for theme in themes
    ]


def _summary(
    connection: Connection, scope: Scope, filters: Filters, period: Period
) -> tuple[Summary, Sums]:
    now = sums(connection, scope, filters, period)
    before = sums(connection, scope, filters, period.before, COMPARED)
    ratings, urgency = now.ratings, now.of("urgency")
    urgent = filters.but(
        since=period.since, until=period.until, urgency=("high",), status=("open",)
    )
    answer = Summary(
        business=scope.narrow(filters.business),
        since=period.since,
        until=period.until,
        reviews=now.reviews,
        reviews_before=before.reviews,
        waiting=now.waiting,
        mean_rating=ratings.mean,
        mean_rating_before=before.ratings.mean,
        rating_change=mean_difference(ratings, before.ratings),
        ratings={str(stars): ratings.stars.get(stars, 0) for stars in range(1, 6)},
        step=period.step,
        trend=tuple(_trend(connection, scope, filters, period)),
        emotions=now.of("emotion"),
        urgency={name: urgency.get(str(n), 0) for n, name in enumerate(URGENCIES)},  # type: ignore[misc]
        themes=tuple(theme_counts(now, before)),
        first=tuple(first(connection, scope, filters, period)),
        urgent=review_page(connection, scope, urgent, limit=MOST_URGENT).reviews,
    )
    return answer, now


def _trend(connection: Connection, scope: Scope, filters: Filters, period: Period) -> list[Point]:
    found: dict[date, list[float]] = defaultdict(lambda: [0, 0, 0])
    for row in by_day(connection, scope, filters, period, "review"):
        point = found[period.step_of(row.day)]
        point[0] += int(row.amount)
        point[1] += int(row.rated)
        point[2] += float(row.total)
    return [
        Point(day=day, reviews=int(amount), mean_rating=total / rated if rated else None)
        for day in period.steps()
        for amount, rated, total in [found[day]]
    ]
