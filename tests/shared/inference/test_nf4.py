"""nf4 on a CPU, with a tiny phi: bitsandbytes runs there, too."""

from __future__ import annotations

import importlib.util

import pytest

from shared.errors import Misconfigured
from shared.inference.answer import answer, answerer
from shared.inference.causal import load_base, load_with, precision
from tests import tiny
from tests.conftest import make_review
from trainer.examples import Example
from trainer.finetune import Recipe, finetune
from workers.students import LoraStudent

REVIEWS = [
    make_review(i, text) for i, text in enumerate(["We waited an hour.", "Cold soup, rude staff."])
]
FEELS = [("anger",)] * 2


@pytest.fixture
def quantised(settings, tmp_path):  # type: ignore[no-untyped-def]
    base = tiny.causal(tmp_path / "phi", "phi", width=64)  # a block of nf4 has 64 weights
    change = {"insight_model": str(base), "nf4": "always", "merge_adapter": True}
    return settings.model_copy(update=change)


def test_a_base_is_loaded_in_4_bits_where_that_is_asked_for_alone(quantised):
    model, _ = load_base(quantised)
    assert precision(model) == "nf4"
    assert type(model.model.layers[0].mlp.fc1).__name__ == "Linear4bit"
    for choice in ("auto", "never"):
        plain, _ = load_base(quantised.model_copy(update={"nf4": choice}))
        assert precision(plain) in ("bfloat16", "float32"), "a CPU's memory is not short"


def test_without_its_package_always_says_what_to_do_and_auto_does_without(quantised, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Misconfigured, match=r"beyond-sentiment\[gpu\].*BEYOND_NF4"):
        load_base(quantised)
    model, _ = load_base(quantised.model_copy(update={"nf4": "auto"}))
    assert precision(model) != "nf4"


def test_what_is_evaluated_is_what_is_served_beside_an_nf4_base_too(quantised, tmp_path):
    folder = tiny.adapter(tmp_path / "adapter", tmp_path / "phi")
    student = LoraStudent(quantised, lambda: None)
    bare_said = answerer(None, "feedback", quantised)(REVIEWS, FEELS)
    served = student.load(folder, "one", student.bare())
    student.probe(served)
    said = answer(served, "feedback", REVIEWS, FEELS)
    assert precision(served.model) == "nf4" and said != bare_said
    assert answerer(folder, "feedback", quantised)(REVIEWS, FEELS) == said
    assert answer(student.bare(), "feedback", REVIEWS, FEELS) == bare_said, "it can be taken out"


def test_an_adapter_is_trained_beside_an_nf4_base_and_changes_what_it_says(quantised, tmp_path):
    """QLoRA (Dettmers et al. 2023), from training to the answers of the loader that evaluation uses."""
    examples = [Example(str(i), "issues", f"Say {i}:", " waiting") for i in range(8)]
    model, words = load_base(quantised)
    frozen = model.model.layers[0].mlp.fc1.weight.clone()
    recipe = Recipe(rank=8, rate=2e-2, epochs=6, batch=4)
    facts = finetune(
        model, words, examples, examples[:2], tmp_path / "run", recipe, say=lambda _: None
    )
    assert facts["eval_loss"] < 10, (
        "untrained: 10.8, and a head of random numbers does not say more"
    )
    assert (model.model.layers[0].mlp.fc1.weight == frozen).all()
    student, words = load_with(quantised, tmp_path / "run" / "adapter")
    ids = words("Say 3:", return_tensors="pt", add_special_tokens=False)
    out = student.generate(**ids, max_new_tokens=1, do_sample=False)
    assert words.decode(out[0, -1:]) == " waiting"
