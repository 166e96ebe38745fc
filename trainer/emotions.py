"""`beyond train-emotions`: fine-tune MiniLM on GoEmotions, tune thresholds on dev, write an int8 ONNX folder.

With labelled reviews, a head for whole reviews is learnt on top (trainer/emotion_review.py).

Multi-label: sigmoid per label, binary cross-entropy over the 28 labels of Demszky et al. 2020. Mean
pooling, as the sentence encoder was trained with. It does not know queues, stores or workers; it
reads TSV files and writes a folder.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from shared.inference.emotions import MANIFEST, load_folder
from shared.review import EMOTIONS
from trainer.emotion_data import read_goemotions, read_labelled
from trainer.emotion_review import learn_head

MAX_TOKENS = 96  # 99.9% of GoEmotions comments are shorter


class MeanPooled(nn.Module):
    """Encoder, mean over real tokens, dropout, linear head: [rows, tokens] ids -> [rows, 28] logits."""

    def __init__(self, folder: Path, attention: str = "sdpa") -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(
            str(folder), attn_implementation=attention, dtype=torch.float32
        )
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(self.encoder.config.hidden_size, len(EMOTIONS))
        nn.init.constant_(
            self.head.bias, -3.0
        )  # the prior: a label is present in about one comment in twenty

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits, float."""
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask[..., None].to(hidden.dtype)
        return self.head(self.drop((hidden * weight).sum(1) / weight.sum(1).clamp(min=1)))  # type: ignore[no-any-return]


def tune_thresholds(probabilities: np.ndarray, targets: np.ndarray) -> tuple[list[float], float]:
    """One threshold per label that maximises F1 on these rows, and the macro-F1 they reach ([rows, 28] each)."""
    thresholds, scores = [], []
    for column, truth in zip(probabilities.T, targets.T > 0, strict=True):
        grid = [(f1(column >= t, truth), float(t)) for t in np.arange(0.02, 0.96, 0.01)]
        score, threshold = max(grid)
        thresholds.append(round(threshold, 2))
        scores.append(score)
    return thresholds, float(np.mean(scores))


def f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    """F1 of one label; 0 where it is neither predicted nor present."""
    return float(2 * (predicted & truth).sum() / max(1, predicted.sum() + truth.sum()))


def batches(lengths: list[int], size: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Random batches of similar length: shuffle, sort within 50 batches, shuffle the batches."""
    order = generator.permutation(len(lengths))
    chunks = []
    for start in range(0, len(order), size * 50):
        near = sorted(order[start : start + size * 50], key=lambda i: lengths[i])
        chunks += [np.array(near[k : k + size]) for k in range(0, len(near), size)]
    for index in generator.permutation(len(chunks)):
        yield chunks[index]


def _padded(ids: list[list[int]], rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(ids[i]) for i in rows)
    out = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for at, i in enumerate(rows):
        out[at, : len(ids[i])] = torch.tensor(ids[i])
        mask[at, : len(ids[i])] = 1
    return out, mask


def train(
    data: Path,
    base: Path,
    out: Path,
    *,
    epochs: int = 3,
    batch: int = 32,
    rate: float = 2e-4,
    seed: int = 0,
    rows: int | None = None,
    say: Any = print,
) -> dict[str, Any]:
    """Train, quantise, tune, write.

    Args:
        data: folder with train.tsv and dev.tsv.
        base: MiniLM's folder.
        out: folder to write: model.onnx, tokenizer, emotions.json.
        epochs: passes over the data.
        batch: comments per step.
        rate: peak learning rate; linear warm-up over a tenth of the steps, then linear decay.
        seed: of weights, order and dropout.
        rows: train on the first so many rows only (tests).
        say: called with one line of progress at a time.

    Returns:
        The manifest: labels, thresholds, dev scores before and after int8, settings.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    texts, targets = read_goemotions(data / "train.tsv")
    texts, targets = texts[:rows], targets[:rows]
    ids = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    model = MeanPooled(base)
    optimiser = torch.optim.AdamW(
        [
            {"params": model.encoder.parameters(), "lr": rate},
            {"params": model.head.parameters(), "lr": 1e-3},
        ],
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    steps = epochs * math.ceil(len(ids) / batch)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / warm, 1) if s < warm else max(0.0, 1 - s / steps)
    )
    begun, step = time.monotonic(), 0
    model.train()
    for epoch in range(epochs):
        for chosen in batches([len(i) for i in ids], batch, generator):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(*_padded(ids, chosen))
            loss = F.binary_cross_entropy_with_logits(
                logits.float(), torch.from_numpy(targets[chosen]), reduction="none"
            )
            loss.sum(1).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            step += 1
            if step % 100 == 0:
                left = (time.monotonic() - begun) / step * (steps - step)
                now = float(loss.detach().sum(1).mean())
                say(
                    f"epoch {epoch + 1}/{epochs} step {step}/{steps} loss {now:.3f} {left:.0f} s left"
                )
    return _write(
        model.eval(),
        base,
        data,
        out,
        {"epochs": epochs, "batch": batch, "rate": rate, "seed": seed},
        say,
    )


