"""Answers of a generator to a task, for reviews and their emotions: what workers, evaluation and `beyond write` share.

What is measured is what is served: same prompts, same grammar, same engine. It does not know adapters or storage.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.generate import Generator
from shared.prompts import TASKS, build, fence, shorten
from shared.review import Review


def answer(generator: Generator, task: str, reviews: Sequence[Review], emotions: Sequence[Sequence[str]]) -> list[str]:
    """One raw answer per review, same order; `issues` obeys the grammar.

    Args:
        generator: the model that answers.
        task: a name in TASKS.
        reviews: what to answer.
        emotions: the present emotions of each review, most probable first.
    """
    asked = TASKS[task]
    rests = [build(asked, review, present)[1] for review, present in zip(reviews, emotions, strict=True)]
    fenced = [fence(shorten(r.text)) for r in reviews] if task == "issues" else None
    return generator.run(asked.instruction, rests, max_new_tokens=asked.max_new_tokens, fenced=fenced)
