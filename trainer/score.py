"""Read labelled reviews with any reader, and say how it agrees with the labels, kind by kind.

It does not know how readers work (trainer/serving.py has the one in force), files or pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import Misconfigured
from shared.inference.emotions import EmotionClassifier
from shared.review import Issue, Review
from trainer.calibrate import as_review
from trainer.metrics.labels_score import (
    MEANING,
    Read,
    Share,
    agreed,
    calibration_error,
    found_of,
    shares,
    total,
)
from trainer.readings import Reading

ALL = "all"
_STEP = 64  # reviews between two lines of progress
# (reviews, present emotions of each) -> (shown, unsure) issues of each, same order
Reader = Callable[
    [Sequence[Review], Sequence[Sequence[str]]], list[tuple[list[Issue], list[Issue]]]
]


@dataclass(frozen=True)
class Scores:
    """Shares by kind ("all" first), and (confidence, right) of every shown or unsure issue that has one."""

    name: str
    reviews: dict[str, int]
    shares: dict[str, dict[str, Share]]
    pairs: list[tuple[float, bool]]

    def as_json(self) -> dict[str, Any]:
        """Every figure; what was asked of nothing is null."""
        error = calibration_error(self.pairs)
        return {
            "reader": self.name,
            "calibration_error": None if math.isnan(error) else round(error, 4),
            "kinds": {
                kind: {"reviews": self.reviews[kind]} | {n: _number(s) for n, s in scores.items()}
                for kind, scores in self.shares.items()
            },
        }


def _number(share: Share) -> float | None:
    return round(share.value, 4) if share.of else None


def score(
    readings: Sequence[Reading],
    name: str,
    reader: Reader,
    emotions: EmotionClassifier,
    places: Mapping[str, int],
    *,
    known_trade: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Scores:
    """Read all and score.

    Args:
        readings: labelled reviews.
        name: of the reader, for people.
        reader: finds issues.
        emotions: classifies.
        places: index in the playbook of each problem sentence.
        known_trade: tell the reader each review's trade, as a platform would.
        say: called with one line of progress at a time.

    Raises:
        Misconfigured: there is nothing to score.
    """
    if not readings:
        raise Misconfigured("the labels file has no reviews to score")
    rows: dict[str, list[dict[str, Share]]] = {ALL: []}
    pairs: list[tuple[float, bool]] = []
    for label, shown, unsure, felt in _read(readings, reader, emotions, known_trade, say):
        found = [[found_of(one, places) for one in part] for part in (shown, unsure)]
        row = shares(label, Read(found[0], found[1], felt))
        rows[ALL].append(row)
        rows.setdefault(label.kind, []).append(row)
        pairs += [
            (one.confidence, agreed(found_of(one, places), label.quotes).theme)
            for one in (*shown, *unsure)
            if one.confidence is not None
        ]
    kinds = sorted(rows, key=lambda kind: (-len(rows[kind]), kind != ALL, kind))
    return Scores(
        name,
        {kind: len(rows[kind]) for kind in kinds},
        {kind: total(rows[kind]) for kind in kinds},
        pairs,
    )


def _read(
    readings: Sequence[Reading],
    reader: Reader,
    emotions: EmotionClassifier,
    known_trade: bool,
    say: Callable[[str], None],
) -> Iterator[tuple[Reading, list[Issue], list[Issue], Sequence[str]]]:
    for start in range(0, len(readings), _STEP):
        part = readings[start : start + _STEP]
        reviews = [as_review(one, told=known_trade) for one in part]
        felt = [one.present for one in emotions.classify([review.text for review in reviews])]
        for label, found, present in zip(part, reader(reviews, felt), felt, strict=True):
            yield label, found[0], found[1], present
        say(f"{start + len(part)} of {len(readings)} read")


def table(scores: Scores) -> list[list[str]]:
    """Rows for people: kind, reviews, then every score in the order of MEANING.

    N/a where nothing is asked.
    """
    return [
        [kind, str(scores.reviews[kind])]
        + [f"{found[name].value:.2f}" if found[name].of else "n/a" for name in MEANING]
        for kind, found in scores.shares.items()
    ]
