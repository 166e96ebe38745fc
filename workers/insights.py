"""InsightWriter: reviews and their emotions in, an Insight or the reason for none out.

`MatchedWriter` extracts and matches (laptop preset); `TransformersWriter` runs a local causal model
with a LoRA adapter (gpu preset); served.py has the one that asks an OpenAI-compatible server. All
pass through the guard. It does not know queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import ValidationError

from shared.inference.answer import answer
from shared.inference.causal import precision
from shared.inference.prompts import TASKS, Unparsable, parse_issues
from shared.review import Emotions, Insight, Review
from workers import guard
from workers.hotswap import Serving

Item = tuple[Review, Emotions]
_TASK = TASKS["issues"]


class InsightWriter(Protocol):
    """Anything that writes insights.

    The pipeline makes one writer a process and calls it from one thread, once a batch.
    """

    # Written into each Analysis (`models`): changes when what is written may change.
    name: str

    def refresh(self) -> None:
        """Called before each batch, with no review in hand: the moment for another adapter.

        It may block while weights arrive and load. It raises nothing that is a review's fault:
        TemporaryFailure makes the worker give its batch back and rest; anything else ends it.
        """
        ...

    def write(self, items: Sequence[Item]) -> list[Insight | str]:
        """Write for reviews that need an insight, with the emotions found in them.

        May take as long as models need, and ticks the watchdog after each model call where it runs
        one. What it says of a review must not depend on the others of the batch.

        Returns:
            Per item, in the same order, an Insight or the reason why there is none (one clause,
            shown to people). Evidence is verbatim; an empty list for an empty one.

        Raises:
            TemporaryFailure: the surroundings failed. The worker gives the whole batch back, at no
                cost in retries, and rests.
            Exception: anything else is some review's fault. The pipeline asks again for the halves
                of the batch, down to the review that fails alone, which costs it a retry.
        """
        ...


def finished(answer: str, item: Item, adapter: str) -> Insight | str:
    """Parse and guard one answer of a language model: an Insight, or why it is none."""
    review, emotions = item
    try:
        issues = parse_issues(answer, review.text)
    except Unparsable as error:
        return f"unparsable: {error}"
    except ValidationError:  # without a grammar a "quote" may be longer than an issue can hold
        return "unparsable: a line is too long"
    return guard.insight(issues, review, emotions, adapter, _TASK.version, free_text=True)


class MatchedWriter:
    """Quotes, themes and written actions by shared/inference/matcher.py.

    Cost: one encoder pass over the batch, no decoding.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self.name = f"{serving.base_name}-matcher"

    def refresh(self) -> None:
        """Another adapter, if one is wanted."""
        self._serving.refresh()

    def write(self, items: Sequence[Item]) -> list[Insight | str]:
        """One Insight per item; it always finds an answer, which may be that there is no issue."""
        found = self._serving.engine.read([review for review, _ in items])
        return [
            guard.insight(
                shown, review, emotions, self._serving.adapter, _TASK.version, unsure=unsure
            )
            for (shown, unsure), (review, emotions) in zip(found, items, strict=True)
        ]


class TransformersWriter:
    """Writes with the model that `serving` holds."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self.name = serving.base_name
        self.precision = precision(serving.engine.model)

    def refresh(self) -> None:
        """Another adapter, if one is wanted."""
        self._serving.refresh()

    def write(self, items: Sequence[Item]) -> list[Insight | str]:
        """One Insight or reason per item.

        Cost: see shared/inference/generate.py; grammar makes a second try needless.
        """
        reviews, present = (
            [review for review, _ in items],
            [emotions.present for _, emotions in items],
        )
        answers = answer(self._serving.engine, _TASK.name, reviews, present)
        return [
            finished(a, item, self._serving.adapter) for a, item in zip(answers, items, strict=True)
        ]
