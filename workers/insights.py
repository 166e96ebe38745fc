"""InsightWriter: reviews and their emotions in, an Insight or the reason for none out.

`MatchedWriter` extracts and matches (laptop preset); `TransformersWriter` runs a local causal model
with a LoRA adapter (gpu preset); `OpenAIWriter` asks any OpenAI-compatible server. The latter two
build prompts and parse answers by shared/inference/prompts.py; all pass through the guard. It does
not know queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import httpx

from shared.errors import TemporaryFailure
from shared.inference.answer import answer
from shared.inference.prompts import TASKS, Unparsable, build, parse_issues
from shared.review import Emotions, Insight, Review
from shared.settings import Settings
from workers import guard
from workers.hotswap import Serving

Item = tuple[Review, Emotions]
_TASK = TASKS["issues"]
# Bad request, too large, unprocessable: this prompt will never pass, whoever sends it. All else
# (refused connections, 401, 429, 5xx) is the server's state, and no review's fault.
_THE_REVIEWS_OWN_FAULT = frozenset({400, 413, 422})


class Refused(Exception):
    """The server will not answer for this review; others are not concerned."""


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


def _finish(answer: str, item: Item, adapter: str) -> Insight | str:
    """Parse and guard one answer."""
    review, emotions = item
    try:
        issues = parse_issues(answer, review.text)
    except Unparsable as error:
        return f"unparsable: {error}"
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
            _finish(a, item, self._serving.adapter) for a, item in zip(answers, items, strict=True)
        ]


class OpenAIWriter:
    """Asks an OpenAI-compatible server (vLLM, llama-server, Ollama), several requests at a time, one retry each."""

    def __init__(self, settings: Settings, client: httpx.Client | None = None) -> None:
        key = settings.openai_key.get_secret_value() if settings.openai_key else "none"
        self._client = client or httpx.Client(timeout=120)
        self._url = f"{(settings.openai_url or '').rstrip('/')}/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}"}
        self.name = settings.openai_model
        self._rows = settings.generate_batch

    def refresh(self) -> None:
        """Nothing: the server chooses its model."""

    def write(self, items: Sequence[Item]) -> list[Insight | str]:
        """One Insight or reason per item.

        Raises:
            TemporaryFailure: the server does not answer as it should.
        """
        with ThreadPoolExecutor(max_workers=max(1, self._rows)) as pool:
            return list(pool.map(self._one, items))

    def _one(self, item: Item) -> Insight | str:
        out: Insight | str = "unparsable"
        for temperature in (0.0, 0.5):  # the same greedy answer twice would be unparsable twice
            out = _finish(self._ask(item, temperature), item, self.name)
            if isinstance(out, Insight):
                break
        return out

    def _ask(self, item: Item, temperature: float) -> str:
        instruction, rest = build(_TASK, item[0], item[1].present)
        body = {
            "model": self.name,
            "max_tokens": _TASK.max_new_tokens,
            "temperature": temperature,
            "messages": [{"role": "user", "content": instruction + rest}],
        }
        try:
            answer = self._client.post(self._url, json=body, headers=self._headers)
            answer.raise_for_status()
            return str(answer.json()["choices"][0]["message"]["content"])
        except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            if status in _THE_REVIEWS_OWN_FAULT:
                raise Refused(f"the insight server refused this review: HTTP {status}") from error
            raise TemporaryFailure(
                f"the insight server at {self._url} failed: {type(error).__name__}: {error}"
            ) from error
