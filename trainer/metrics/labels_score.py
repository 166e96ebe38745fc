"""Scores of read reviews beside a careful reader's labels: what a manager gets right, wrong and not at all.

Every score is a share: what is right of what could be. Shares of one review add up to those of a
kind. It does not know models, files or pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shared.review import POSITIVE, Issue
from trainer.readings import Quote, Reading

# A quote is right from this share of the shorter one's characters on: less is a brush, not the
# same complaint. From the issue that set the targets; two labellers agree to 0.99 by it.
SAME_QUOTE = 0.5
FIRST = 3  # complaints that a manager must hear of; as many as an Insight can show
MEANING = {
    "quote": "of shown issues: the quote is a labelled complaint",
    "theme": "of shown issues: quote and theme are right",
    "problem": "of shown issues: quote, theme and problem sentence are right, or rightly none",
    "bare": "of shown issues: theme and quote alone, no sentence fitted (lower)",
    "main": "of reviews with complaints: the first one is shown, with its theme",
    "found": "of the first three complaints of each review: its quote is shown",
    "recall": "of all complaints: its quote is shown or unsure",
    "silent": "of reviews without complaints: nothing is shown",
    "emotions": "micro-F1 of the emotions",
    "only_neutral": "of reviews with a feeling: only `neutral` is shown (lower)",
    "wrong_polarity": "of reviews without a positive emotion: one is shown (lower)",
}


class Share(NamedTuple):
    """`right` of `of`."""

    right: float
    of: float

    def __add__(self, other: object) -> Share:
        """The share of both together."""
        if not isinstance(other, Share):
            return NotImplemented
        return Share(self.right + other.right, self.of + other.of)

    @property
    def value(self) -> float:
        """In [0, 1]; NaN of nothing."""
        return self.right / self.of if self.of else math.nan


@dataclass(frozen=True)
class Read:
    """What a model said of one review: what it shows, what it is unsure of, the emotions present."""

    issues: Sequence[Issue]
    unsure: Sequence[Issue]
    emotions: Sequence[str]


def shares(label: Reading, read: Read, places: Mapping[str, int]) -> dict[str, Share]:
    """Every score of MEANING for one review.

    Args:
        label: what there is to find.
        read: what was found.
        places: index in the playbook of each problem sentence.
    """
    found = [agreed(issue, label.quotes, places) for issue in read.issues]
    count = len(found)
    shown = {
        name: Share(sum(getattr(one, name) for one in found), count)
        for name in ("quote", "theme", "problem")
    }
    first = label.quotes[:FIRST]
    everything = [*read.issues, *read.unsure]
    return {
        **shown,
        "bare": Share(sum(issue.problem is None for issue in read.issues), count),
        "main": Share(float(_has(read.issues, label.quotes[:1], themed=True)), min(1, len(first))),
        "found": Share(sum(_has(read.issues, [q]) for q in first), len(first)),
        "recall": Share(sum(_has(everything, [q]) for q in label.quotes), len(label.quotes)),
        "silent": Share(float(not label.quotes and not count), float(not label.quotes)),
        **_feelings(label.emotions, read.emotions),
    }


class Agreement(NamedTuple):
    """How far a shown issue agrees with a label; each needs the one before it."""

    quote: bool
    theme: bool
    problem: bool


def agreed(issue: Issue, quotes: Sequence[Quote], places: Mapping[str, int]) -> Agreement:
    """An issue beside the labelled quotes that it shares enough with."""
    same = [q for q in quotes if _same(issue, q)]
    themed = [q for q in same if q.theme == issue.theme]
    # A sentence that the playbook does not have is right nowhere, -1 is no line's index.
    line = None if issue.problem is None else places.get(issue.problem, -1)
    return Agreement(bool(same), bool(themed), any(q.line == line for q in themed))


def total(rows: Iterable[Mapping[str, Share]]) -> dict[str, Share]:
    """The shares of many reviews together."""
    out = dict.fromkeys(MEANING, Share(0, 0))
    for row in rows:
        out = {name: out[name] + row[name] for name in out}
    return out


def reliability(pairs: Sequence[tuple[float, bool]], bins: int = 10) -> list[tuple[float, Share]]:
    """(mean confidence, share that was right) per bin of equal width that holds any, ascending.

    The diagram of Guo et al. 2017 (https://arxiv.org/abs/1706.04599).
    """
    out = []
    for number in range(bins):
        inside = [p for p in pairs if min(bins - 1, int(p[0] * bins)) == number]
        if inside:
            mean = sum(confidence for confidence, _ in inside) / len(inside)
            out.append((mean, Share(sum(right for _, right in inside), len(inside))))
    return out


def calibration_error(pairs: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """ECE: by how much confidence and accuracy differ, over the bins, weighted by their size; NaN of nothing."""
    if not pairs:
        return math.nan
    gaps = [share.of * abs(mean - share.value) for mean, share in reliability(pairs, bins)]
    return sum(gaps) / len(pairs)


def _same(issue: Issue, quote: Quote) -> bool:
    overlap = min(issue.end, quote.end) - max(issue.start, quote.start)
    shorter = min(issue.end - issue.start, quote.end - quote.start)
    return overlap > 0 and overlap >= SAME_QUOTE * shorter


def _has(issues: Sequence[Issue], quotes: Sequence[Quote], themed: bool = False) -> bool:
    return any(
        _same(issue, quote) and (issue.theme == quote.theme or not themed)
        for issue in issues
        for quote in quotes
    )


def _feelings(labelled: Sequence[str], shown: Sequence[str]) -> dict[str, Share]:
    felt = bool(labelled) and "neutral" not in labelled
    # F1 is a share as well: twice what both name, of what each names.
    both = len(set(labelled) & set(shown))
    named = len(labelled) + len(shown) if labelled else 0
    negative = bool(labelled) and not POSITIVE & set(labelled)
    return {
        "emotions": Share(2 * both if labelled else 0, named),
        "only_neutral": Share(float(felt and set(shown) == {"neutral"}), float(felt)),
        "wrong_polarity": Share(float(negative and bool(POSITIVE & set(shown))), float(negative)),
    }
