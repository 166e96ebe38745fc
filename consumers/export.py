"""Analyses as flat records: JSON lines keep everything, CSV has one row per issue. It does not know Redis keys."""

from __future__ import annotations

import csv
import json
import unicodedata
from typing import IO, Any

from shared.inert import inert, inert_json
from shared.review import Analysis, Review
from shared.stream.store import Store

# What spreadsheets take for the beginning of a formula (OWASP, "CSV injection").
_FORMULA = tuple("=+-@\t\r")

COLUMNS = (
    "id",
    "source",
    "external_id",
    "business",
    "created_at",
    "dated",
    "rating",
    "text",
    "present_emotions",
    "urgency",
    "urgency_reason",
    "insight_reason",
    "issue",
    "theme",
    "problem",
    "evidence",
    "action",
    "flags",
    "adapter",
)


def record(review: Review, analysis: Analysis | None) -> dict[str, Any]:
    """One review with its analysis (None while it waits), ready for JSON."""
    return {
        **review.model_dump(mode="json"),
        "analysis": analysis.model_dump(mode="json", exclude={"review_id"}) if analysis else None,
    }


def rows(review: Review, analysis: Analysis) -> list[dict[str, Any]]:
    """CSV rows of one analysed review: one per issue, at least one."""
    base: dict[str, Any] = {k: v for k, v in review.model_dump(mode="json").items() if k in COLUMNS}
    base["dated"] = review.dated  # false: created_at is the time of import
    base["present_emotions"] = " ".join(analysis.emotions.present)
    base["insight_reason"] = analysis.insight_reason
    if analysis.insight is None:
        return [base]
    base |= {
        "urgency": analysis.insight.urgency,
        "urgency_reason": analysis.insight.urgency_reason,
        "adapter": analysis.insight.adapter,
    }
    numbered = enumerate(analysis.insight.issues, 1)
    return [
        {
            **base,
            "issue": i,
            **issue.model_dump(include={"theme", "problem", "evidence", "action"}),
            "flags": " ".join(issue.flags),
        }
        for i, issue in numbered
    ] or [base]


def export(store: Store, out: IO[str], form: str, pending: bool = False) -> int:
    """Write all analysed reviews, oldest first; with `pending` (JSON lines only) those that wait as well.

    Returns:
        How many reviews were written.
    """
    count = 0
    table = csv.DictWriter(out, COLUMNS) if form == "csv" else None
    if table:
        table.writeheader()
    for review, analysis in store.all():
        if analysis is None and not (pending and table is None):
            continue
        count += 1
        if table and analysis:
            table.writerows(
                {k: _inert(v) for k, v in row.items()} for row in rows(review, analysis)
            )
        else:
            out.write(inert_json(json.dumps(record(review, analysis), ensure_ascii=False)) + "\n")
    return count


def _inert(value: Any) -> Any:
    """A cell that no spreadsheet runs as a formula and no terminal obeys; an empty one stays empty."""
    if not isinstance(value, str):
        return value
    shown = inert(value)
    # NFKC: a full-width = counts as one in some spreadsheets; leading blanks are skipped by some.
    start = unicodedata.normalize("NFKC", value[:40]).lstrip(" \u200b\u00a0\ufeff\n")
    return "'" + shown if start.startswith(_FORMULA) else shown
