"""A matcher as a folder: read with its files checked, or written.

It does not know training or queues.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from shared.errors import ModelUnavailable
from shared.inference.confidence import FEATURES, Calibration
from shared.inference.matcher import Limits, Matcher
from shared.inference.onnx_rows import RowModel
from shared.inference.playbook import read_lines
from shared.review import THEMES, TRADES

CONFIG = "matcher.json"
_LINES, _VECTORS = "playbook.jsonl", "lines.npy"


def load_matcher(
    folder: Path,
    *,
    threads: int = 0,
    show: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Matcher:
    """The matcher in a folder.

    Args:
        folder: model.onnx, tokenizer.json, matcher.json, playbook.jsonl, lines.npy.
        threads: rows read at a time; 0: one a core.
        show: confidence from which an issue is shown; None: what the folder was made with.
        tick: called after every row.

    Raises:
        ModelUnavailable: a file is missing or of another form, or made for other themes or features.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        config = json.loads((folder / CONFIG).read_text())
        made_for = (config["themes"], config["trades"], config["features"])
        if made_for != (list(THEMES), list(TRADES), list(FEATURES)):
            raise ModelUnavailable(
                f"{folder}: made for another version of this program; retrain it"
            )
        lines, vectors = read_lines(folder / _LINES), np.load(folder / _VECTORS)
        model = RowModel(folder / "model.onnx", threads, tick)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]"
        )
        limits = Limits(**config["limits"])
        calibration = Calibration(tuple(config["weights"]), float(config["bias"]))
        shown_from = float(config["show"]) if show is None else show
    except ModelUnavailable:
        raise
    except Exception as error:  # onnxruntime and tokenizers raise types of their own
        raise ModelUnavailable(
            f"{folder} is no matcher: {type(error).__name__}: {error}"
        ) from error
    if vectors.shape[0] != len(lines):
        raise ModelUnavailable(f"{folder}: {len(lines)} lines but {vectors.shape[0]} vectors")
    return Matcher(tokenizer, model, lines, vectors, limits, calibration, show=shown_from)


def write_config(
    folder: Path, base: str, limits: Limits, calibration: Calibration, show: float
) -> None:
    """The folder's matcher.json: what the model was made for, and what was chosen on the dev split."""
    config = {
        "base": base,
        "themes": list(THEMES),
        "trades": list(TRADES),
        "limits": asdict(limits),
        "show": round(show, 3),
        "features": list(FEATURES),
        "weights": [round(w, 4) for w in calibration.weights],
        "bias": round(calibration.bias, 4),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
