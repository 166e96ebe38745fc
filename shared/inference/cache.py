"""A KV cache with spare room: a new token is written beside the others, where transformers' own copies all at each step.

It does not know models or what the tokens are.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache, DynamicLayer

# Tokens of spare room whenever it is used up; a copy of the cache each time.
ROOM_TOKENS = 64


class RoomyLayer(DynamicLayer):
    """One layer's keys and values [rows, heads, tokens, width], views of larger buffers."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self._buffers: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append, and return all: [rows, heads, tokens, width] each."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if not self._buffers or self._buffers[0].shape[-2] < after:
            self._buffers = [
                _larger(old, new, before, after + ROOM_TOKENS)
                for old, new in ((self.keys, key_states), (self.values, value_states))
            ]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, before:after] = new
        self.keys, self.values = (buffer[:, :, :after] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows, and the spare room."""
        tokens = self.get_seq_length()
        self._buffers = [buffer[indices] for buffer in self._buffers]
        self.keys, self.values = (buffer[:, :, :tokens] for buffer in self._buffers)


def _larger(old: torch.Tensor, new: torch.Tensor, before: int, tokens: int) -> torch.Tensor:
    rows, heads, _, width = new.shape
    made = new.new_empty((rows, heads, tokens, width))
    if before:
        made[:, :, :before] = old
    return made


def roomy_cache() -> Cache:
    """An empty cache for any number of layers."""
    return Cache(layer_class_to_replicate=RoomyLayer)
