"""The review head: what a whole review says of its writer's feelings, from the encoder's features.

GoEmotions' own head reads one comment of Reddit at a time; a review is longer, tells more than one
thing, and has stars. So a second linear layer, learnt on labelled reviews (trainer/emotion_review.py),
reads the same encoder's output pooled over all windows, and the stars. It knows numbers, not texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shared.review import EMOTIONS, NEGATIVE, POSITIVE

FILE = "review.npz"
STARS = 6  # none, 1, 2, 3, 4, 5
# Below this probability even the strongest emotion is none: "It is a shop." is neutral. Chosen on the
# dev reviews, where 0.15 to 0.3 score alike; higher means more "neutral".
LEAST = 0.22
SHOWN = 3  # labellers name one to three emotions of a review
_NEUTRAL = EMOTIONS.index("neutral")
_POSITIVE = [EMOTIONS.index(e) for e in sorted(POSITIVE)]
_NEGATIVE = [EMOTIONS.index(e) for e in sorted(NEGATIVE)]
# Tokens, logits [28], mean [width] and maximum [width] of the hidden states.
Window = tuple[int, np.ndarray, np.ndarray, np.ndarray]


def features(windows: Sequence[Window]) -> np.ndarray:
    """float32 features of a review: its windows' logits and hidden states, each as mean and maximum, and its length."""
    tokens = np.array([window[0] for window in windows], dtype=np.float64)[:, None]
    logits, mean, high = (np.stack([window[k] for window in windows]) for k in (1, 2, 3))
    total = tokens.sum()
    parts = [
        logits.max(0),
        (logits * tokens).sum(0) / total,
        (mean * tokens).sum(0) / total,
        high.max(0),
        np.log([total]),
    ]
    return np.concatenate(parts).astype(np.float32)


def stars_of(rating: float | None) -> np.ndarray:
    """float32 [6]: one where the review has that many stars (halves round to even); first: none."""
    out = np.zeros(STARS, dtype=np.float32)
    out[0 if rating is None else min(5, max(1, round(rating)))] = 1
    return out


class ReviewHead:
    """Standardised features and stars -> 28 probabilities, and which of them are shown.

    Args:
        weight: float32 [features + 6, 28].
        bias: float32 [28].
        centre, spread: float32 [features].
        floor: probability from which an emotion is shown.
        polarity: added to the floor of a positive emotion at one star, of a negative one at five.
    """

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        centre: np.ndarray,
        spread: np.ndarray,
        floor: float,
        polarity: float,
    ) -> None:
        self.weight, self.bias, self.centre, self.spread = weight, bias, centre, spread
        self.floor, self.polarity = float(floor), float(polarity)

    @classmethod
    def load(cls, folder: Path) -> ReviewHead:
        """The head in `folder`."""
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})

    def save(self, folder: Path) -> None:
        """Write it into `folder`, weights in half precision: 24 bits more change no probability by 0.001."""
        np.savez(
            folder / FILE,
            weight=self.weight.astype(np.float16),
            bias=self.bias,
            centre=self.centre,
            spread=self.spread,
            floor=np.float32(self.floor),
            polarity=np.float32(self.polarity),
        )

    def probabilities(self, found: np.ndarray, rating: float | None) -> np.ndarray:
        """float32 [28] of one review's features."""
        inputs = np.concatenate([(found - self.centre) / self.spread, stars_of(rating)])
        # Review by review, never as a matrix: sums in a fixed order do not depend on who else is there.
        logits = (self.weight.astype(np.float32) * inputs[:, None]).sum(0) + self.bias
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)

    def shown(self, row: np.ndarray, rating: float | None) -> tuple[str, ...]:
        """The strongest emotions, at most three, strongest first; "neutral" only where it outweighs all.

        A writer who feels something shows at least one emotion: the strongest, even below the floor,
        where it is no mere shadow (LEAST).
        """
        ranked = row.astype(np.float64).copy()
        against = {1: _POSITIVE, 5: _NEGATIVE}.get(round(rating), []) if rating else []
        ranked[against] -= self.polarity
        order = np.argsort(-ranked, kind="stable")
        if order[0] == _NEUTRAL or ranked[order[0]] < LEAST:
            return ("neutral",)
        felt = [int(i) for i in order if i != _NEUTRAL][:SHOWN]
        over = [i for i in felt if ranked[i] >= self.floor] or felt[:1]
        return tuple(EMOTIONS[i] for i in over)
