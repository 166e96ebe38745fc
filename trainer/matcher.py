"""Train a matcher (shared/inference/matcher.py) on labelled issues: one encoder, two heads, int8 ONNX.

Per token, which theme it is evidence of, if any (cross-entropy); per evidence span, where its
problem lies among the sentence embeddings of all problems in the bank (soft cross-entropy against
the similarities of the written problems, so that problems which mean the same share the mass). The
bank is the playbook of general advice and the labels themselves. It does not know queues, stores or
language models.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from shared.errors import Misconfigured
from shared.inference.matcher import CONFIG, Entry, Limits, tokens_in, windows_of
from shared.review import THEMES, Review
from trainer.emotions import batches
from trainer.examples import Label
from trainer.finetune import NotANumber
from trainer.marks import Mark, by_review

PLAYBOOK = Path(__file__).parent / "data" / "playbook.jsonl"
EPOCHS, RATE = 12, 3e-4
_TEMPERATURE, _SAME_THEME = 0.07, 0.1
_BATCH = 16


class Encoder(nn.Module):
    """Token themes [rows, tokens, 18] and token vectors [rows, tokens, 384], whose mean over a span is its problem."""

    def __init__(self, base: Path, attention: str = "sdpa") -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(
            str(base), attn_implementation=attention, dtype=torch.float32
        )
        width = self.encoder.config.hidden_size
        self.drop = nn.Dropout(0.1)
        self.theme = nn.Linear(width, 1 + len(THEMES))
        self.problem = nn.Linear(width, width)
        nn.init.eye_(
            self.problem.weight
        )  # the mean of token states is the sentence embedding already: start there
        nn.init.zeros_(self.problem.bias)

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and vectors."""
        hidden = self.drop(
            self.encoder(input_ids=ids, attention_mask=mask, token_type_ids=kinds).last_hidden_state
        )
        return self.theme(hidden), self.problem(hidden)


def bank_of(labels: Sequence[Label]) -> list[Entry]:
    """Broad and general entries of the playbook, then the specific ones of the labels."""
    written = [
        Entry(**json.loads(line)) for line in PLAYBOOK.read_text(encoding="utf-8").splitlines()
    ]
    return written + [
        Entry(i.theme, i.problem, i.action, "specific")
        for label in labels
        for i in label.issues or ()
    ]


@torch.inference_mode()
def embed(base: Path, texts: Sequence[str]) -> np.ndarray:
    """Unit sentence embeddings float32 [texts, 384]: mean over tokens, as the base was trained (Reimers & Gurevych 2019)."""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(str(base)),
        AutoModel.from_pretrained(str(base)).eval(),
    )
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
        out.append(
            F.normalize(
                (model(**coded).last_hidden_state * weight).sum(1) / weight.sum(1), dim=1
            ).numpy()
        )
    return np.concatenate(out)


def _windows(tokenizer: Any, review: Review) -> list[dict[str, Any]]:
    """Windows of a review as the matcher sees them; a token's theme is 0 (no evidence), or -100: not of the review."""
    return [
        {**window, "themes": [0 if own else -100 for own in window["own"]], "spans": []}
        for window in windows_of(tokenizer, review)
    ]


def _rows(
    tokenizer: Any, labels: Sequence[Label], marks: Sequence[Mark], written: Sequence[Entry]
) -> list[dict[str, Any]]:
    """Training windows of labelled and of marked reviews; `spans`: (index in the bank, first token, one past the last).

    The bank is what is `written` in the playbook, then the labels' issues in order.
    """
    out = []
    index = len(written)
    for label in labels:
        windows = _windows(tokenizer, label.review)
        for issue in label.issues or ():
            _mark(windows, issue.start, issue.end, issue.theme, index)
            index += 1
        out += windows
    places = {entry.problem: i for i, entry in enumerate(written)}
    for group in by_review(marks):
        windows = _windows(tokenizer, group[0].review)
        for mark in group:
            if mark.theme is not None:
                _mark(windows, mark.start, mark.end, mark.theme, places.get(mark.problem or ""))
        out += windows
    return out