def _write(
    model: MeanPooled, base: Path, data: Path, out: Path, recipe: dict[str, Any], say: Any
) -> dict[str, Any]:
    """Export fp32 and int8 to ONNX, then tune."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    out.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(base / name, out / name)
    exact, small = out / "fp32.onnx", out / "int8.onnx"
    plain = MeanPooled(base, attention="eager").eval()  # SDPA has no ONNX form in this exporter
    plain.load_state_dict(model.state_dict())
    sample = torch.ones(2, 8, dtype=torch.long)
    axes = {
        "ids": {0: "rows", 1: "tokens"},
        "mask": {0: "rows", 1: "tokens"},
        "logits": {0: "rows"},
    }
    torch.onnx.export(
        plain,
        (sample, sample),
        str(exact),
        input_names=["ids", "mask"],
        output_names=["logits"],
        dynamic_axes=axes,
        dynamo=False,
        opset_version=17,
    )
    quantize_dynamic(
        exact,
        small,
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gather", "Gemm"],
    )
    for path in (exact, small):
        expose_features(path)
    return _tune(data, out, {**recipe, "base": base.name}, say)


def expose_features(path: Path) -> None:
    """Let an exported file also put out what the review head reads: mean and maximum of the last hidden states.

    Files that do so already stay as they are.
    """
    import onnx

    model = onnx.load(str(path))
    if len(model.graph.output) > 1:
        return
    # The last of each kind: the encoder's final normalisation, and the mean that the head is fed.
    hidden = [n for n in model.graph.node if n.op_type == "LayerNormalization"][-1].output[0]
    mean = [n for n in model.graph.node if n.op_type == "Div"][-1].output[0]
    nodes = [
        onnx.helper.make_node("Identity", [mean], ["mean"]),
        onnx.helper.make_node("ReduceMax", [hidden], ["maximum"], axes=[1], keepdims=0),
    ]
    model.graph.node.extend(nodes)
    for name in ("mean", "maximum"):
        shape = ["rows", None]
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        )
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def learn_reviews(folder: Path, labels: Path, say: Any = print) -> dict[str, Any]:
    """Learn the review head for the encoder in `folder` and put it, and what was measured, there.

    Returns:
        The manifest.
    """
    expose_features(folder / "model.onnx")
    head, facts = learn_head(load_folder(folder, str(folder)), read_labelled(labels), say)
    head.save(folder)
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    manifest |= {"languages": ["en"], "reviews": facts}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _tune(data: Path, out: Path, recipe: dict[str, Any], say: Any) -> dict[str, Any]:
    """Tune thresholds on dev with the int8 model, the one that serves.

    Note its score beside the fp32 one's.
    """
    texts, targets = read_goemotions(data / "dev.tsv")
    manifest: dict[str, Any] = {
        "labels": list(EMOTIONS),
        "languages": ["en"],  # the encoder's, and both data sets'
        "thresholds": [0.5] * len(EMOTIONS),
        "recipe": recipe,
    }
    (out / MANIFEST).write_text(json.dumps(manifest))
    scores = {}
    for name in ("fp32", "int8"):
        (out / f"{name}.onnx").replace(out / "model.onnx")
        found = load_folder(out, str(out)).probabilities(texts)
        thresholds, scores[name] = tune_thresholds(found, targets)
    manifest |= {
        "thresholds": thresholds,
        "dev_macro_f1": {k: round(v, 4) for k, v in scores.items()},
    }
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    say(
        f"dev macro-F1 at tuned thresholds: fp32 {scores['fp32']:.4f}, int8 {scores['int8']:.4f}; written to {out}"
    )
    return manifest
