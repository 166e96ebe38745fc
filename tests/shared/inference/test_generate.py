from __future__ import annotations

import weakref

import pytest
import torch
from transformers import AutoModelForCausalLM

from shared.inference.generate import Generator
from shared.inference.prompts import TASKS, build, fence, parse_issues
from tests import tiny
from tests.conftest import make_review

TEXTS = [
    "The soup was cold.",
    "We waited 45 minutes and nobody came. " * 6,
    "no",
    "Überraschung 😡! Nie wieder.",
]


@pytest.fixture(scope="module", params=["llama", "phi"])
def model(request, tmp_path_factory):  # type: ignore[no-untyped-def]
    folder = tiny.causal(tmp_path_factory.mktemp("m") / request.param, request.param)
    return AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float32
    ).eval(), tiny.tokenizer()


def prompts():  # type: ignore[no-untyped-def]
    return [build(TASKS["issues"], make_review(i, t))[1] for i, t in enumerate(TEXTS)]


def test_batched_with_a_shared_prefix_equals_one_by_one_without(model):
    """In fp32; bf16 rounds differently with the batch's shape."""
    causal, words = model
    instruction = TASKS["issues"].instruction
    together = Generator(causal, words).run(instruction, prompts(), max_new_tokens=12)
    for prompt, answer in zip(prompts(), together, strict=True):
        ids = words(instruction + prompt, return_tensors="pt", add_special_tokens=False)
        alone = causal.generate(**ids, max_new_tokens=12, do_sample=False)
        assert (
            words.decode(alone[0][ids["input_ids"].shape[1] :], skip_special_tokens=True) == answer
        )


def test_an_untrained_model_still_parses_under_the_grammar(model):
    answers = Generator(*model).run(
        TASKS["issues"].instruction, prompts(), max_new_tokens=400, fenced=[fence(t) for t in TEXTS]
    )
    for text, answer in zip(TEXTS, answers, strict=True):
        parse_issues(answer, text)


def test_an_answer_that_the_limit_cuts_keeps_its_whole_issues(model):
    text = TEXTS[1]
    prompt, fenced = build(TASKS["issues"], make_review(1, text))[1], [fence(text)]
    whole = Generator(*model).run("", [prompt], max_new_tokens=1000, fenced=fenced)[0]
    first = parse_issues(whole, text)[:1]
    length = len(model[1](whole, add_special_tokens=False)["input_ids"])
    for limit in range(1, length, 20):
        cut = Generator(*model).run("", [prompt], max_new_tokens=limit, fenced=fenced)[0]
        assert whole.startswith(cut)
        assert not cut or parse_issues(cut, text)[:1] == first


def test_batches_are_cut_and_order_is_kept(model):
    many = prompts() * 3
    small = Generator(*model, most_rows=2).run("", many, max_new_tokens=4)
    assert small == Generator(*model, most_rows=32).run("", many, max_new_tokens=4)


def test_a_tick_comes_after_every_forward_pass(model):
    """Counted at the model: the watchdog must not wait for two passes, nor for the shared prefix."""
    causal, words = model
    events: list[str] = []
    hook = causal.register_forward_hook(lambda *_: events.append("forward"))
    generator = Generator(causal, words, tick=lambda: events.append("tick"))
    try:
        generator.run("Read this.", prompts()[:1], max_new_tokens=5)
    finally:
        hook.remove()
    assert events == ["forward", "tick"] * (1 + 5), "one for the prefix, one for each token"


def test_when_memory_is_short_the_failed_batch_is_freed_before_fewer_rows_are_tried(model):
    """A real model whose forward pass needs memory for two rows at most.

    Before, the retry ran inside `except`: the exception's frames kept the failed batch's cache.
    """
    causal, words = model
    expected = Generator(causal, words).run("", prompts(), max_new_tokens=4)
    kept: list[weakref.ref[object]] = []
    rows: list[int] = []

    def short(_module, _args, given):  # type: ignore[no-untyped-def]
        tried = len(given["input_ids"])
        if tried > 2:
            kept.append(weakref.ref(given["past_key_values"]))
            raise torch.OutOfMemoryError("no memory for so many rows")
        assert all(cache() is None for cache in kept), "the failed batch's cache is still there"
        rows.append(tried)

    hook = causal.register_forward_pre_hook(short, with_kwargs=True)
    generator = Generator(causal, words)
    try:
        assert generator.run("", prompts(), max_new_tokens=4) == expected
        assert len(kept) == 1 and max(rows) == 2
        generator.run("", prompts(), max_new_tokens=4)
        assert len(kept) == 1, "the size that fits is remembered"
    finally:
        hook.remove()


def test_one_row_that_does_not_fit_says_so(model):
    causal, words = model

    def never(*_):  # type: ignore[no-untyped-def]
        raise torch.OutOfMemoryError("none")

    hook = causal.register_forward_pre_hook(never)
    try:
        with pytest.raises(torch.OutOfMemoryError, match="not even one row"):
            Generator(causal, words).run("", prompts()[:2], max_new_tokens=4)
    finally:
        hook.remove()
