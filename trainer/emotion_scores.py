"""How well shown emotions fit labelled reviews. It knows names of emotions, not models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.review import NEGATIVE, POSITIVE
from trainer.emotion_data import LabelledReview


def emotion_scores(
    shown: Sequence[Sequence[str]], reviews: Sequence[LabelledReview]
) -> dict[str, float]:
    """Shares between 0 and 1, rounded to four places.

    Returns:
        micro_f1: of shown against labelled emotions, all reviews together.
        only_neutral: felt reviews (labelled with more than "neutral") shown as "neutral" or nothing.
        wrong_positive: reviews whose label has no positive emotion that are shown one.
        against_stars: 1-star reviews shown a positive, or 5-star reviews shown a negative emotion
            that the label does not have.
    """
    hits = named = wanted = 0
    neutral, positive, against = [], [], []
    for names, review in zip(shown, reviews, strict=True):
        truth, found = set(review.emotions), set(names)
        hits, named, wanted = hits + len(found & truth), named + len(found), wanted + len(truth)
        if truth != {"neutral"}:
            neutral.append(not found - {"neutral"})
        if not truth & POSITIVE:
            positive.append(bool(found & POSITIVE))
        if review.rating in (1, 5):
            other = POSITIVE if review.rating == 1 else NEGATIVE
            against.append(bool((found - truth) & other))
    return {
        "micro_f1": round(2 * hits / max(1, named + wanted), 4),
        "only_neutral": _share(neutral),
        "wrong_positive": _share(positive),
        "against_stars": _share(against),
    }


def _share(flags: Sequence[bool]) -> float:
    return round(float(np.mean(flags)), 4) if flags else 0.0