def _mark(
    windows: Sequence[dict[str, Any]], start: int, end: int, theme: str, index: int | None
) -> None:
    """Give the tokens of [start, end) their theme and, where it is known, their problem's place in the bank."""
    for window in windows:
        inside = tokens_in(window, start, end)
        for i in inside:
            window["themes"][i] = 1 + THEMES.index(theme)
        if inside and index is not None:
            window["spans"].append((index, inside[0], inside[-1] + 1))


def _padded(rows: Sequence[dict[str, Any]], name: str, fill: int) -> torch.Tensor:
    width = max(len(row["ids"]) for row in rows)
    return torch.tensor([list(row[name]) + [fill] * (width - len(row["ids"])) for row in rows])


def train(
    labels: Sequence[Label],
    base: Path,
    out: Path,
    *,
    marks: Sequence[Mark] = (),
    epochs: int = EPOCHS,
    rate: float = RATE,
    seed: int = 0,
    checkpoints: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train, quantise and write a matcher.

    Args:
        labels: reviews with their issues; reviews without any teach when to be silent.
        base: folder of all-MiniLM-L6-v2.
        out: folder to write.
        marks: verdicts on spans of reviews (trainer/marks.py), for a kind of text that the labels
            lack.
        epochs: passes over the labels.
        rate: peak learning rate of the encoder; the new heads learn at 2e-3.
        seed: of weights, order and dropout.
        checkpoints: folder for the state after each epoch, from which a killed training goes on.
        say: called with one line of progress at a time.

    Returns:
        {"loss": of the last epoch, "reviews": ..., "marks": ..., "entries": ...}.

    Raises:
        Misconfigured: too few labels.
        NotANumber: the loss diverged.
    """
    if sum(bool(label.issues) for label in labels) < 8:
        raise Misconfigured("a matcher needs at least 8 reviews with issues; label more reviews")
    torch.manual_seed(seed)
    tokenizer, model = AutoTokenizer.from_pretrained(str(base)), Encoder(base)
    bank = bank_of(labels)
    vectors = embed(base, [entry.problem for entry in bank])
    targets, near, general = (
        torch.from_numpy(vectors),
        _nearness(bank, vectors),
        sum(entry.kind != "specific" for entry in bank),
    )
    rows = _rows(tokenizer, labels, marks, bank[:general])
    heads = [*model.theme.parameters(), *model.problem.parameters()]
    optimiser = torch.optim.AdamW(
        [{"params": model.encoder.parameters(), "lr": rate}, {"params": heads, "lr": 2e-3}],
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    steps = epochs * math.ceil(len(rows) / _BATCH)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / warm, max(0.0, 1 - s / steps))
    )
    state = {"model": model, "optimiser": optimiser, "schedule": schedule}
    done = _resume(checkpoints, state)
    begun, losses = time.monotonic(), [0.0]
    model.train()
    for epoch in range(done, epochs):
        losses = []
        # Seeded by epoch: a resumed training sees the same order.
        for chosen in batches(
            [len(row["ids"]) for row in rows], _BATCH, np.random.default_rng((seed, epoch))
        ):
            loss = _loss(model, [rows[i] for i in chosen], targets, near, general)
            if not torch.isfinite(loss):
                raise NotANumber(
                    "the matcher's loss is not finite; lower --rate and look at the labels"
                )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            losses.append(float(loss.detach()))
        left = (time.monotonic() - begun) / (epoch + 1 - done) * (epochs - epoch - 1)
        say(f"matcher: epoch {epoch + 1}/{epochs} loss {np.mean(losses):.3f} {left:.0f} s left")
        _keep(checkpoints, state, epoch + 1)
    _write(model.eval(), base, bank, vectors, out)
    return {
        "loss": float(np.mean(losses)),
        "reviews": float(len(labels)),
        "marks": float(len(marks)),
        "entries": float(len(bank)),
    }


def _resume(folder: Path | None, state: dict[str, Any]) -> int:
    """Load the last checkpoint, if there is one; returns the epochs done."""
    if folder is None or not (folder / "matcher.pt").exists():
        return 0
    kept = torch.load(folder / "matcher.pt", weights_only=True)
    for name, part in state.items():
        part.load_state_dict(kept[name])
    return int(kept["epochs"])


def _keep(folder: Path | None, state: dict[str, Any], epochs: int) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"epochs": epochs, **{name: part.state_dict() for name, part in state.items()}},
        folder / "matcher.part",
    )
    (folder / "matcher.part").replace(folder / "matcher.pt")


def _nearness(bank: Sequence[Entry], vectors: np.ndarray) -> torch.Tensor:
    """Soft targets [entries, entries]: how much of a problem's mass belongs to each entry."""
    themes = np.array([entry.theme for entry in bank])
    alike = vectors @ vectors.T + _SAME_THEME * (themes[:, None] == themes[None])
    return F.softmax(torch.from_numpy(alike.astype(np.float32)) / _TEMPERATURE, dim=1)


def _loss(
    model: Encoder,
    rows: Sequence[dict[str, Any]],
    targets: torch.Tensor,
    near: torch.Tensor,
    general: int,
) -> torch.Tensor:
    mask = torch.tensor(
        [[1] * len(row["ids"]) for row in [max(rows, key=lambda r: len(r["ids"]))]]
    ).repeat(len(rows), 1)
    for at, row in enumerate(rows):
        mask[at, len(row["ids"]) :] = 0
    with torch.autocast("cpu", torch.bfloat16):
        themes, vectors = model(_padded(rows, "ids", 0), mask, _padded(rows, "kinds", 0))
    loss = F.cross_entropy(
        themes.float().flatten(0, 1),
        _padded(rows, "themes", -100).flatten(),
        ignore_index=-100,
        label_smoothing=0.05,
    )
    spans = [(at, *span) for at, row in enumerate(rows) for span in row["spans"]]
    if spans:
        pooled = torch.stack([vectors[at, a:b].float().mean(0) for at, _, a, b in spans])
        scores = F.normalize(pooled, dim=1) @ targets.T / _TEMPERATURE
        wanted = near[[index for _, index, _, _ in spans]]
        # Once among all entries, once among the general ones alone, which are few and would drown.
        among = wanted[:, :general] ** 2
        loss = loss + 0.3 * F.cross_entropy(scores, wanted)
        loss = loss + 0.3 * F.cross_entropy(scores[:, :general], among / among.sum(1, keepdim=True))
    return loss


def _write(
    model: Encoder, base: Path, bank: Sequence[Entry], vectors: np.ndarray, out: Path
) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    out.mkdir(parents=True, exist_ok=True)
    plain = Encoder(base, attention="eager").eval()  # SDPA has no ONNX form in this exporter
    plain.load_state_dict(model.state_dict())
    sample = torch.ones(2, 8, dtype=torch.long)
    names = ("ids", "mask", "kinds", "themes", "vectors")
    exact = out / "exact.onnx"
    torch.onnx.export(
        plain,
        (sample, sample, sample),
        str(exact),
        input_names=list(names[:3]),
        output_names=list(names[3:]),
        dynamic_axes={name: {0: "rows", 1: "tokens"} for name in names},
        dynamo=False,
        opset_version=17,
    )
    kinds = ["MatMul", "Gather", "Gemm"]
    quantize_dynamic(
        exact,
        out / "model.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=kinds,
    )
    exact.unlink()
    shutil.copy(base / "tokenizer.json", out / "tokenizer.json")
    np.save(out / "bank.npy", vectors.astype(np.float16))
    (out / "bank.jsonl").write_text(
        "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in bank),
        encoding="utf-8",
    )
    config = {"themes": list(THEMES), "limits": asdict(Limits()), "base": base.name}
    (out / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
