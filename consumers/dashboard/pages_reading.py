"""One review as a page: its text cut where evidence begins and ends, and its emotions.

No SQL, no HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from consumers.dashboard.words import kind_of, percent
from consumers.record.answers import IssueRow, ReviewDetail
from consumers.record.schema import STATUSES


@dataclass(frozen=True)
class Part:
    """A piece of the text; `issue` is the id of the issue whose evidence it is, or ""."""

    text: str
    issue: str = ""


def parts(text: str, issues: Sequence[IssueRow]) -> list[Part]:
    """The text in pieces, whose texts joined are the text.

    Where two quotes overlap, the earlier one keeps the overlap.
    """
    out, at = [], 0
    for issue in sorted(issues, key=lambda i: (i.start, -i.end)):
        start, end = max(issue.start, at), min(issue.end, len(text))
        if start >= end:
            continue
        if start > at:
            out.append(Part(text[at:start]))
        out.append(Part(text[start:end], issue.id))
        at = end
    if at < len(text):
        out.append(Part(text[at:]))
    return out


def reading(review: ReviewDetail) -> dict[str, Any]:
    """The values of review.html."""
    probabilities = ((review.analysis or {}).get("emotions") or {}).get("probabilities") or {}
    return {
        "review": review,
        "parts": parts(review.text, review.issues),
        "link": safe_link(review.url),
        "felt": _rows(review.emotions),
        "all_felt": _rows(probabilities),
        "statuses": STATUSES,
    }


def safe_link(url: str | None) -> str | None:
    """The address if it is one of the web: a review may bring `javascript:`."""
    try:
        return url if url and urlsplit(url).scheme in ("http", "https") else None
    except ValueError:
        return None


def _rows(probabilities: dict[str, float]) -> list[dict[str, Any]]:
    """Strongest first."""
    ranked = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return [
        {"emotion": e, "probability": p, "percent": percent(p), "kind": kind_of(e)}
        for e, p in ranked
    ]
