"""Readings: what a careful reader marked in a review, from three kinds of file, as a matcher learns it.

It does not know models or training.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Misconfigured
from shared.inference.playbook import Line
from shared.review import THEMES
from trainer.examples import Label
from trainer.marks import Mark, by_review

DEV_SHARE = 0.1
# Which trade the sources of labels/reviews.jsonl and written.jsonl ("own-hotel") belong to.
_TRADE_OF = {
    "hotel": "lodging", "amazon": "product", "robot": "product", "device": "product",
    "clothing": "clothing", "disney": "attraction", "universal": "attraction",
    "airline": "travel", "agency": "travel", "app": "app", "bank": "app", "uber": "app",
    "shop": "product", "etsy": "product", "food": "food", "salon": "service",
}  # fmt: skip
# Yelp holds restaurants and everything else: words that only a place to eat or drink is told of.
_FOOD = re.compile(
    r"\b(?:food|restaurant|menu|dish(?:es)?|waiter|waitress|server|chef|appetizers?|dessert|lunch|dinner|brunch"
    r"|breakfast|burgers?|pizza|sushi|tacos?|salad|coffee|beers?|bartender|drinks?|fries|sauce|tasty|flavou?r)\b",
    re.I,
)


@dataclass(frozen=True)
class Quote:
    """Characters [start, end) tell of a problem of `theme`; `line` indexes the playbook, None where no line says it.

    `rank` 0 is the main complaint; None where nobody ordered them.
    """

    start: int
    end: int
    theme: str
    line: int | None
    rank: int | None = None


@dataclass(frozen=True)
class Reading:
    """A review, all complaints in it, and the writer's emotions where they were noted."""

    key: str
    kind: str
    text: str
    rating: float | None
    trade: str | None
    quotes: tuple[Quote, ...]
    emotions: tuple[str, ...] = ()


def in_dev(key: str) -> bool:
    """Whether a labelled review belongs to the dev split: a tenth of the real ones, by the hash of its key.

    Written ones (`own-...`) only teach: they are easier than what customers write.
    """
    if key.startswith("own-"):
        return False
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < DEV_SHARE


class Lines:
    """Finds the playbook line that an older or newer file means by its problem sentence.

    Args:
        lines: the playbook.
        was: older sentence -> indices of the lines that took its place, one a trade or more.
    """

    def __init__(self, lines: Sequence[Line], was: dict[str, list[int]]) -> None:
        self._lines, self._was = lines, was
        self._place = {line.problem: i for i, line in enumerate(lines)}

    def find(self, problem: str | None, trade: str | None) -> int | None:
        """The index of the line for this problem, best in this trade, or None."""
        trades = [trade] if trade else []
        now = self._place.get(problem or "")
        known = [*self._was.get(problem or "", []), *([] if now is None else [now])]
        for index in known:
            if self._lines[index].fits(trades):
                return index
        # One line alone is meant whatever the trade; of several, none is.
        return known[0] if len(known) == 1 else now


def read_playbook(path: Path) -> tuple[list[Line], Lines]:
    """The playbook with the sentences that its lines once had (`was`)."""
    from shared.inference.playbook import read_lines

    lines = read_lines(path)
    was: dict[str, list[int]] = {}
    for index, row in enumerate(path.read_text(encoding="utf-8").splitlines()):
        before = json.loads(row).get("was", [])
        for sentence in [before] if isinstance(before, str) else before:
            was.setdefault(sentence, []).append(index)
    return lines, Lines(lines, was)


def read_readings(path: Path, lines: Lines) -> list[Reading]:
    """Readings from a labels file: JSON lines {key, stars, text, issues: [{q, theme, problem}], emotions}.

    Raises:
        Misconfigured: a line has another form, or a quote is not in its text; the text names it.
    """
    out = []
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(raw)
            kind = str(row["key"]).split(":")[0]
            trade = _TRADE_OF.get(kind.removeprefix("own-")) or (
                "food" if _FOOD.search(row["text"]) else "service"
            )
            quotes = tuple(_quotes(row, lines, trade))
            out.append(
                Reading(
                    row["key"],
                    kind,
                    row["text"],
                    row["stars"],
                    trade,
                    quotes,
                    tuple(row["emotions"]),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Misconfigured(f"{path}:{number}: not a labelled review: {error}") from None
    return out


def _quotes(row: dict, lines: Lines, trade: str | None) -> Iterable[Quote]:  # type: ignore[type-arg]
    for rank, issue in enumerate(row["issues"]):
        start = row["text"].index(issue["q"])
        if issue["theme"] not in THEMES:
            raise ValueError(f"unknown theme {issue['theme']!r}")
        end = start + len(issue["q"])
        yield Quote(start, end, issue["theme"], lines.find(issue["problem"], trade), rank)


def of_labels(labels: Sequence[Label], lines: Lines) -> list[Reading]:
    """Readings of labels that name whole issues: gold's or a teacher's."""
    return [
        Reading(
            one.review.id,
            "gold",
            one.review.text,
            one.review.rating,
            one.review.category,
            tuple(
                Quote(i.start, i.end, i.theme, lines.find(i.problem, None), rank)
                for rank, i in enumerate(one.issues or ())
            ),
            one.emotions,
        )
        for one in labels
    ]


def of_marks(marks: Sequence[Mark], lines: Lines) -> list[Reading]:
    """Readings of marked reviews (trainer/data/marks.jsonl), whose order says nothing of importance."""
    out = []
    for group in by_review(marks):
        review = group[0].review
        trade = "food" if _FOOD.search(review.text) else "service"
        quotes = tuple(
            Quote(m.start, m.end, m.theme, lines.find(m.problem, trade))
            for m in group
            if m.theme is not None
        )
        out.append(Reading(review.id, "yelp", review.text, review.rating, trade, quotes))
    return out
