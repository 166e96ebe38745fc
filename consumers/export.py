"""Analyses as records: JSON lines keep everything, tables (CSV, Parquet) have one row per issue.

An entry is one review with its analysis as JSON values: from the store (`record`) or from the
record (export_source.py). It does not know where entries come from or files.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from shared.inert import inert as without_orders
from shared.review import Analysis, Review

Entry = dict[str, Any]
# What spreadsheets take for the beginning of a formula (OWASP, "CSV injection").
_FORMULA = tuple("=+-@\t\r")

COLUMNS = (
    "id",
    "source",
    "external_id",
    "business",
    "created_at",
    "dated",
    "excerpt",
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
_OF_REVIEW = COLUMNS[: COLUMNS.index("present_emotions")]
# What entries leave out where it is so: created_at is no time of import, the text is whole.
_USUAL = {"dated": True, "excerpt": False}
_OF_ISSUE = ("theme", "problem", "evidence", "action")


def record(review: Review, analysis: Analysis | None) -> Entry:
    """One review with its analysis (None while it waits), ready for JSON."""
    return {
        **review.model_dump(mode="json"),
        "analysis": analysis.model_dump(mode="json", exclude={"review_id"}) if analysis else None,
    }


def rows(entry: Entry) -> list[list[Any]]:
    """Rows of an analysed entry in the order of COLUMNS: one per issue, at least one.

    Empty cells are None.
    """
    head = [entry.get(name, _USUAL[name]) if name in _USUAL else entry[name] for name in _OF_REVIEW]
    analysis = entry["analysis"]
    insight = analysis["insight"]
    felt = " ".join(analysis["emotions"]["present"])
    if insight is None:
        return [[*head, felt, None, None, analysis["insight_reason"], *[None] * 7]]
    head += [felt, insight["urgency"], insight["urgency_reason"], analysis["insight_reason"]]
    adapter = insight["adapter"]
    return [
        [*head, number, *(issue[name] for name in _OF_ISSUE), " ".join(issue["flags"]), adapter]
        for number, issue in enumerate(insight["issues"], 1)
    ] or [[*head, *[None] * 6, adapter]]


def inert(cell: Any) -> Any:
    """A cell that no spreadsheet runs as a formula and no terminal obeys; an empty one stays empty."""
    if not isinstance(cell, str) or (cell.isascii() and cell.isprintable() and cell[:1].isalnum()):
        return cell
    shown = without_orders(cell)
    # NFKC: a full-width = counts as one in some spreadsheets; leading blanks are skipped by some.
    start = unicodedata.normalize("NFKC", cell[:40]).lstrip(" \u200b\u00a0\ufeff\n")
    return "'" + shown if start.startswith(_FORMULA) else shown
