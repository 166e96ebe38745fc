from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.insight_rule import why_no_insight
from shared.review import EMOTIONS, Analysis, Emotions
from tests.conftest import make_review
from tests.fakes import ANGRY, FakeEmotions, FakeWriter
from trainer.sample import sample
from workers.pipeline import Pipeline

HAPPY = Emotions(probabilities={e: 0.9 if e == "joy" else 0.0 for e in EMOTIONS}, present=("joy",))
MIXED = HAPPY.model_copy(update={"present": ("joy", "annoyance")})  # a rare label's low threshold


@pytest.mark.parametrize(
    "rating, felt, reason",
    [
        (1, HAPPY, None),
        (3, HAPPY, None),
        (4, ANGRY, "rated 4/5"),
        (None, ANGRY, None),
        (None, HAPPY, "no rating, and positive emotions outweigh"),
        (None, None, "no rating, and emotions are not known yet"),
    ],
)
def test_an_insight_is_due_for_low_ratings_and_for_unrated_anger(rating, felt, reason):
    assert why_no_insight(make_review(0, rating=rating), felt) == reason


@pytest.mark.parametrize("felt", [ANGRY, HAPPY, MIXED])
@pytest.mark.parametrize("rating", [None, 1, 3, 3.5, 5])
def test_workers_write_for_exactly_the_reviews_that_training_samples(felt, rating):
    """Sampling used to take an unrated review with any negative label, the pipeline weighed them."""
    review = make_review(0, rating=rating)
    emotions = FakeEmotions()
    emotions.classify = lambda texts, ratings=None: [felt]  # type: ignore[method-assign]
    (analysis,) = Pipeline(None, emotions, FakeWriter()).analyse([review])  # type: ignore[arg-type]
    bare = Analysis(
        review_id=review.id, emotions=felt, insight_reason="x", analysed_at=datetime.now(UTC)
    )
    assert bool(sample([(review, bare)], 1).labels) == (analysis.insight is not None)
