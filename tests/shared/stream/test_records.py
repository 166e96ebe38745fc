"""Records are small, exact but for the probabilities, and older ones stay readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.review import EMOTIONS, Analysis, Emotions, Insight, Issue, Review
from shared.stream import records
from tests.conftest import EPOCH, make_review

REVIEW = make_review(text="The soup was cold. Nobody said sorry.")
VERSION = bytes.fromhex(REVIEW.version)
WRITTEN = Insight(
    issues=(
        Issue(
            theme="waiting",
            problem="The soup came late and cold.",
            evidence="The soup was cold.",
            start=0,
            end=18,
            action="Carry soup out as soon as it is ladled.",
            flags=("offers money",),
        ),
    ),
    urgency="high",
    urgency_reason="rated 1",
    adapter="packaged-minilm-issues",
    prompt_version="issues-1",
)


def analysis(probabilities: dict[str, float], **change: object) -> Analysis:
    values: dict[str, object] = {
        "review_id": "r",
        "emotions": Emotions(probabilities=probabilities, present=("anger",)),
        "insight": WRITTEN,
        "models": {"emotions": "a", "insights": "b"},
        "seconds": {"emotions": 0.001234},
        "analysed_at": EPOCH,
    }
    return Analysis.model_validate(values | change)


def even(probability: float) -> dict[str, float]:
    return dict.fromkeys(EMOTIONS, probability)


def packed(found: Analysis, review: Review = REVIEW) -> bytes:
    return next(records.pack_analyses([(review, found)]))[1]


def there_and_back(found: Analysis, review: Review = REVIEW) -> Analysis:
    return records.unpack_analysis(packed(found, review), "r", review.text)


@given(st.lists(st.floats(0, 1), min_size=28, max_size=28))
def test_probabilities_come_back_within_the_stated_error_and_all_else_exactly(values):
    before = analysis(dict(zip(EMOTIONS, values, strict=True)))
    after = there_and_back(before)
    for label, p in before.emotions.probabilities.items():
        q = after.emotions.probabilities[label]
        # Half a step of sqrt(p) is 1/510; 5e-5 is the rounding to four digits.
        assert abs(p - q) <= 2 * p**0.5 / 510 + 1 / 510**2 + 5e-5 <= 0.0041
    same = before.emotions.model_copy(update={"probabilities": after.emotions.probabilities})
    assert after == before.model_copy(update={"emotions": same})


def test_packing_what_was_unpacked_changes_nothing_more():
    once = there_and_back(analysis(even(0.123456)))
    assert packed(there_and_back(once)) == packed(once)


def test_a_quote_that_is_not_what_its_offsets_say_is_kept_as_it_is():
    other = make_review(text="Another text altogether, of no lesser length than that.")
    before = there_and_back(analysis(even(0.1)))
    assert there_and_back(before, other) == before
    assert len(packed(before)) < len(packed(before, other))  # where it is, it costs nothing


def test_each_of_a_batch_is_packed_as_it_would_be_alone():
    batch = [analysis(p) for p in (even(0.1), {"anger": 0.1}, even(0.2), even(float("nan")))]
    together = [blob for _, blob in records.pack_analyses([(REVIEW, a) for a in batch])]
    assert together == [packed(a) for a in batch]
    assert [blob[6] for blob in together] == [3, 1, 3, 1]


def test_an_analysis_of_another_version_than_its_review_is_none():
    _, blob = records.pack_review(REVIEW)
    stale = b"654321" + packed(analysis(even(0.1)))[6:]
    assert records.unpack_pair("r", blob, stale) == (REVIEW, None)
    assert records.unpack_pair("r", blob, None) == (REVIEW, None)


@pytest.mark.parametrize(
    "odd", [{"anger": 0.123456789}, {**even(0.1), "anger": 1.5}, {**even(0.1), "more": 0.5}, {}]
)
def test_other_labels_or_values_than_the_28_are_kept_exactly(odd):
    before = analysis(odd)
    assert there_and_back(before) == before


def test_an_analysis_stored_before_probabilities_became_bytes_is_readable():
    before = analysis(even(0.123456))
    old = VERSION + records._REVIEWS.pack(before.model_dump_json().encode())
    assert records.unpack_analysis(old, "r", REVIEW.text) == before


def test_a_review_stored_before_hours_were_kept_is_readable():
    review = make_review()
    version, blob = records.pack_review(review)
    old = blob[:8] + records._REVIEWS.pack(review.model_dump_json().encode())
    assert blob[:6] == version and records.unpack_review(old) == records.unpack_review(blob)
    assert records.unpack_review(blob) == review


def test_an_analysis_takes_half_of_what_its_json_took():
    """A review and its analysis, and 28 probabilities, as the packaged models give them."""
    values = dict(zip(EMOTIONS, [round(0.9 / (i + 1) ** 1.5, 6) for i in range(28)], strict=True))
    before = analysis(values)
    old = VERSION + records._REVIEWS.pack(before.model_dump_json().encode())
    assert len(packed(before)) <= 0.5 * len(old)
