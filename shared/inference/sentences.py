"""Sentence embeddings by the base encoder, as it was trained. It does not know what the sentences are for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer


@torch.inference_mode()
def embed(base: Path, texts: Sequence[str]) -> np.ndarray:
    """Unit sentence embeddings float32 [texts, 384]: mean over tokens, as the base was trained (Reimers & Gurevych 2019)."""
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    model = AutoModel.from_pretrained(str(base)).eval()
    out = []
    for start in range(0, len(texts), 64):
        coded = tokenizer(
            list(texts[start : start + 64]),
            padding=True,
            truncation=True,
            max_length=128,
            return_tensors="pt",
        )
        weight = coded["attention_mask"][..., None].float()
        hidden = model(**coded).last_hidden_state
        out.append(F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1).numpy())
    return np.concatenate(out)
