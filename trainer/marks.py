"""Marks: verdicts on spans of reviews whose texts may not be copied (trainer/data/marks.jsonl: ids and offsets only).

They teach a matcher (trainer/matcher.py) a kind of text that its labels lack. It does not know
models or training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Misconfigured
from shared.review import THEMES, Review


@dataclass(frozen=True)
class Mark:
    """Characters [start, end) of a review are evidence of `theme`; what nobody marked in a marked review is evidence of nothing.

    A review in which nothing went wrong has one mark without a theme. `problem`: the sentence of
    the playbook that says what went wrong, if one was chosen.
    """

    review: Review
    start: int
    end: int
    theme: str | None
    problem: str | None = None


def read_marks(path: Path, find: Callable[[Sequence[str]], Sequence[Review | None]]) -> list[Mark]:
    """Marks from JSON lines {id, start, end, theme[, problem]}; `find` (Store.reviews) brings the texts by id.

    Raises:
        Misconfigured: a line has another form. Marks of reviews that are not stored are left out.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            if row["theme"] is not None and row["theme"] not in THEMES:
                raise ValueError(f"unknown theme {row['theme']!r}")
            rows.append(
                (
                    str(row["id"]),
                    int(row["start"]),
                    int(row["end"]),
                    row["theme"],
                    row.get("problem"),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Misconfigured(
                f"{path}:{number}: not a mark {{id, start, end, theme}}: {error}"
            ) from None
    ids = list(dict.fromkeys(row[0] for row in rows))  # a review has many marks and is fetched once
    stored = dict(zip(ids, find(ids), strict=True))
    return [Mark(review, *row[1:]) for row in rows if (review := stored[row[0]]) is not None]


def by_review(marks: Sequence[Mark]) -> list[list[Mark]]:
    """Marks of one review together, in order of their first one."""
    out: dict[str, list[Mark]] = {}
    for mark in marks:
        out.setdefault(mark.review.id, []).append(mark)
    return list(out.values())
