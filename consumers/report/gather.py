"""The report's content, from the record: one frozen Report that every form (HTML, Markdown, PDF) shows.

The same record and dates give the same Report. It does not know how it looks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, and_, or_, select

from consumers.record.answers import Interval, IssueRow, Meta, Summary, ThemeCount, Told
from consumers.record.conditions import of_place
from consumers.record.filters import Filters
from consumers.record.periods import Period, period_of
from consumers.record.queries import issue_page
from consumers.record.queries_first import inside_period, told
from consumers.record.queries_summary import summary
from consumers.record.queries_themes import meta
from consumers.record.rates import rate_ratio
from consumers.record.schema import issues, reviews
from consumers.record.scope import Scope
from consumers.record.sums import by_day, sums
from consumers.report.loved import Loved, loved
from consumers.topics.rising import Spike, spikes
from shared.review import NEGATIVE, POSITIVE

PAINS, QUOTES, EMOTIONS_SHOWN = 5, 2, 8
# Texts that are read for what customers love: enough to know what is praised most, whatever the
# period holds. Ids are hashes, so the first of them are a fair draw.
HAPPY_TEXTS, UNHAPPY_TEXTS = 4000, 2000
_READ, _SURE = 50, 6  # newest issues of a theme, and the surest of them to quote from


@dataclass(frozen=True)
class EmotionCount:
    """Reviews in which an emotion is present; `change`: rate of now over rate of before."""

    emotion: str
    leaning: str  # "positive", "negative", "ambiguous"
    reviews: int
    share: float
    change: Interval | None


@dataclass(frozen=True)
class Pain:
    """A theme that hurts. `trend`: issues by step of the period; `quotes`: of its newest issues, the surest first."""

    count: ThemeCount
    trend: tuple[int, ...]
    problem: Told | None
    quotes: tuple[IssueRow, ...]


@dataclass(frozen=True)
class Report:
    """All that a report says. `texts`: happy and unhappy reviews that were read for `loved`."""

    summary: Summary
    period: Period
    pains: tuple[Pain, ...]
    spikes: tuple[Spike, ...]
    loved: tuple[Loved, ...]
    texts: tuple[int, int]
    emotions: tuple[EmotionCount, ...]
    known: Meta | None  # what there is instead, where the period has no review


def gather(
    connection: Connection, scope: Scope, filters: Filters, today: date, days: int | None = None
) -> Report:
    """The report of `filters`' business, sources and days.

    Args:
        connection: of the record.
        scope: what may be seen.
        filters: business, source, category, since, until.
        today: no day after it is reported.
        days: the period's length, where `filters` has no `since`.

    Raises:
        InvalidRequest: another filter is set.
    """
    if days is not None and filters.since is None:
        until = period_of(connection, scope, filters, today).until
        filters = filters.but(since=until - timedelta(days - 1), until=until)
    period = period_of(connection, scope, filters, today)
    filters = filters.but(since=period.since, until=period.until)
    overview = summary(connection, scope, filters, today)
    hurting = [count for count in overview.themes if count.issues][:PAINS]
    happy, unhappy = texts(connection, scope, filters, period)
    return Report(
        summary=overview,
        period=period,
        pains=tuple(_pain(connection, scope, filters, period, count) for count in hurting),
        spikes=tuple(spikes(connection, scope, period.until, business=filters.business)),
        loved=tuple(loved(happy, [text for _, text in unhappy])),
        texts=(len(happy), len(unhappy)),
        emotions=tuple(_emotions(connection, scope, filters, period, overview)),
        known=None if overview.reviews else meta(connection, scope),
    )


def _pain(
    connection: Connection, scope: Scope, filters: Filters, period: Period, count: ThemeCount
) -> Pain:
    trend: Counter[date] = Counter()
    for row in by_day(connection, scope, filters, period, "theme", count.theme):
        trend[period.step_of(row.day)] += int(row.amount)
    inside = [*inside_period(scope, filters, period), issues.c.theme == count.theme]
    newest = issue_page(connection, scope, filters.but(theme=(count.theme,)), limit=_READ).issues
    surest = sorted(newest, key=lambda issue: (-(issue.confidence or 0), issue.id))
    said = {issue.evidence.lower(): issue for issue in reversed(surest)}
    return Pain(
        count=count,
        trend=tuple(trend[step] for step in period.steps()),
        problem=next(iter(told(connection, inside, issues.c.problem, 1)), None),
        quotes=tuple(issue for issue in surest if said[issue.evidence.lower()] is issue)[:_SURE],
    )


def texts(
    connection: Connection,
    scope: Scope,
    filters: Filters,
    period: Period,
    most: tuple[int, int] = (HAPPY_TEXTS, UNHAPPY_TEXTS),
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(id, text) of happy reviews of the period, and of unhappy ones, at most so many; English, or of no known language."""
    row = reviews.c
    inside = [
        *of_place(filters, scope, row),
        row.day.between(*period.numbers),
        row.language.in_(("en", "")),
    ]
    sides = (
        (or_(row.rating >= 4, and_(row.rating.is_(None), row.negative_weight < 0)), most[0]),
        (row.rating <= 3, most[1]),
    )
    out = []
    for side, limit in sides:
        query = select(row.id, row.text).where(*inside, side).order_by(row.id).limit(limit)
        out.append([(found.id, found.text) for found in connection.execute(query)])
    return out[0], out[1]


def _emotions(
    connection: Connection, scope: Scope, filters: Filters, period: Period, overview: Summary
) -> list[EmotionCount]:
    """The most frequent, most first; "neutral" is the absence of one."""
    before = sums(connection, scope, filters, period.before)
    earlier, analysed = before.of("emotion"), overview.reviews - overview.waiting
    return [
        EmotionCount(
            emotion=emotion,
            leaning=_leaning(emotion),
            reviews=count,
            share=count / analysed if analysed else 0.0,
            change=rate_ratio(count, analysed, earlier.get(emotion, 0), before.analysed),
        )
        for emotion, count in overview.emotions.items()
        if emotion != "neutral"
    ][:EMOTIONS_SHOWN]


def _leaning(emotion: str) -> str:
    if emotion in POSITIVE:
        return "positive"
    return "negative" if emotion in NEGATIVE else "ambiguous"
