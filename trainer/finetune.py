"""Fine-tune: LoRA by peft on a causal model, loss on the answer only, resumable, best checkpoint by dev loss.

transformers' Trainer does the loop; ours is the loss, which computes logits for answer positions
alone: on a CPU the vocabulary projection of a whole batch costs more than the rest of the model. It
does not know tasks or reviews.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from shared.errors import Misconfigured
from trainer.examples import Example
from trainer.run import Spent

IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """How to train.

    `rate` is the peak learning rate, `targets` the linear layers that get an adapter.
    """

    rank: int = 16
    alpha: int = 32
    rate: float = 4e-4
    epochs: float = 4
    batch: int = 8
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.05
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    max_tokens: int = 1024
    seed: int = 0


RECIPES = {
    "default": Recipe(),
    # The original project's values, its learning rate included (2e-5 suits full fine-tuning, not
    # LoRA). It named `out_proj`, which phi-2 does not have; `dense` is the layer it meant.
    "original": Recipe(
        rank=16,
        alpha=32,
        rate=2e-5,
        epochs=3,
        dropout=0.05,
        targets=("q_proj", "k_proj", "v_proj", "dense"),
    ),
    "phi-2": Recipe(
        rate=1e-4, epochs=3, targets=("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2")
    ),
}


class NotANumber(Misconfigured):
    """The loss became NaN or infinite."""


class AnswerTrainer(Trainer):
    """Trainer whose loss needs logits of answer positions only."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        """Mean cross-entropy over answer tokens of the batch.

        Raises:
            NotANumber: the loss is not finite.
        """
        labels = inputs.pop("labels")
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        hidden = causal.get_decoder()(**inputs).last_hidden_state[:, :-1]
        wanted = labels[:, 1:] != IGNORED
        logits = causal.get_output_embeddings()(hidden[wanted])
        loss = F.cross_entropy(logits.float(), labels[:, 1:][wanted])
        if not torch.isfinite(loss):
            raise NotANumber(
                "the loss is not finite; lower the learning rate (--rate) and look at the labels"
            )
        return (loss, {"loss": loss}) if return_outputs else loss


class Says(TrainerCallback):
    """Passes loss and time left on as lines of text."""

    def __init__(self, say: Any) -> None:
        self._say = say

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Called by Trainer with the latest numbers."""
        shown = {
            k: f"{v:.4g}"
            for k, v in (logs or {}).items()
            if k in {"loss", "eval_loss", "learning_rate", "epoch"}
        }
        if shown:
            self._say(
                f"step {state.global_step}/{state.max_steps} "
                + " ".join(f"{k} {v}" for k, v in shown.items())
            )


def encode(tokenizer: Any, example: Example, max_tokens: int) -> dict[str, list[int]]:
    """Token ids and labels; the prompt is ignored by the loss.

    An over-long one loses the start of its prompt.
    """
    prompt = tokenizer(example.prompt, add_special_tokens=False)["input_ids"]
    answer = [
        *tokenizer(example.answer, add_special_tokens=False)["input_ids"],
        tokenizer.eos_token_id,
    ]
    prompt = prompt[-max(1, max_tokens - len(answer)) :]
    return {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}


def collate(rows: Sequence[dict[str, list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded int64 tensors [rows, longest]; padding is masked in attention and loss."""
    width = max(len(r["input_ids"]) for r in rows)
    spare = [width - len(r["input_ids"]) for r in rows]
    return {
        "input_ids": torch.tensor(
            [r["input_ids"] + [pad] * s for r, s in zip(rows, spare, strict=True)]
        ),
        "attention_mask": torch.tensor(
            [[1] * len(r["input_ids"]) + [0] * s for r, s in zip(rows, spare, strict=True)]
        ),
        "labels": torch.tensor(
            [r["labels"] + [IGNORED] * s for r, s in zip(rows, spare, strict=True)]
        ),
    }


def finetune(
    model: Any,
    tokenizer: Any,
    train: Sequence[Example],
    dev: Sequence[Example],
    out: Path,
    recipe: Recipe,
    *,
    start: Path | None = None,
    say: Any = print,
) -> dict[str, float]:
    """Train an adapter and write it to `out`/adapter; continues from the last checkpoint in `out` if there is one.

    Args:
        model: the base, in bf16, fp32 or nf4 (QLoRA); it is changed. An nf4 one that has answered
            already does not learn: load it anew.
        tokenizer: its tokenizer, padding token set.
        train: examples to learn.
        dev: examples whose loss chooses the best epoch.
        out: folder for checkpoints and the adapter.
        recipe: how.
        start: an adapter to go on from, instead of a new one.
        say: called with one line of progress at a time.

    Returns:
        {"eval_loss": of the best epoch, "steps": ..., "examples": ...}.

    Raises:
        Spent: nothing to train on.
        NotANumber: the loss diverged.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    if not train or not dev:
        raise Spent(
            f"{len(train)} training and {len(dev)} dev examples: too few to train; label more reviews"
        )
    torch.manual_seed(recipe.seed)
    targets = recipe.targets if isinstance(recipe.targets, str) else list(recipe.targets)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    wrapped = (
        PeftModel.from_pretrained(model, str(start), is_trainable=True)
        if start
        else get_peft_model(model, config)
    )
    rows = {
        name: [encode(tokenizer, e, recipe.max_tokens) for e in part]
        for name, part in (("train", train), ("dev", dev))
    }
    steps = math.ceil(math.ceil(len(train) / recipe.batch) * recipe.epochs)
    cuda = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(out / "checkpoints"),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        learning_rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=int(recipe.warmup * steps),
        optim="adamw_torch_fused",
        bf16=True,
        use_cpu=not cuda,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=10,
        report_to=[],
        seed=recipe.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=cuda,
        train_sampling_strategy="group_by_length",
        label_names=["labels"],
        disable_tqdm=True,
    )
    trainer = AnswerTrainer(
        wrapped,
        arguments,
        train_dataset=rows["train"],
        eval_dataset=rows["dev"],
        callbacks=[Says(say)],
        data_collator=lambda batch: collate(batch, tokenizer.pad_token_id),
    )
    trainer.remove_callback(PrinterCallback)
    seen = list((out / "checkpoints").glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=bool(seen))
    for parameter in wrapped.parameters():  # the adapter's alone: an nf4 base cannot be cast
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    wrapped.save_pretrained(str(out / "adapter"))
    facts = {
        "eval_loss": float(trainer.state.best_metric or 0),
        "steps": float(trainer.state.global_step),
        "examples": float(len(train)),
    }
    (out / "finetune.json").write_text(json.dumps({"recipe": asdict(recipe), **facts}, indent=1))
    return facts
