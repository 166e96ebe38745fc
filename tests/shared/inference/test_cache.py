"""The KV cache with spare room holds what transformers' own holds."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicLayer

from shared.inference.cache import ROOM_TOKENS, RoomyLayer


def test_it_holds_what_transformers_own_layer_holds_whatever_is_appended_and_dropped():
    made = torch.Generator().manual_seed(0)
    ours, theirs, rows = RoomyLayer(), DynamicLayer(), 4
    for tokens in (7, 1, ROOM_TOKENS, 1, 1, 2 * ROOM_TOKENS, 1):
        new = [torch.randn((rows, 2, tokens, 3), generator=made) for _ in range(2)]
        for got, wanted in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(got, wanted)
        assert ours.get_seq_length() == theirs.get_seq_length()
        if rows > 1:
            rows -= 1
            kept = torch.randperm(rows + 1, generator=made)[:rows]
            ours.batch_select_indices(kept)
            theirs.batch_select_indices(kept)
            assert torch.equal(ours.keys, theirs.keys) and torch.equal(ours.values, theirs.values)


def test_a_token_is_written_in_place_until_the_room_is_used_up():
    layer, one = RoomyLayer(), torch.ones((2, 1, 1, 4))
    layer.update(one, one)
    where = layer.keys.data_ptr()
    for _ in range(ROOM_TOKENS):
        layer.update(one, one)
        assert layer.keys.data_ptr() == where
    layer.update(one, one)
    assert layer.keys.data_ptr() != where


@pytest.mark.parametrize("rows", [1, 3])
def test_what_is_expanded_from_one_row_is_not_shared_between_rows(rows):
    layer, prefix = RoomyLayer(), torch.ones((1, 1, 5, 4))
    wide = prefix.expand(rows, -1, -1, -1)
    layer.update(wide, wide)
    layer.keys[0] = 2
    assert (prefix == 1).all() and (layer.keys[1:] == 1).all()
