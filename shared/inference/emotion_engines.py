"""Two ways to run an emotion encoder: rows of token ids in, per row its logits (and features) out.

The int8 ONNX file runs each row alone (shared/inference/onnx_rows.py says why); a transformers
classifier runs padded batches, in float32 on a CPU, where company changes nothing that matters. They
do not know texts, windows, labels' meaning or thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.inference.batching import token_batches
from shared.inference.onnx_rows import RowModel

# Per row [logits [28]] and, where the file has them, [mean [width], maximum [width]] over tokens.
Engine = Callable[[Sequence[list[int]]], list[list[np.ndarray]]]


def onnx_engine(folder: Path, threads: int, tick: Callable[[], None]) -> Engine:
    """The ONNX model in `folder`, row by row on `threads` threads (0: one a core)."""
    model = RowModel(folder / "model.onnx", threads, tick)
    return lambda rows: model.run([{"ids": row, "mask": [1] * len(row)} for row in rows])


def transformers_engine(
    folder: Path, device: str, pad: int, budget: int, tick: Callable[[], None]
) -> tuple[Engine, list[str]]:
    """A sequence classifier in padded batches of at most `budget` tokens, and its labels in order."""
    import torch
    from transformers import AutoModelForSequenceClassification

    # bf16 halves a GPU's time; on a CPU its rounding would depend on the batch's padding.
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model: Any = AutoModelForSequenceClassification.from_pretrained(str(folder), dtype=dtype)
    model = model.to(device).eval()

    @torch.inference_mode()
    def run(rows: Sequence[list[int]]) -> list[list[np.ndarray]]:
        out: list[list[np.ndarray]] = [[] for _ in rows]
        for batch in token_batches([len(r) for r in rows], budget):
            ids, mask = _padded([rows[i] for i in batch], pad)
            found = model(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=torch.from_numpy(mask).to(device),
            ).logits
            for index, logits in zip(batch, found.float().cpu().numpy(), strict=True):
                out[index] = [logits]
            tick()
        return out

    return run, [model.config.id2label[i].lower() for i in range(model.config.num_labels)]


def _padded(rows: Sequence[list[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    width = max(len(r) for r in rows)
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
        mask[at, : len(row)] = 1
    return ids, mask
