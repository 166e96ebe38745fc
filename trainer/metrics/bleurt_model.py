"""BLEURT checkpoints in PyTorch, under today's transformers.

Published PyTorch checkpoints (lucadiliello/BLEURT-20-D12, bleurt-base-512, ...) are BERT with a
regression unit on the pooler; those of BLEURT-20 have an embedding size of their own and a
projection, which is RemBERT's shape. So the library's two classes hold the weights, and only names
are translated. It does not know what is compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from shared.errors import ModelUnavailable

_BATCH = 16


def load(folder: Path) -> tuple[Any, Any]:
    """Model (eval, fp32) and tokenizer of a checkpoint folder.

    Raises:
        ModelUnavailable: it is no BLEURT checkpoint; the text says what is missing.
    """
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        RemBertConfig,
        RemBertForSequenceClassification,
    )

    try:
        config = json.loads((folder / "config.json").read_text())
        path = folder / "model.safetensors"
        weights = (
            load_file(path)
            if path.exists()
            else torch.load(folder / "pytorch_model.bin", weights_only=True)
        )
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{folder} is no BLEURT checkpoint folder: {error}") from error
    own = config.get("embedding_size") is not None
    kept = {
        k: v
        for k, v in config.items()
        if k not in ("model_type", "architectures", "id2label", "label2id", "num_labels")
    }
    model: Any
    if own:
        dropouts = {"classifier_dropout_prob": 0.0}
        model = RemBertForSequenceClassification(
            RemBertConfig(
                **kept, input_embedding_size=config["embedding_size"], num_labels=1, **dropouts
            )
        )
    else:
        model = BertForSequenceClassification(BertConfig(**kept, num_labels=1))
    prefix = "rembert." if own else "bert."
    renamed = {
        k.replace("bleurt.", prefix).replace(
            "encoder.embedding_projection", "encoder.embedding_hidden_mapping_in"
        ): v
        for k, v in weights.items()
    }
    missing, _ = model.load_state_dict(renamed, strict=False)
    if lacking := [k for k in missing if not k.endswith("position_ids")]:
        raise ModelUnavailable(
            f"{folder} is no BLEURT checkpoint: it lacks {lacking[0]} and {len(lacking) - 1} more"
        )
    return model.eval(), _tokenizer(folder)


def _tokenizer(folder: Path) -> Any:
    from transformers import BertTokenizerFast, DebertaV2TokenizerFast

    kind = DebertaV2TokenizerFast if (folder / "spm.model").exists() else BertTokenizerFast
    return kind.from_pretrained(str(folder))


@torch.inference_mode()
def score(predictions: list[str], references: list[str], checkpoint: str) -> list[float]:
    """One score per pair; reference first, as BLEURT was trained.

    Pairs beyond 512 tokens lose the end of the longer.
    """
    model, tokenizer = load(Path(checkpoint))
    out: list[float] = []
    for start in range(0, len(predictions), _BATCH):
        batch = references[start : start + _BATCH], predictions[start : start + _BATCH]
        inputs = tokenizer(
            *batch, padding=True, truncation=True, max_length=512, return_tensors="pt"
        )
        out += model(**inputs).logits[:, 0].tolist()
    return out
