from __future__ import annotations

import random

from shared.inference.batching import token_batches, windows


def test_every_item_stands_in_exactly_one_batch_within_the_budget():
    generator = random.Random(0)
    for _ in range(200):
        lengths = [generator.randint(0, 300) for _ in range(generator.randint(0, 60))]
        batches = token_batches(lengths, 512, 16)
        assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
        for batch in batches:
            assert len(batch) <= 16
            assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 512


def test_an_item_over_the_budget_goes_alone():
    assert token_batches([10, 1000, 10], 100) == [[1], [0, 2]]


def test_windows_keep_order_and_budget():
    assert windows([3, 3, 3, 9, 1], 6) == [[0, 1], [2], [3], [4]]
