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
    "problem": "of shown issues: quote, theme and problem sentence are right",
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
class Found:
    """A found complaint: characters [start, end), theme, and the index of its playbook line.

    `line` is None where theme and quote stand alone, and -1 for a sentence that is not the
    playbook's: that is right nowhere.
    """

    start: int
    end: int
    theme: str
    line: int | None


def found_of(issue: Issue, places: Mapping[str, int]) -> Found:
    """An issue as it is scored; `places`: index in the playbook of each problem sentence."""
    line = None if issue.problem is None else places.get(issue.problem, -1)
    return Found(issue.start, issue.end, issue.theme, line)


@dataclass(frozen=True)
class Read:
    """What a model said of one review: what it shows, what it is unsure of, the emotions present."""

    shown: Sequence[Found]
    unsure: Sequence[Found]
    emotions: Sequence[str]


def shares(label: Reading, read: Read) -> dict[str, Share]:
    """Every score of MEANING for one review: what there is to find beside what was found."""
    found = [agreed(one, label.quotes) for one in read.shown]
    count = len(found)
    shown = {
        name: Share(sum(getattr(one, name) for one in found), count)
        for name in ("quote", "theme", "problem")
    }
    first = label.quotes[:FIRST]
    everything = [*read.shown, *read.unsure]
    return {
        **shown,
        "bare": Share(sum(one.line is None for one in read.shown), count),
        "main": Share(float(_has(read.shown, label.quotes[:1], themed=True)), min(1, len(first))),
        "found": Share(sum(_has(read.shown, [q]) for q in first), len(first)),
        "recall": Share(sum(_has(everything, [q]) for q in label.quotes), len(label.quotes)),
        "silent": Share(float(not label.quotes and not count), float(not label.quotes)),
        **_feelings(label.emotions, read.emotions),
    }


class Agreement(NamedTuple):
    """How far a shown issue agrees with a label; each needs the one before it."""

    quote: bool
    theme: bool
    problem: bool


def agreed(found: Found, quotes: Sequence[Quote]) -> Agreement:
    """A complaint beside the labelled quotes that it shares enough with."""
    same = [q for q in quotes if _same(found, q)]
    themed = [q for q in same if q.theme == found.theme]
    said = found.line is not None and any(q.line == found.line for q in themed)
    return Agreement(bool(same), bool(themed), said)


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


def _same(found: Found, quote: Quote) -> bool:
    overlap = min(found.end, quote.end) - max(found.start, quote.start)
    shorter = min(found.end - found.start, quote.end - quote.start)
    return overlap > 0 and overlap >= SAME_QUOTE * shorter


def _has(found: Sequence[Found], quotes: Sequence[Quote], themed: bool = False) -> bool:
    return any(
        _same(one, quote) and (one.theme == quote.theme or not themed)
        for one in found
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
