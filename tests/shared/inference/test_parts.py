"""Reviews that are longer than a model's context."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from shared.errors import ModelUnavailable
from shared.inference.answer import answer
from shared.inference.generate import Generator
from shared.inference.parts import merged, parts_of
from shared.inference.prompts import parse_issues, target
from shared.review import Issue
from tests import tiny
from tests.conftest import make_review

SENTENCES = ["房间很脏，服务员态度很差。", "早餐不好吃！", "等了两个小时才有人来。", "价格太贵了？"]
CHINESE = "".join(random.Random(1).choices(SENTENCES, k=400))[:2400]


def words(texts):  # type: ignore[no-untyped-def]
    return [len(text.split()) for text in texts]


def issue(text: str, quote: str, theme: str = "quality", problem: str = "It was bad.") -> Issue:
    start = text.index(quote)
    end = start + len(quote)
    return Issue(theme=theme, problem=problem, evidence=quote, start=start, end=end, action="Mend.")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small(tmp_path_factory):  # type: ignore[no-untyped-def]
    """phi with a context of 640 tokens; SmolLM2's tokenizer takes two tokens for a Chinese character."""
    folder = tiny.causal(tmp_path_factory.mktemp("m") / "phi", "phi", context=640)
    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_the_whole_text_and_each_fits(seed):
    chance = random.Random(seed)
    text = "".join(
        chance.choices(["word ", "stop. ", "line\n", "x" * 30, "! ", "。"], k=300)
    ).strip()
    parts = parts_of(text, words, 12)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part in text and len(part.split()) <= 12 for part in parts)


def test_parts_end_with_sentences_where_those_are_short_enough():
    text = "One two three. Four five! Six seven eight? Nine"
    assert parts_of(text, words, 5) == ["One two three. Four five!", "Six seven eight? Nine"]
    assert parts_of(text, words, 100) == [text]
    assert parts_of("x" * 3000, words, 100) == ["x" * 1500] * 2


def test_a_review_of_2400_chinese_characters_is_read_to_its_end(small):
    seen: list[int] = []

    def look(_module, _args, given):  # type: ignore[no-untyped-def]
        seen.append(int(given["position_ids"].max()) if "position_ids" in given else 0)

    read: list[str] = []
    generator = Generator(small, tiny.tokenizer())
    run = generator.run

    def kept(*given, **named):  # type: ignore[no-untyped-def]
        read.extend(named["fenced"])
        return run(*given, **named)

    generator.run = kept  # type: ignore[method-assign]
    hook = small.register_forward_pre_hook(look, with_kwargs=True)
    try:
        said = answer(generator, "issues", [make_review(1, CHINESE)], [("anger",)])
    finally:
        hook.remove()
    assert len(read) > 5 and "".join(read) == CHINESE
    assert max(seen) < 640, "the model was never asked for a position that it has not learned"
    for found in parse_issues(said[0], CHINESE):
        assert CHINESE[found.start : found.end] == found.evidence


def test_long_and_short_reviews_of_a_batch_keep_their_answers(small):
    generator = Generator(small, tiny.tokenizer())
    reviews = [
        make_review(i, text)
        for i, text in enumerate(["Cold soup, rude staff.", CHINESE[:900], "no"])
    ]
    feels = [("anger",)] * 3
    together = answer(generator, "issues", reviews, feels)
    assert together == [answer(generator, "issues", [one], [("anger",)])[0] for one in reviews]


def test_free_text_is_written_about_head_and_tail(small):
    generator = Generator(small, tiny.tokenizer())
    assert answer(generator, "reply", [make_review(1, CHINESE)], [()])[0]


def test_a_context_that_holds_no_review_is_refused(tmp_path):
    folder = tiny.causal(tmp_path / "phi", "phi", context=300)
    model = AutoModelForCausalLM.from_pretrained(str(folder)).eval()
    with pytest.raises(ModelUnavailable, match="context of 300 tokens"):
        answer(Generator(model, tiny.tokenizer()), "issues", [make_review(1, "Cold.")], [()])


def test_what_two_parts_say_alike_is_said_once_and_new_themes_go_first():
    text = "The soup was cold. The room was loud. The staff were rude. The bill was wrong."
    parts = ["The soup was cold. The room was loud.", "The staff were rude. The bill was wrong."]
    soup, room = (
        issue(parts[0], "The soup was cold", problem="Cold."),
        issue(parts[0], "The room was loud", problem="Loud."),
    )
    staff, bill = (
        issue(parts[1], "The staff were rude", "staff"),
        issue(parts[1], "The bill was wrong", "billing"),
    )
    answers = [target([soup, room]).strip(), target([staff, bill]).strip()]
    found = parse_issues(merged(answers, parts), text)
    assert [one.evidence for one in found] == [soup.evidence, staff.evidence, bill.evidence]
    assert all(text[one.start : one.end] == one.evidence for one in found)
    assert merged(["none", "none"], parts) == "none"
    assert merged([answers[0], answers[0]], [parts[0], parts[0]]) == answers[0]
    assert merged(["what?", "none"], parts) == "none"
    assert merged(["what?", "why?"], parts) == "what?", "unparsable stays so, with its reason"
