"""The network of a matcher: one encoder pass, small heads on every token, pooled over clauses in training.

It does not know files or schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel

from shared.inference.batching import padded
from shared.review import THEMES, TRADES

# Cosines are small numbers: divided by this they make a softmax that can be sure (0.07 as in CLIP,
# Radford et al. 2021).
TEMPERATURE = 0.07
NO_THEME, UNKNOWN = 0, -100
# Weights of the losses beside the clause themes', whose weight is 1. Tokens: a denser signal of the
# same thing. The others share the encoder and should not lead it.
_TOKENS, _LINES, _BEGINS, _RANKS, _TRADE = 0.3, 0.5, 0.2, 0.2, 0.1


class Net(nn.Module):
    """[rows, tokens] -> themes [.., 18], extras [.., 2] (begins a quote, importance), vectors [.., 384], trade [rows, 9].

    Args:
        base: folder of the sentence encoder.
        lines: float [lines, 384], the playbook's sentence embeddings: where its lines begin.
        attention: "eager" for export.
    """

    def __init__(self, base: Path, lines: np.ndarray, attention: str = "sdpa") -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(
            str(base), attn_implementation=attention, dtype=torch.float32
        )
        width = self.encoder.config.hidden_size
        self.drop = nn.Dropout(0.1)
        self.theme = nn.Linear(width, 1 + len(THEMES))
        self.extra = nn.Linear(width, 2)
        self.problem = nn.Linear(width, width)
        self.trade = nn.Linear(width, len(TRADES))
        self.lines = nn.Parameter(torch.from_numpy(lines.astype(np.float32)))
        # The mean of token states is the sentence embedding already: start there.
        nn.init.eye_(self.problem.weight)
        nn.init.zeros_(self.problem.bias)

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits and vectors of every token, and the trade's logits of each row."""
        hidden = self.encoder(
            input_ids=ids, attention_mask=mask, token_type_ids=kinds
        ).last_hidden_state
        hidden = self.drop(hidden)
        weight = mask[..., None].to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1)
        out = self.theme(hidden), self.extra(hidden)  # nosec B610: a layer, no query
        return *out, self.problem(hidden), self.trade(mean)


def loss(net: Net, rows: Sequence[dict[str, Any]], allowed: torch.Tensor) -> torch.Tensor:
    """The training loss of some windows (trainer/reader_data.py); `allowed` [trades + 1, lines]: who may hear which line."""
    mask = torch.from_numpy(padded([[1] * len(row["ids"]) for row in rows], 0))
    ids, kinds = (torch.from_numpy(padded([r[name] for r in rows], 0)) for name in ("ids", "kinds"))
    with torch.autocast("cpu", torch.bfloat16):
        themes, extras, vectors, trades = net(ids, mask, kinds)
    themes, extras, vectors = themes.float(), extras.float(), vectors.float()
    wanted = torch.from_numpy(padded([row["themes"] for row in rows], UNKNOWN))
    total = _TOKENS * F.cross_entropy(
        themes.flatten(0, 1), wanted.flatten(), ignore_index=UNKNOWN, label_smoothing=0.05
    )
    total = total + _clause_loss(rows, themes, extras)
    total = total + _LINES * _line_loss(net, rows, vectors, allowed)
    known = torch.tensor([row["trade"] for row in rows])
    if (known >= 0).any():
        total = total + _TRADE * F.cross_entropy(trades.float(), known, ignore_index=-1)
    return total


def _clause_loss(
    rows: Sequence[dict[str, Any]], themes: torch.Tensor, extras: torch.Tensor
) -> torch.Tensor:
    """Theme of each clause, whether it begins a quote, and how important it is."""
    spans = [(at, *clause) for at, row in enumerate(rows) for clause in row["clauses"]]
    if not spans:
        return themes.sum() * 0
    pooled = torch.stack([themes[at, a:b].mean(0) for at, a, b, *_ in spans])
    kinds = torch.tensor([theme for _, _, _, theme, *_ in spans])
    out = F.cross_entropy(pooled, kinds, ignore_index=UNKNOWN, label_smoothing=0.05)
    begins = [(at, a, begin) for at, a, _, _, begin, _ in spans if begin is not None]
    if begins:
        given = torch.stack([extras[at, a, 0] for at, a, _ in begins])
        out = out + _BEGINS * F.binary_cross_entropy_with_logits(
            given, torch.tensor([float(b) for *_, b in begins])
        )
    ranks = [(at, a, b, rank) for at, a, b, _, _, rank in spans if rank is not None]
    if ranks:
        given = torch.stack([extras[at, a:b, 1].mean() for at, a, b, _ in ranks])
        out = out + _RANKS * F.binary_cross_entropy_with_logits(
            given, torch.tensor([r for *_, r in ranks])
        )
    return out


def _line_loss(
    net: Net, rows: Sequence[dict[str, Any]], vectors: torch.Tensor, allowed: torch.Tensor
) -> torch.Tensor:
    """Which line of the playbook says the quote's problem, among those its trade may hear."""
    spans = [(at, *span) for at, row in enumerate(rows) for span in row["spans"]]
    if not spans:
        return vectors.sum() * 0
    pooled = torch.stack([vectors[at, a:b].mean(0) for at, _, a, b in spans])
    scores = F.normalize(pooled, dim=1) @ F.normalize(net.lines, dim=1).T / TEMPERATURE
    lines = torch.tensor([line for _, line, _, _ in spans])
    heard = allowed[torch.tensor([rows[at]["trade"] for at, *_ in spans])]
    heard[torch.arange(len(lines)), lines] = True
    return F.cross_entropy(scores.masked_fill(~heard, -1e4), lines)
