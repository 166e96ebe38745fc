from __future__ import annotations

import pytest

from producers.intake import make_review
from shared.review import TRADES
from shared.trades import trade_of
from tests.conftest import EPOCH


@pytest.mark.parametrize(
    ("said", "trade"),
    [
        *((trade, trade) for trade in TRADES),
        ("Restaurants, Pizza", "food"),
        ("Hotel & Spa", "lodging"),
        ("Women's Clothing", "clothing"),
        ("Hair Salons", "service"),
        ("Mobile game", "app"),
        ("Theme park", "attraction"),
        ("Low-cost airline", "travel"),
        ("Consumer electronics", "product"),
        ("online_shop".replace("_", " "), "product"),
        ("Xyzzy", None),
        ("", None),
        (None, None),
    ],
)
def test_a_platforms_category_means_a_trade_or_nothing(said, trade):
    assert trade_of(said) == trade


def test_an_unknown_category_rejects_no_review_and_changes_no_version():
    fields = {"source": "s", "text": "Bad.", "created_at": EPOCH}
    plain, known, odd = (
        make_review({**fields, "category": c}, b"k") for c in (None, "Hotel", "Xyzzy")
    )
    assert (plain.category, known.category, odd.category) == (None, "lodging", None)
    assert plain.id == known.id == odd.id and plain.version == known.version
    assert "category" not in plain.model_dump(), "records of before must not grow"
