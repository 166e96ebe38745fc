"""A Report as the lines and numbers that all its forms show, in their order; plain text.

It does not draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumers.record.answers import Point
from consumers.report import words
from consumers.report.draw import grouped
from consumers.report.gather import QUOTES, Pain, Report


@dataclass(frozen=True)
class Fact:
    """One of the numbers at the top."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class First:
    """One thing to do."""

    action: str
    title: str
    why: str


@dataclass(frozen=True)
class PainView:
    """One pain point.

    `way`: "up" or "down" where the change is clear, else ""; `trend`: at most 15 sums.
    """

    title: str
    issues: str
    change: str
    way: str
    problem: str
    quotes: tuple[str, ...]
    trend: tuple[int, ...]


@dataclass(frozen=True)
class Praise:
    """One thing that customers loved."""

    phrase: str
    reviews: int
    quote: str


@dataclass(frozen=True)
class Feeling:
    """One emotion; `width` is its share as a percentage of the largest share shown."""

    name: str
    leaning: str
    share: str
    change: str
    width: int


@dataclass(frozen=True)
class View:
    """Everything that is shown, top to bottom."""

    business: str
    period: str
    headline: str
    facts: tuple[Fact, ...]
    trend: tuple[Point, ...]
    legend: str
    rising: tuple[str, ...]
    first: tuple[First, ...]
    pains: tuple[PainView, ...]
    loved: tuple[Praise, ...]
    emotions: tuple[Feeling, ...]
    method: tuple[str, ...]


FIRST_SHOWN, RISING_SHOWN = 3, 3
_QUOTE_CHARS, _POINTS = 90, 31


def view_of(report: Report) -> View:
    """The report in words."""
    told = report.summary
    most = max((emotion.share for emotion in report.emotions), default=0) or 1
    trend, joined = _calm(told.trend)
    return View(
        business=words.business(report),
        period=words.days(told.since, told.until),
        headline=words.headline(report),
        facts=_facts(report) if told.reviews else (),
        trend=trend,
        legend=f"Bars: reviews {_step(told.step, joined)}. Line: mean rating.",
        rising=tuple(words.spike(spike) for spike in report.spikes[:RISING_SHOWN]),
        first=tuple(
            First(words.action(one), words.title(one.theme), words.why(one))
            for one in told.first[:FIRST_SHOWN]
        ),
        pains=tuple(
            PainView(
                title=words.title(pain.count.theme),
                issues=words.number(pain.count.issues),
                change=words.count_change(pain.count.change),
                way={1: "up", 0: "", -1: "down"}[words.clear(pain.count.change)],
                problem=words.problem(pain),
                quotes=_quotes(pain),
                trend=tuple(grouped(pain.trend)),
            )
            for pain in report.pains
        ),
        loved=tuple(
            Praise(one.phrase, one.reviews, words.quote(one.quote)) for one in report.loved
        ),
        emotions=tuple(
            Feeling(
                name=emotion.emotion,
                leaning=emotion.leaning,
                share=f"{100 * emotion.share:.0f}%",
                change=words.emotion_change(emotion),
                width=round(100 * emotion.share / most),
            )
            for emotion in report.emotions
        ),
        method=tuple(words.method(report)),
    )


def _calm(points: Sequence[Point]) -> tuple[tuple[Point, ...], int]:
    """At most a month of points, each the sum of so many neighbours: one review a day makes a line of noise."""
    joined = -(-len(points) // _POINTS) or 1
    out = []
    for first in range(0, len(points), joined):
        some = points[first : first + joined]
        rated = [(point.reviews, point.mean_rating) for point in some if point.mean_rating]
        weight = sum(count for count, _ in rated)
        mean = sum(count * rating for count, rating in rated) / weight if weight else None
        total = sum(point.reviews for point in some)
        out.append(Point(day=some[0].day, reviews=total, mean_rating=mean))
    return tuple(out), joined


def _step(step: str, joined: int) -> str:
    return f"a {step}" if joined == 1 else f"in {joined} {step}s"


def _quotes(pain: Pain) -> tuple[str, ...]:
    """Of the most confident ones those that are neither too short to say something nor too long."""
    said = [issue.evidence for issue in pain.quotes]
    said.sort(key=lambda text: (abs(len(text) - _QUOTE_CHARS), text))
    return tuple(words.quote(text) for text in said[:QUOTES])


def _facts(report: Report) -> tuple[Fact, ...]:
    told = report.summary
    change = told.rating_change
    unhappy = sum(told.ratings[stars] for stars in ("1", "2"))
    rated = sum(told.ratings.values())
    issues = sum(theme.issues for theme in told.themes)
    return (
        Fact("reviews", words.number(told.reviews), f"{words.number(told.reviews_before)} before"),
        Fact(
            "mean rating",
            "–" if told.mean_rating is None else f"{told.mean_rating:.2f}",
            ""
            if change is None or told.mean_rating_before is None
            else f"{told.mean_rating_before:.2f} before",
        ),
        Fact(
            "with 1 or 2 stars",
            f"{100 * unhappy / rated:.0f}%" if rated else "–",
            f"{words.number(unhappy)} of {words.number(rated)} rated",
        ),
        Fact(
            "complaints",
            words.number(issues),
            f"{words.number(told.urgency['high'])} reviews are urgent",
        ),
    )
