"""Train a matcher (shared/inference/matcher.py): one encoder, small heads, int8 ONNX.

It learns from readings (trainer/readings.py): whole reviews in which every complaint is marked. The
network and its losses are in trainer/reader_net.py. It does not know queues, stores or language
models.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoTokenizer

from shared.errors import Misconfigured
from shared.inference.confidence import UNFITTED, Calibration
from shared.inference.matcher import Limits
from shared.inference.matcher_folder import write_config
from shared.inference.playbook import Line, write_lines
from shared.inference.sentences import embed
from shared.review import TRADES
from trainer.emotions import batches
from trainer.finetune import NotANumber
from trainer.onnx_export import export_int8
from trainer.reader_data import windows
from trainer.reader_net import Net, loss
from trainer.readings import Reading

PLAYBOOK = Path(__file__).parent / "data" / "playbook.jsonl"
# Chosen on the dev split of the labels, see trainer/LOG.md.
EPOCHS, RATE = 6, 3e-4
_HEADS_RATE, _LINES_RATE, _BATCH = 2e-3, 1e-3, 16
_LEAST_REVIEWS = 8  # with complaints; fewer teach nothing
INPUTS, OUTPUTS = ("ids", "mask", "kinds"), ("themes", "extras", "vectors", "trade")


def train(
    readings: Sequence[Reading],
    lines: Sequence[Line],
    base: Path,
    out: Path,
    *,
    epochs: int = EPOCHS,
    rate: float = RATE,
    seed: int = 0,
    checkpoints: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train, quantise and write a matcher, whose confidence is yet to be fitted (trainer/calibrate.py).

    Args:
        readings: reviews with all their complaints; those without any teach when to be silent.
        lines: the playbook.
        base: folder of all-MiniLM-L6-v2.
        out: folder to write.
        epochs: passes over the readings.
        rate: peak learning rate of the encoder; the new heads learn at 2e-3.
        seed: of weights, order, dropout and hidden trades.
        checkpoints: folder for the state after each epoch, from which a killed training goes on.
        say: called with one line of progress at a time.

    Returns:
        {"loss": of the last epoch, "reviews": ..., "lines": ...}.

    Raises:
        Misconfigured: too few readings.
        NotANumber: the loss diverged.
    """
    if sum(bool(one.quotes) for one in readings) < _LEAST_REVIEWS:
        raise Misconfigured(
            f"a matcher needs at least {_LEAST_REVIEWS} reviews with issues; label more reviews"
        )
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    net = Net(base, embed(base, [line.problem for line in lines]))
    allowed = heard(lines)
    count = len(windows(tokenizer, readings, np.random.default_rng(seed)))
    state = _optimised(net, rate, epochs * math.ceil(count / _BATCH))
    done = _resume(checkpoints, state)
    begun, losses = time.monotonic(), [0.0]
    net.train()
    for epoch in range(done, epochs):
        generator = np.random.default_rng((seed, epoch))  # a resumed training sees the same order
        rows = windows(tokenizer, readings, generator)
        losses = []
        for chosen in batches([len(row["ids"]) for row in rows], _BATCH, generator):
            losses.append(_step(state, [rows[i] for i in chosen], allowed))
        left = (time.monotonic() - begun) / (epoch + 1 - done) * (epochs - epoch - 1)
        say(f"matcher: epoch {epoch + 1}/{epochs} loss {np.mean(losses):.3f} {left:.0f} s left")
        _keep(checkpoints, state, epoch + 1)
    write(net, lines, base, out)
    return {
        "loss": float(np.mean(losses)),
        "reviews": float(len(readings)),
        "lines": float(len(lines)),
    }


def heard(lines: Sequence[Line]) -> torch.Tensor:
    """Bool [trades + 1, lines]: which trade may hear which line; the last row, of no trade, all."""
    rows = [[line.fits([trade]) for line in lines] for trade in TRADES]
    return torch.tensor([*rows, [True] * len(lines)])


def _optimised(net: Net, rate: float, steps: int) -> dict[str, Any]:
    """Network, optimiser and schedule: a tenth of warm-up, then linear decay."""
    heads = [
        parameter
        for name, parameter in net.named_parameters()
        if not name.startswith("encoder") and name != "lines"
    ]
    optimiser = torch.optim.AdamW(
        [
            {"params": net.encoder.parameters(), "lr": rate},
            {"params": heads, "lr": _HEADS_RATE},
            {"params": [net.lines], "lr": _LINES_RATE, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / warm, max(0.0, 1 - s / steps))
    )
    return {"model": net, "optimiser": optimiser, "schedule": schedule}


def _step(state: dict[str, Any], rows: Sequence[dict[str, Any]], allowed: torch.Tensor) -> float:
    found = loss(state["model"], rows, allowed)
    if not torch.isfinite(found):
        raise NotANumber("the matcher's loss is not finite; lower --rate and look at the labels")
    found.backward()
    nn.utils.clip_grad_norm_(state["model"].parameters(), 1.0)
    state["optimiser"].step()
    state["optimiser"].zero_grad()
    state["schedule"].step()
    return float(found.detach())


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
    kept = {"epochs": epochs, **{name: part.state_dict() for name, part in state.items()}}
    torch.save(kept, folder / "matcher.part")
    (folder / "matcher.part").replace(folder / "matcher.pt")


def write(
    net: Net,
    lines: Sequence[Line],
    base: Path,
    out: Path,
    calibration: Calibration = UNFITTED,
    show: float = 0.5,
) -> None:
    """Write the folder that load_matcher reads."""
    out.mkdir(parents=True, exist_ok=True)
    vectors = net.lines.detach().numpy()
    plain = Net(base, vectors, attention="eager").eval()
    plain.load_state_dict(net.state_dict())
    export_int8(plain, INPUTS, OUTPUTS, out / "model.onnx")
    shutil.copy(base / "tokenizer.json", out / "tokenizer.json")
    np.save(out / "lines.npy", vectors.astype(np.float16))
    write_lines(out / "playbook.jsonl", lines)
    write_config(out, base.name, Limits(), calibration, show)
