"""What a review and its analysis are as rows of the record, and what they add to the daily counts.

Both ways into the record, entry by entry and rebuilt, go through here, so they agree. It does not
know a database.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from consumers.record.schema import issue_id
from shared.review import URGENCIES, Analysis, Issue, Review

Row = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """One review as rows of `reviews`, `issues` and `emotions`."""

    review: Row
    issues: list[Row] = field(default_factory=list)
    emotions: list[Row] = field(default_factory=list)


def rows_of(review: Review, analysis: Analysis | None) -> Rows:
    """The rows of one review; without analysis it stands there as waiting."""
    created = math.floor(review.created_at.timestamp())
    head = {
        "id": review.id,
        "version": review.version,
        "source": review.source,
        "external_id": _plain(review.external_id),
        "business": _plain(review.business) or "",
        "category": review.category or "",
        "author": _plain(review.author),
        "url": _plain(review.url),
        "title": review.title,
        "text": review.text,
        "rating": review.rating,
        "language": review.language or "",
        "created_at": created,
        "day": created // 86400,
        "dated": int(review.dated),
        "excerpt": int(review.excerpt),
    }
    if analysis is None:
        return Rows({**head, **_WAITING})
    found = _issues(head, analysis)
    return Rows(
        {**head, **_read(analysis, sum(row["shown"] for row in found))},
        found,
        [
            {
                "review_id": review.id,
                "emotion": emotion,
                "probability": analysis.emotions.probabilities.get(emotion, 0.0),
                "created_at": created,
            }
            for emotion in dict.fromkeys(analysis.emotions.present)
        ],
    )


_WAITING: Row = {
    "analysed_at": None,
    "urgency": None,
    "urgency_reason": None,
    "insight_reason": None,
    "emotion": "",
    "negative_weight": None,
    "issue_count": 0,
    "adapter": None,
    "analysis": None,
}


def _read(analysis: Analysis, shown: int) -> Row:
    insight = analysis.insight
    return {
        "analysed_at": math.floor(analysis.analysed_at.timestamp()),
        "urgency": URGENCIES.index(insight.urgency) if insight else None,
        "urgency_reason": insight.urgency_reason if insight else None,
        "insight_reason": analysis.insight_reason,
        "emotion": analysis.emotions.present[0] if analysis.emotions.present else "",
        "negative_weight": round(analysis.emotions.negative_weight, 4),
        "issue_count": shown,
        "adapter": insight.adapter if insight else None,
        "analysis": analysis.model_dump_json(exclude_defaults=True),
    }


def _issues(head: Row, analysis: Analysis) -> list[Row]:
    """Shown ones first. One that is both shown and unsure stands there once, as shown."""
    if analysis.insight is None:
        return []
    out: dict[str, Row] = {}
    for shown, found in ((1, analysis.insight.issues), (0, analysis.insight.unsure)):
        for issue in found:
            row = _issue(head, issue, len(out), shown, URGENCIES.index(analysis.insight.urgency))
            out.setdefault(row["id"], row)
    return list(out.values())


def _issue(head: Row, issue: Issue, position: int, shown: int, urgency: int) -> Row:
    return {
        "id": issue_id(head["id"], issue),
        "review_id": head["id"],
        "position": position,
        "shown": shown,
        "theme": issue.theme,
        "problem": issue.problem,
        "evidence": issue.evidence,
        "start": issue.start,
        "end": issue.end,
        "action": issue.action,
        "flags": " ".join(issue.flags),
        "confidence": issue.confidence,
        **{name: head[name] for name in ("business", "source", "category", "created_at", "day")},
        "urgency": urgency,
    }


def stars(rating: float) -> str:
    """The whole number of stars that a rating counts as: halves go up."""
    return str(int(rating + 0.5))


_ROLLUP = (
    *("day", "business", "source", "category", "kind", "value"),
    *("amount", "rated", "total"),
)
# Of a row of `rollups`, its first six columns: a bare tuple, for ten are made for each review.
Key = tuple[int, str, str, str, str, str]


class Counts:
    """Changes of `rollups`: key -> amount, rated, total.

    Old rows are taken off, new ones put on.
    """

    def __init__(self) -> None:
        self.amount: defaultdict[Key, int] = defaultdict(int)
        self.rated: defaultdict[Key, int] = defaultdict(int)
        self.total: defaultdict[Key, float] = defaultdict(float)

    def add(
        self, review: Mapping[str, Any], themes: Iterable[str], emotions: Iterable[str], by: int
    ) -> None:
        """Count a review (a row of `reviews`), its shown issues' themes and its emotions `by` 1 or -1 times."""
        where = (review["day"], review["business"], review["source"], review["category"])
        whole = (*where, "review", "")
        self.amount[whole] += by
        if review["rating"] is not None:
            self.rated[whole] += by
            self.total[whole] += by * review["rating"]
            self.amount[(*where, "rating", stars(review["rating"]))] += by
        if review["analysed_at"] is None:
            self.amount[(*where, "waiting", "")] += by
        if review["urgency"] is not None:
            self.amount[(*where, "urgency", str(review["urgency"]))] += by
        for theme in themes:
            self.amount[(*where, "theme", theme)] += by
        for emotion in emotions:
            self.amount[(*where, "emotion", emotion)] += by

    def rows(self) -> list[Row]:
        """What to add to `rollups`, by key, less what cancels out.

        A total may change where no count does.
        """
        rated, total = self.rated, self.total
        return [
            dict(zip(_ROLLUP, (*key, n, rated.get(key, 0), total.get(key, 0.0)), strict=True))
            for key, n in sorted(self.amount.items())
            if n or rated.get(key) or abs(total.get(key, 0.0)) > 1e-9
        ]


def _plain(value: str | None) -> str | None:
    """Without NUL, which PostgreSQL cannot store; texts and titles have lost it at intake."""
    return value.replace("\x00", "") if value else value
