"""Pure: token-budget batches from lengths. It knows numbers, not models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def token_batches(lengths: Sequence[int], budget: int, limit: int = 1_000_000) -> list[list[int]]:
    """Cut items into batches of similar length whose padded size stays within a budget.

    Args:
        lengths: tokens of each item.
        budget: most tokens of a batch after padding, i.e. items x the longest one; an item over it
            goes alone.
        limit: the most items of a batch.

    Returns:
        Lists of indices into `lengths`, longest items first (an out-of-memory shows at once, not at
        the end); each index stands in exactly one.
    """
    out: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        batch = out[-1] if out else None
        # Longest first: the batch's padded width is its first item's length.
        if batch and len(batch) < limit and (len(batch) + 1) * max(1, lengths[batch[0]]) <= budget:
            batch.append(index)
        else:
            out.append([index])
    return out


def windows(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Pack consecutive pieces into windows of at most `budget` tokens, in order.

    An over-long piece stands alone.
    """
    out: list[list[int]] = []
    size = 0
    for index, length in enumerate(lengths):
        if out and size + length <= budget:
            out[-1].append(index)
            size += length
        else:
            out.append([index])
            size = length
    return out


def padded(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    """Rows of numbers as one int64 array [rows, longest], short ones filled up on the right."""
    out = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out
