from __future__ import annotations

import pytest

from producers.intake import Intake, make_review
from shared.errors import InvalidReview
from shared.privacy import author_hash, redact
from tests.conftest import EPOCH

KEY = b"k" * 32
FIELDS = {"source": "t", "text": "Cold soup.", "created_at": EPOCH}


@pytest.mark.parametrize(
    "text, left",
    [
        ("mail me: jo.doe+x@example.co.uk now", "mail me: [email] now"),
        ("call +44 (0)20 7946 0958 please", "call [number] please"),
        ("card 4111 1111 1111 1111.", "card [number]."),
        ("order 12345 cost 39.00 on 2026-03-01", "order 12345 cost 39.00 on 2026-03-01"),
        ("45 minutes, 3 stars, 1200 miles", "45 minutes, 3 stars, 1200 miles"),
    ],
)
def test_contact_data_never_reaches_the_store_but_prices_do(text, left):
    assert redact(text) == left


def test_the_author_is_a_keyed_hash():
    review = make_review({**FIELDS, "author": "Jo Doe"}, KEY)
    assert (
        review.author == author_hash("Jo Doe", KEY) != author_hash("Jo Doe", b"other" * 8)
        and "Jo" not in review.author
    )


@pytest.mark.parametrize(
    "change, says",
    [
        ({"text": ""}, "text"),
        ({"text": 5}, "text"),
        ({"rating": 9}, "rating.*5.*9"),
        ({"created_at": "soon"}, "created_at"),
        ({"nonsense": 1}, "nonsense"),
        ({"created_at": None}, "created_at"),
    ],
)
def test_an_error_names_the_field(change, says):
    with pytest.raises(InvalidReview, match=says):
        make_review({**FIELDS, **change}, KEY)


def test_repeats_within_one_call_are_stored_once(store):
    intake = Intake(store, KEY, chunk_reviews=2)
    reviews = [intake.validate({**FIELDS, "external_id": str(i % 3)}) for i in range(9)]
    assert intake.receive_many(reviews) == {"new": 3, "updated": 0, "same": 6}
    assert store.counts()["backfill"] == 2
