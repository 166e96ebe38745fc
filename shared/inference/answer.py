"""Answers of an adapter, or of the bare base, to a task: what evaluation and `beyond write` share with the workers.

What is measured is what is served: same prompts, same grammar, same engines. It does not know
storage or queues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from shared.inference.causal import load_base, load_merged
from shared.inference.generate import Generator
from shared.inference.matcher_folder import CONFIG, load_matcher
from shared.inference.prompts import TASKS, build, fence, shorten, target
from shared.review import Review
from shared.settings import Settings

# (reviews, the present emotions of each, most probable first) -> one raw answer per review, same
# order
Answer = Callable[[Sequence[Review], Sequence[Sequence[str]]], list[str]]


def answer(
    generator: Generator, task: str, reviews: Sequence[Review], emotions: Sequence[Sequence[str]]
) -> list[str]:
    """One raw answer of a language model per review, same order; `issues` obeys the grammar.

    Args:
        generator: the model that answers.
        task: a name in TASKS.
        reviews: what to answer.
        emotions: the present emotions of each review, most probable first.
    """
    asked = TASKS[task]
    rests = [
        build(asked, review, present)[1] for review, present in zip(reviews, emotions, strict=True)
    ]
    fenced = [fence(shorten(r.text)) for r in reviews] if task == "issues" else None
    return generator.run(
        asked.instruction, rests, max_new_tokens=asked.max_new_tokens, fenced=fenced
    )


# A gate compares what readers find, not how sure each says it is: confidences of two trainings have
# no common scale. From this one on nearly all that a reader finds is said.
EVALUATED_FROM = 0.2


def answerer(
    adapter: Path | None,
    task: str,
    settings: Settings,
    *,
    show: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Answer:
    """The function that answers a task: a matcher or a language model, whichever the adapter's folder holds.

    Args:
        adapter: a checked adapter folder; None for the bare base model.
        task: a name in TASKS.
        settings: base model, device, batch.
        show: a matcher's issues are said from this confidence on; None: what is served.
        tick: called after each pass of a language model.

    Raises:
        ModelUnavailable: weights are missing or unreadable.
    """
    if adapter is not None and (adapter / CONFIG).exists():
        from_confidence = settings.confidence if show is None else show
        matcher = load_matcher(adapter, threads=settings.threads, show=from_confidence)
        return lambda reviews, _: [target(issues).strip() for issues in matcher.issues(reviews)]
    base, tokenizer = load_base(settings)
    model = base if adapter is None else load_merged(settings, adapter)
    generator = Generator(model, tokenizer, most_rows=settings.generate_batch, tick=tick)
    return lambda reviews, emotions: answer(generator, task, reviews, emotions)
