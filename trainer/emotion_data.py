"""What the emotion model learns from: GoEmotions' comments and reviews whose writer's emotions are labelled.

It reads files and knows which rows are kept aside to choose by. It does not know models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.errors import Misconfigured
from shared.review import EMOTIONS
from trainer.readings import in_dev


@dataclass(frozen=True)
class LabelledReview:
    """A review and the one to three emotions that its writer shows, strongest first; `neutral` alone."""

    key: str
    text: str
    rating: float | None
    emotions: tuple[str, ...]

    @property
    def in_dev(self) -> bool:
        """Kept aside: by the hash of its key, so that more labels never move a review across."""
        return in_dev(self.key)


def read_goemotions(path: Path) -> tuple[list[str], np.ndarray]:
    """Texts and float32 [rows, 28] targets of a GoEmotions TSV (text, label ids, comment id).

    Raises:
        Misconfigured: the file is missing or a line has another form.
    """
    if not path.exists():
        raise Misconfigured(
            f"{path} is missing; name the folder that holds GoEmotions' train.tsv and dev.tsv"
        )
    texts, rows = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            text, labels, _ = line.split("\t")
            row = np.zeros(len(EMOTIONS), dtype=np.float32)
            row[[int(i) for i in labels.split(",")]] = 1
        except (ValueError, IndexError) as error:
            raise Misconfigured(
                f"{path}:{number}: expected text, label ids, comment id: {error}"
            ) from error
        texts.append(text)
        rows.append(row)
    return texts, np.stack(rows)


def read_labelled(path: Path) -> list[LabelledReview]:
    """English reviews of a labels file (JSON lines: key, text, stars, emotions, lang where not English).

    Raises:
        Misconfigured: a line has another form.
    """
    out = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            emotions = tuple(e for e in row["emotions"] if e in EMOTIONS)
            stars = row.get("stars")
            one = LabelledReview(str(row["key"]), row["text"], stars and float(stars), emotions)
        except (ValueError, KeyError, TypeError) as error:
            raise Misconfigured(
                f"{path}:{number}: expected key, text, stars, emotions: {error}"
            ) from error
        if one.emotions and not row.get("lang"):
            out.append(one)
    return out


def targets_of(reviews: list[LabelledReview]) -> np.ndarray:
    """float32 [reviews, 28] in the order of EMOTIONS: 1 where the writer shows it."""
    out = np.zeros((len(reviews), len(EMOTIONS)), dtype=np.float32)
    for index, review in enumerate(reviews):
        out[index, [EMOTIONS.index(e) for e in review.emotions]] = 1
    return out
