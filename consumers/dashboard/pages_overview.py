"""The overview: what hurts, why, since when, and what to do first.

It does not know how sums are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from consumers.dashboard import charts, words
from consumers.dashboard.periods import PERIODS, Asked
from consumers.record.answers import Meta, Summary, ThemeCount
from consumers.record.queries_first import FORMULA
from consumers.topics.rising import Spike

_EMOTIONS, _THEMES, _URGENT, _RISEN = 8, 8, 4, 3


def overview(found: Summary, risen: Sequence[Spike], meta: Meta, asked: Asked) -> dict[str, Any]:
    """The values of overview.html."""
    days = [p.day for p in found.trend]
    step = "week" if found.step == "week" else "day"
    return {
        **frame(meta, asked),
        "volume": found.reviews,
        "nothing_at_all": meta.reviews == 0,
        "newest": _moment(meta),
        "wider": urlencode(
            {**({"business": asked.business} if asked.business else {}), "period": "all"}
        ),
        "risen": spike_rows(risen[:_RISEN], asked),
        "sentences": words.summary_sentences(found),
        "formula": FORMULA[0].upper() + FORMULA[1:] + ".",
        "change_help": words.CHANGE_HELP,
        "first": [
            {
                "theme": item.theme,
                "action": item.action,
                "told": item.problem or f"Read what customers say about {item.theme}.",
                "quote": item.quote,
                "count_words": words.priority_count(item, found),
                "since": item.since,
                "review_id": item.review_id,
            }
            for item in found.first
        ],
        "themes": theme_rows(found.themes[:_THEMES]),
        "compared": found.reviews_before > 0,
        "urgent": found.urgent[:_URGENT],
        "step": step,
        "volume_chart": charts.columns(
            f"Reviews by {step}",
            words.steps(days, found.step, [float(p.reviews) for p in found.trend]),
            "reviews",
        ),
        "rating_chart": charts.line(
            f"Mean rating by {step}",
            words.steps(days, found.step, [p.mean_rating for p in found.trend]),
            "of 5 stars",
            1,
            5,
        ),
        "emotions": _emotions(found),
    }


def frame(meta: Meta, asked: Asked) -> dict[str, Any]:
    """What pages about a business and a period share: the selectors and the links."""
    return {
        "businesses": [b.name for b in meta.businesses if b.name],
        "business": asked.business,
        "period": asked.period,
        "periods": _periods(asked),
        "query": asked.query,
        "query_dates": asked.dates,
    }


def spike_rows(risen: Sequence[Spike], asked: Asked) -> list[dict[str, str]]:
    """What has risen beyond chance, the surest first; a theme leads to its page."""
    return [
        {
            "told": words.spike_sentence(spike, asked.business is None),
            "statistic": spike.verdict.statistic,
            "theme": spike.key if spike.kind == "theme" else "",
            "topic": spike.key if spike.kind == "topic" else "",
        }
        for spike in risen
    ]


def theme_rows(themes: tuple[ThemeCount, ...]) -> list[dict[str, Any]]:
    """Themes with issues in the period, most first; the longest bar is the first one's."""
    most = max((t.issues for t in themes), default=0) or 1
    return [
        {
            "theme": t.theme,
            "count": t.issues,
            "share": t.issues / most,
            "change": words.theme_change(t),
        }
        for t in themes
        if t.issues
    ]


def _emotions(found: Summary) -> list[dict[str, Any]]:
    """The most frequent ones; "neutral" says that none was found, so it is left out."""
    analysed = max(found.reviews - found.waiting, 1)
    felt = [(e, n) for e, n in found.emotions.items() if e != "neutral"][:_EMOTIONS]
    most = max((n for _, n in felt), default=0) or 1
    return [
        {
            "emotion": emotion,
            "scale": count / most,
            "percent": words.percent(count / analysed),
            "kind": words.kind_of(emotion),
        }
        for emotion, count in felt
    ]


def _periods(asked: Asked) -> tuple[tuple[str, str], ...]:
    """The ones to choose from, and the days themselves where these were asked for."""
    if asked.period in dict(PERIODS):
        return PERIODS
    first, _, last = asked.period.partition("..")
    return ((asked.period, f"{first} to {last}"), *PERIODS)


def _moment(meta: Meta) -> datetime | None:
    day = meta.last_day
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
