"""Confidence: the probability that a careful reader agrees with quote and theme, from what the model saw.

A logistic regression over a few features, fitted on reviews that the model was not trained on
(Platt 1999). Pure; it does not know models or texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# What shared/inference/matcher.py measures of a candidate, in this order.
FEATURES = (
    "evidence",
    "theme",
    "margin",
    "line",
    "importance",
    "length",
    "review",
    "rated",
    "low",
    "trades",
)


@dataclass(frozen=True)
class Calibration:
    """Weights of the features and a bias; kept in a matcher's config."""

    weights: tuple[float, ...]
    bias: float

    def confidence(self, features: Sequence[float]) -> float:
        """In [0, 1]."""
        score = self.bias + sum(w * f for w, f in zip(self.weights, features, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


# Before anything was fitted: the theme's share of the evidence.
UNFITTED = Calibration(
    tuple(1.0 if name in ("evidence", "theme") else 0.0 for name in FEATURES), 0.0
)
