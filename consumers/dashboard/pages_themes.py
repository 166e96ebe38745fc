"""Themes, one theme, and two businesses or periods beside each other, as values of their templates.

No SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from consumers.dashboard import charts, words
from consumers.dashboard.pages_overview import frame, spike_rows, theme_rows
from consumers.dashboard.periods import Asked
from consumers.record.answers import Comparison, Meta, Summary, ThemeCount, ThemeDetail, Topic
from consumers.topics.rising import Spike

_PLACES, _EMOTIONS, _TOPICS = 20, 8, 20


def theme_list(
    counts: tuple[ThemeCount, ...],
    risen: Sequence[Spike],
    topics: tuple[Topic, ...],
    meta: Meta,
    asked: Asked,
) -> dict[str, Any]:
    """The values of themes.html."""
    return {
        **frame(meta, asked),
        "themes": theme_rows(counts),
        "compared": any(count.change is not None for count in counts),
        "risen": spike_rows(risen, asked),
        "topics": topics[:_TOPICS],
    }


def one_theme(
    detail: ThemeDetail, risen: Sequence[Spike], meta: Meta, asked: Asked
) -> dict[str, Any]:
    """The values of theme.html."""
    days = [p.day for p in detail.trend]
    most = max((b.share for b in detail.businesses), default=0) or 1
    return {
        **frame(meta, asked),
        "theme": detail.count.theme,
        "detail": detail,
        "risen": spike_rows([s for s in risen if s.key == detail.count.theme], asked),
        "sentences": words.theme_sentences(detail.count, detail.since, detail.until),
        "chart": charts.columns(
            f"Issues by {detail.step}",
            words.steps(days, detail.step, [float(p.issues) for p in detail.trend]),
            "issues",
        ),
        "places": [
            {
                "business": b.business or "",
                "issues": b.issues,
                "rate": f"{b.share * 100:.1f}",
                "scale": b.share / most,
                "query": urlencode(
                    [*([("business", b.business)] if b.business else []), ("period", asked.period)]
                ),
            }
            for b in detail.businesses[:_PLACES]
        ],
    }


def comparison(both: Comparison) -> dict[str, Any]:
    """The values of compare.html beside its form."""
    return {
        "both": both,
        "sides": (("first", both.left), ("second", both.right)),
        "verdict": _verdict(both),
        "themes": [
            {
                "theme": row.theme,
                "left": row.left,
                "right": row.right,
                "change": words.rate_change(
                    row.ratio,
                    row.right,
                    against="on the second side",
                    unclear="no clear difference",
                ),
            }
            for row in both.themes
        ],
        "emotions": _emotions(both.left, both.right),
    }


def _verdict(both: Comparison) -> str:
    apart = both.rating_difference
    if apart is None:
        return "There are too few ratings to compare the means."
    between = (
        f"{min(abs(apart.low), abs(apart.high)):.1f} to {max(abs(apart.low), abs(apart.high)):.1f}"
    )
    if apart.low > 0 or apart.high < 0:
        way = "higher" if apart.low > 0 else "lower"
        return f"The first is rated {abs(apart.estimate):.1f} stars {way} ({between}, with 95 % probability)."
    return "The mean ratings do not differ clearly."


def _emotions(left: Summary, right: Summary) -> list[dict[str, str]]:
    """Shares of analysed reviews, most frequent on either side first."""
    felt = {e for side in (left, right) for e in side.emotions if e != "neutral"}

    def share(side: Summary, emotion: str) -> float:
        return side.emotions.get(emotion, 0) / max(side.reviews - side.waiting, 1)

    ranked = sorted(felt, key=lambda e: (-share(left, e) - share(right, e), e))[:_EMOTIONS]
    return [
        {
            "emotion": e,
            "left": words.percent(share(left, e)),
            "right": words.percent(share(right, e)),
        }
        for e in ranked
    ]
