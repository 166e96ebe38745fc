"""METEOR, BERTScore and BLEURT for pairs of texts, each pair its own number, or the reason why not computed.

It does not know models of ours; it scores text against text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from shared.errors import BeyondError
from shared.inference.weights import resolve
from shared.settings import Settings
from trainer.metrics import wordnet

_METRICS = Path(__file__).parent
# The layer whose vectors agree best with people (bert-score's table); of models that are not named
# here, the last.
_LAYERS = {"roberta-large": 17}


def pairwise(
    predictions: Sequence[str], references: Sequence[str], settings: Settings
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Scores per pair and, for what could not be computed, why.

    Args:
        predictions: what was written.
        references: what the label says, same length.
        settings: BERTScore's model, BLEURT's checkpoint, the cache.

    Returns:
        ({"meteor": [...], ...}, {"bleurt": "no checkpoint ..."}): no number ever stands for a
        missing one.
    """
    scores: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    for name, compute in (("meteor", _meteor), ("bertscore", _bertscore), ("bleurt", _bleurt)):
        try:
            scores[name] = compute(list(predictions), list(references), settings)
        except (BeyondError, ImportError) as error:
            missing[name] = str(error)
    return scores, missing


def _load(name: str) -> object:
    import evaluate

    logging.getLogger("evaluate").setLevel(logging.ERROR)
    return evaluate.load(str(_METRICS / f"{name}.py"))


def _meteor(predictions: list[str], references: list[str], settings: Settings) -> list[float]:
    wordnet.ensure(settings.cache)
    return list(_load("meteor").compute(predictions=predictions, references=references)["meteor"])  # type: ignore[attr-defined]


def _bertscore(predictions: list[str], references: list[str], settings: Settings) -> list[float]:
    model = resolve(settings.bertscore_model, settings.cache)
    scored = _load("bertscore").compute(  # type: ignore[attr-defined]
        predictions=predictions,
        references=references,
        model_type=str(model),
        num_layers=_layer(settings.bertscore_model, model),
    )
    return list(scored["bertscore"])


def _layer(source: str, folder: Path) -> int:
    """bert-score knows the layers of hub names alone, and a model may lie in any folder."""
    name = source.rsplit(":", 1)[-1].rstrip("/").rsplit("/", 1)[-1].partition("@")[0]
    if name in _LAYERS:
        return _LAYERS[name]
    return int(json.loads((folder / "config.json").read_text())["num_hidden_layers"])


def _bleurt(predictions: list[str], references: list[str], settings: Settings) -> list[float]:
    from shared.errors import ModelUnavailable

    if not settings.bleurt_checkpoint:
        raise ModelUnavailable(
            "no checkpoint; set BEYOND_BLEURT_CHECKPOINT to a folder or hub:lucadiliello/BLEURT-20-D12"
        )
    only = ["*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model.bin"]
    folder = str(resolve(settings.bleurt_checkpoint, settings.cache, only=only))
    scored = _load("bleurt").compute(  # type: ignore[attr-defined]
        predictions=predictions, references=references, checkpoint=folder
    )
    return list(scored["bleurt"])
