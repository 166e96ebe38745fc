from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from shared.review import EMOTIONS, Analysis, Emotions, Review, review_id
from tests.conftest import EPOCH, make_review


def test_an_id_is_deterministic_and_safe_as_a_job_id():
    first, again = make_review(1), make_review(1)
    assert first.id == again.id and first.id.isalnum()
    assert first.id != make_review(2).id


def test_without_an_external_id_text_and_time_make_the_id():
    one = Review(source="t", text="abc", created_at=EPOCH)
    other = Review(source="t", text="abd", created_at=EPOCH)
    assert one.id == review_id("t", None, "abc", EPOCH) != other.id


def test_the_version_changes_with_what_the_models_read_and_nothing_else():
    review = make_review(1)
    assert review.version != review.model_copy(update={"text": "other"}).version
    assert review.version != review.model_copy(update={"rating": 5.0}).version
    assert review.version == review.model_copy(update={"business": "x"}).version


def test_a_time_without_zone_is_utc_and_others_are_converted():
    assert Review(source="t", text="a", created_at=datetime(2026, 1, 1)).created_at == datetime(
        2026, 1, 1, tzinfo=UTC
    )
    assert Review(
        source="t", text="a", created_at="2026-01-01T02:00:00+02:00"
    ).created_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        {"text": ""},
        {"text": "x" * 20_001},
        {"rating": 6},
        {"rating": 0},
        {"source": "Bad Source"},
        {"surprise": 1},
    ],
)
def test_what_is_no_review_is_refused(change):
    with pytest.raises(ValidationError):
        Review(**{"source": "t", "text": "a", "created_at": EPOCH, **change})


def test_control_characters_never_enter_a_text():
    assert Review(source="t", text="a\x00b\x07c\nd", created_at=EPOCH).text == "a b c\nd"


def test_an_analysis_has_an_insight_or_the_reason_for_none():
    felt = Emotions(probabilities=dict.fromkeys(EMOTIONS, 0.0), present=("neutral",))
    with pytest.raises(ValidationError):
        Analysis(review_id="a", emotions=felt, analysed_at=EPOCH)
    assert (
        Analysis(
            review_id="a", emotions=felt, insight_reason="rated 5/5", analysed_at=EPOCH
        ).insight
        is None
    )


def test_negative_weight_leans_with_the_emotions():
    base = dict.fromkeys(EMOTIONS, 0.0)
    assert Emotions(probabilities={**base, "anger": 0.9}, present=("anger",)).negative_weight > 0
    assert Emotions(probabilities={**base, "joy": 0.9}, present=("joy",)).negative_weight < 0
