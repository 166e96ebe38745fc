"""LoRA on tiny models of the real architectures."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from shared.errors import Misconfigured
from tests import tiny
from tests.conftest import ROOT
from trainer.cycle import chosen_recipe
from trainer.examples import examples, read_labels
from trainer.finetune import (
    IGNORED,
    RECIPES,
    AnswerTrainer,
    NotANumber,
    Recipe,
    collate,
    encode,
    finetune,
)

LABELS = read_labels(ROOT / "trainer" / "data" / "gold.jsonl")[:24]


def parts():  # type: ignore[no-untyped-def]
    found = list(examples(LABELS, ["issues", "reply"]))
    return found[:16], found[16:20]


def base(folder, kind="llama"):  # type: ignore[no-untyped-def]
    return AutoModelForCausalLM.from_pretrained(str(tiny.causal(folder, kind)), dtype=torch.float32)


def test_only_the_answer_is_learned_and_it_ends():
    example, words = parts()[0][0], tiny.tokenizer()
    row = encode(words, example, 1024)
    learned = [t for t in row["labels"] if t != IGNORED]
    assert words.decode(learned[:-1]) == example.answer and learned[-1] == words.eos_token_id
    assert example.prompt not in words.decode(learned)


def test_the_loss_equals_plain_cross_entropy_over_the_answers(tmp_path):
    """Logits on answer positions only are a saving, not another loss; padding counts for
    nothing."""
    model, words = base(tmp_path / "b").eval(), tiny.tokenizer()
    rows = [encode(words, e, 1024) for e in parts()[0][:3]]
    batch = collate(rows, words.pad_token_id or 0)
    with torch.no_grad():
        plain = model(**batch).loss
        ours = AnswerTrainer.compute_loss(None, model, dict(batch))  # type: ignore[arg-type]
    assert ours == pytest.approx(float(plain), rel=1e-4)


@pytest.mark.parametrize(
    "kind, recipe", [("llama", "default"), ("phi", "phi-2"), ("phi", "original")]
)
def test_every_recipe_trains_an_adapter_on_its_architecture(tmp_path, kind, recipe):
    train, dev = parts()
    chosen = chosen_recipe(recipe, epochs=1, rate=5e-3)
    facts = finetune(
        base(tmp_path / "b", kind),
        tiny.tokenizer(),
        train,
        dev,
        tmp_path / "out",
        chosen,
        say=lambda line: None,
    )
    assert (
        facts["steps"] == 2
        and (tmp_path / "out" / "adapter" / "adapter_model.safetensors").exists()
    )
    kept = json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())
    assert recipe != "original" or set(kept["target_modules"]) == {
        "q_proj",
        "k_proj",
        "v_proj",
        "dense",
    }


def test_training_lowers_the_loss_and_goes_on_from_a_checkpoint(tmp_path):
    train, dev = parts()
    first = finetune(
        base(tmp_path / "b"),
        tiny.tokenizer(),
        train,
        dev,
        tmp_path / "out",
        Recipe(epochs=1, rate=1e-2),
        say=lambda line: None,
    )
    lines: list[str] = []
    again = finetune(
        base(tmp_path / "b"),
        tiny.tokenizer(),
        train,
        dev,
        tmp_path / "out",
        Recipe(epochs=3, rate=1e-2),
        say=lines.append,
    )
    assert again["steps"] == 6 and again["eval_loss"] < first["eval_loss"]
    assert not any(line.startswith(("step 1/", "step 2/")) for line in lines), "it started anew"


def test_a_loss_that_is_not_a_number_stops_with_advice(tmp_path):
    model = base(tmp_path / "b")
    with torch.no_grad():
        next(iter(model.model.layers[0].mlp.parameters())).fill_(float("nan"))
    with pytest.raises(NotANumber, match="--rate"):
        finetune(
            model,
            tiny.tokenizer(),
            *parts(),
            tmp_path / "out",
            Recipe(epochs=1),
            say=lambda line: None,
        )


def test_nothing_to_learn_and_unknown_recipes_are_refused(tmp_path):
    with pytest.raises(Misconfigured, match="too few"):
        finetune(None, None, [], [], tmp_path, Recipe())
    with pytest.raises(Misconfigured, match="default, original, phi-2"):
        chosen_recipe("magic")
    assert RECIPES["original"].rate == 2e-5
