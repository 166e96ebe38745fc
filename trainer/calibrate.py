"""Fit a matcher's confidence on reviews that it was not trained on, and choose from where on to show.

It does not know training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from shared.inference.confidence import Calibration
from shared.inference.matcher import Candidate, Limits, Matcher
from shared.inference.matcher_folder import CONFIG, load_matcher, write_config
from shared.review import THEMES, TRADES, Review
from trainer.metrics.labels_score import Found, agreed, calibration_error
from trainer.readings import Reading

# What is shown should be right so often, in quote and theme.
PRECISION = 0.80
_FOLDS = 5


def as_review(one: Reading, *, told: bool = False) -> Review:
    """A reading's review as the matcher takes it; with its trade only if `told`."""
    return Review(
        id=hashlib.sha256(one.key.encode()).hexdigest()[:20],
        source="labels",
        text=one.text,
        rating=one.rating,
        category=one.trade if told and one.trade in TRADES else None,  # type: ignore[arg-type]
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _right(candidate: Candidate, one: Reading) -> bool:
    """Whether quote and theme are those of a marked complaint."""
    found = Found(candidate.start, candidate.end, THEMES[candidate.theme], candidate.line)
    return agreed(found, one.quotes).theme


def calibrate(
    folder: Path, dev: Sequence[Reading], say: Callable[[str], None] = print
) -> dict[str, float]:
    """Fit and write a matcher's calibration and threshold.

    Args:
        folder: the matcher; its matcher.json is rewritten.
        dev: readings that it was not trained on.
        say: called with one line.

    Returns:
        {"ece": of confidences fitted without the review's own fold, "show": the threshold}.
    """
    matcher = load_matcher(folder)
    found = matcher.candidates([as_review(one) for one in dev])
    x = np.array([c.features for candidates in found for c in candidates])
    y = np.array([_right(c, one) for one, cs in zip(dev, found, strict=True) for c in cs])
    folds = np.array([i % _FOLDS for i, cs in enumerate(found) for _ in cs])
    crossed = np.zeros(len(y))
    for number in range(_FOLDS):
        calibration = fit(x[folds != number], y[folds != number])
        crossed[folds == number] = [calibration.confidence(row) for row in x[folds == number]]
    left = iter(crossed)
    judged = [[replace(c, confidence=float(next(left))) for c in cs] for cs in found]
    show = threshold(matcher, dev, judged)
    write_config(folder, folder_base(folder), Limits(), fit(x, y), show)
    error = calibration_error(list(zip(map(float, crossed), map(bool, y), strict=True)))
    facts = {"ece": round(error, 4), "show": show, "candidates": float(len(y))}
    say(f"confidence: {facts}")
    return facts


def threshold(
    matcher: Matcher,
    dev: Sequence[Reading],
    judged: Sequence[Sequence[Candidate]],
    precision: float = PRECISION,
) -> float:
    """The lowest confidence (in hundredths) from which at least `precision` of what is shown is right in quote and theme."""
    for show in (hundredth / 100 for hundredth in range(20, 100)):
        right = [
            _right(shown, one)
            for one, candidates in zip(dev, judged, strict=True)
            for shown in matcher.chosen(candidates, show)
        ]
        if not right or sum(right) >= precision * len(right):
            return show
    return 1.0


def fit(x: np.ndarray, y: np.ndarray) -> Calibration:
    """Logistic regression of right (bool [n]) on features [n, features], standardised inside and undone again."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(0), x.std(0) + 1e-6
    model = LogisticRegression(C=1.0, max_iter=1000).fit((x - mean) / scale, y)
    weights = model.coef_[0] / scale
    return Calibration(tuple(map(float, weights)), float(model.intercept_[0] - weights @ mean))


def folder_base(folder: Path) -> str:
    """The base that a matcher's config names."""
    return str(json.loads((folder / CONFIG).read_text())["base"])
