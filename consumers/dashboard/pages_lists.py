"""The list of reviews: its filters as a form and as chips, each of which can be taken away.

No SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from consumers.record.answers import Meta, ReviewPage, Topic
from consumers.record.filters import Filters
from consumers.record.schema import STATUSES
from shared.review import EMOTIONS, THEMES, TRADES, Urgency

_PLAIN = {"q", "business", "theme", "topic", "urgency", "status", "since", "until"}
_NAMES = {
    "q": "words",
    "since": "from",
    "until": "to",
    "rating": "stars",
    "rating_min": "at least stars",
    "rating_max": "at most stars",
    "category": "trade",
    "min_confidence": "at least confidence",
    "state": "analysis",
    "topic": "pain point",
}


def review_list(
    page: ReviewPage, filters: Filters, meta: Meta, topics: Sequence[Topic], *, first: bool
) -> dict[str, Any]:
    """The values of reviews.html.

    Args:
        page: the reviews.
        filters: by which they were chosen.
        meta: what there is to choose from.
        topics: the one that is asked for; empty where there is none of its id any more.
        first: this is the page with the newest reviews.
    """
    told = {"topic": topics[0].name if topics else "not found any more"}
    return {
        "page": page,
        "filters": filters,
        "newest_page": first,
        "businesses": [b.name for b in meta.businesses if b.name],
        "choices": {
            "theme": THEMES,
            "urgency": get_args(Urgency)[::-1],
            "status": STATUSES,
            "emotion": EMOTIONS,
            "source": meta.sources,
            "category": meta.categories or TRADES,
        },
        "more": bool(filters.given() - _PLAIN),
        "chips": chips(filters, told),
        "topic": topics[0].name if topics else "",
    }


def chips(filters: Filters, told: Mapping[str, str]) -> list[dict[str, str]]:
    """Each value in force, and the query without it. `told`: words for values that are ids, by parameter."""
    pairs = filters.pairs()
    out = []
    for name, value in pairs:
        kept = getattr(filters, name)
        less = tuple(v for v in kept if str(v) != value) if isinstance(kept, tuple) else None
        rest = filters.but(**{name: less})
        out.append(
            {"name": _NAMES.get(name, name), "value": told.get(name, value), "without": rest.query}
        )
    return out
