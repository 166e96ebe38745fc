"""The report's content, from the record: one frozen Report that every form (HTML, Markdown, PDF) shows.

The same record and dates give the same Report. It does not know how it looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from consumers.record.answers import Interval, Meta, Summary, ThemeDetail
from consumers.record.filters import Filters
from consumers.record.periods import Period, period_of
from consumers.record.queries_summary import summary
from consumers.record.queries_themes import meta, theme_detail
from consumers.record.rates import rate_ratio
from consumers.record.schema import reviews
from consumers.record.scope import Scope
from consumers.record.sums import sums
from consumers.report.loved import Loved, loved
from consumers.topics.rising import Spike, spikes
from shared.review import NEGATIVE, POSITIVE

PAINS, QUOTES, EMOTIONS_SHOWN = 5, 2, 8
# Texts that are read for what customers love: enough to know what is praised most, whatever the
# period holds. Ids are hashes, so the first of them are a fair draw.
HAPPY_TEXTS, UNHAPPY_TEXTS = 4000, 2000


@dataclass(frozen=True)
class EmotionCount:
    """Reviews in which an emotion is present; `change`: rate of now over rate of before."""

    emotion: str
    leaning: str  # "positive", "negative", "ambiguous"
    reviews: int
    share: float
    change: Interval | None


@dataclass(frozen=True)
class Report:
    """All that a report says. `texts`: happy and unhappy reviews that were read for `loved`."""

    summary: Summary
    period: Period
    analysed: int
    pains: tuple[ThemeDetail, ...]
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
    pains = [theme.theme for theme in overview.themes if theme.issues][:PAINS]
    happy, unhappy = texts(connection, scope, filters, period)
    return Report(
        summary=overview,
        period=period,
        analysed=overview.reviews - overview.waiting,
        pains=tuple(theme_detail(connection, scope, theme, filters, today) for theme in pains),
        spikes=tuple(spikes(connection, scope, period.until, business=filters.business)),
        loved=tuple(loved(happy, [text for _, text in unhappy])),
        texts=(len(happy), len(unhappy)),
        emotions=tuple(_emotions(connection, scope, filters, period)),
        known=None if overview.reviews else meta(connection, scope),
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
    inside: list[ColumnElement[bool]] = [
        scope.limits(row.business),
        row.day.between(*period.numbers),
        row.language.in_(("en", "")),
    ]
    if filters.business is not None:
        inside.append(row.business == filters.business)
    if filters.source:
        inside.append(row.source.in_(filters.source))
    if filters.category:
        inside.append(row.category.in_(filters.category))
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
    connection: Connection, scope: Scope, filters: Filters, period: Period
) -> list[EmotionCount]:
    """The most frequent, most first; "neutral" is the absence of one."""
    now = sums(connection, scope, filters, period)
    before = sums(connection, scope, filters, period.before)
    earlier = before.of("emotion")
    return [
        EmotionCount(
            emotion=emotion,
            leaning=_leaning(emotion),
            reviews=count,
            share=count / now.analysed if now.analysed else 0.0,
            change=rate_ratio(count, now.analysed, earlier.get(emotion, 0), before.analysed),
        )
        for emotion, count in now.of("emotion").items()
        if emotion != "neutral"
    ][:EMOTIONS_SHOWN]


def _leaning(emotion: str) -> str:
    if emotion in POSITIVE:
        return "positive"
    return "negative" if emotion in NEGATIVE else "ambiguous"
