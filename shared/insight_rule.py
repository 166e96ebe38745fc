"""Which reviews get an insight. One rule: workers write by it, the trainer samples by it.

It does not know who writes insights or how.
"""

from __future__ import annotations

from shared.review import Emotions, Review

# Stars, inclusive: the design's choice, not a measured one. Raising it to 4 means more insights (the
# dear part of the pipeline) and, at the next training, a sample that holds such reviews too.
HIGHEST_RATING_WITH_INSIGHT = 3


def why_no_insight(review: Review, emotions: Emotions | None) -> str | None:
    """None where an insight is due, else the reason that the Analysis will carry.

    Args:
        review: its rating decides, if it has one.
        emotions: decide for a review without rating; None: not classified yet.
    """
    if review.rating is not None:
        return (
            None if review.rating <= HIGHEST_RATING_WITH_INSIGHT else f"rated {review.rating:g}/5"
        )
    if emotions is None:
        return "no rating, and emotions are not known yet"
    return None if emotions.negative_weight > 0 else "no rating, and positive emotions outweigh"
