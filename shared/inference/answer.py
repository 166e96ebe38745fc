"""Answers of an adapter, or of the bare base, to a task: what evaluation and `beyond write` share with the workers.

What is measured is what is served: same prompts, same grammar, same engines. It does not know
storage or queues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from shared.errors import ModelUnavailable
from shared.inference.causal import load_with
from shared.inference.generate import Generator
from shared.inference.matcher_folder import CONFIG, load_matcher
from shared.inference.parts import merged, parts_of
from shared.inference.prompts import SEEN_CHARS, TASKS, Task, build, fence, shorten, target
from shared.review import Review
from shared.settings import Settings

# Tokens that a part of a review must be allowed to have at least.
_LEAST_ROOM = 64
# (reviews, the present emotions of each, most probable first) -> one raw answer per review, same
# order
Answer = Callable[[Sequence[Review], Sequence[Sequence[str]]], list[str]]


def answer(
    generator: Generator, task: str, reviews: Sequence[Review], emotions: Sequence[Sequence[str]]
) -> list[str]:
    """One raw answer of a language model per review, same order; `issues` obeys the grammar.

    A review that the model's context does not hold, or that is longer than what models learned
    from, is read in parts for `issues` (cost: one row a part); free text is written about its head
    and tail.

    Args:
        generator: the model that answers.
        task: a name in TASKS.
        reviews: what to answer.
        emotions: the present emotions of each review, most probable first.

    Raises:
        ModelUnavailable: the model's context holds no review at all.
    """
    asked = TASKS[task]
    cut = [
        _parts(generator, asked, review, present)
        for review, present in zip(reviews, emotions, strict=True)
    ]
    owners = [i for i, parts in enumerate(cut) for _ in parts]
    texts = [part for parts in cut for part in parts]
    rests = [
        build(asked, reviews[i].model_copy(update={"text": text}), emotions[i])[1]
        for i, text in zip(owners, texts, strict=True)
    ]
    fenced = [fence(text) for text in texts] if task == "issues" else None
    said = iter(
        generator.run(asked.instruction, rests, max_new_tokens=asked.max_new_tokens, fenced=fenced)
    )
    out = []
    for parts in cut:
        answers = [next(said) for _ in parts]
        out.append(answers[0] if len(parts) == 1 else merged(answers, parts))
    return out


def _parts(generator: Generator, task: Task, review: Review, present: Sequence[str]) -> list[str]:
    """What the model reads of a review: as many texts as the model's context needs."""
    around = "".join(build(task, review.model_copy(update={"text": "."}), present))
    room = generator.context - task.max_new_tokens - generator.count([around])[0]
    if room < _LEAST_ROOM:
        raise ModelUnavailable(
            f"the insight model's context of {generator.context} tokens leaves {max(0, room)} for a "
            "review; BEYOND_INSIGHT_MODEL needs one with more"
        )
    text = review.text
    if len(text) <= SEEN_CHARS and len(text.encode()) <= room:  # no token is shorter than a byte
        return [text]

    def count(texts: Sequence[str]) -> list[int]:
        return generator.count([fence(one) for one in texts])

    if task.name == "issues":
        return parts_of(text, count, room)
    shown = SEEN_CHARS
    while count([shorten(text, shown)])[0] > room:
        shown = shown * 3 // 4
    return [shorten(text, shown)]


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
    generator = Generator(
        *load_with(settings, adapter), most_rows=settings.generate_batch, tick=tick
    )
    return lambda reviews, emotions: answer(generator, task, reviews, emotions)
