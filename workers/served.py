"""ServedWriter: insights by a model behind an OpenAI-compatible server, as many at once as it is allowed.

Each review is one request of its own, so one that fails harms no other and none waits for another.
It takes up promoted adapters where the server can load them (students.py: ServedStudent). It does
not know queues.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from shared.inference.prompts import TASKS, build, fence, shorten
from shared.inference.served import NoSuchModel, ServedModel
from shared.review import Insight
from shared.settings import Settings
from workers.hotswap import NONE, Serving
from workers.insights import Item, finished

_TASK = TASKS["issues"]
# A wait is cut into these, to see whether the server gave a sign of life.
_LOOK_SECONDS = 0.2


class ServedWriter:
    """Asks the server for each review.

    Args:
        settings: `openai_*`; `generate_batch` requests are in flight at most.
        serving: looks for promoted adapters; None: the server's model as it is.
        tick: called after each answer, from the thread that waits.
        model: the server.
    """

    def __init__(
        self,
        settings: Settings,
        serving: Serving | None = None,
        tick: Callable[[], None] = lambda: None,
        model: ServedModel | None = None,
    ) -> None:
        self._model, self._serving, self.tick = model or ServedModel(settings), serving, tick
        self.name = settings.openai_model
        self.room = max(1, settings.generate_batch)
        self._pool = ThreadPoolExecutor(self.room, thread_name_prefix="served")
        self._lock, self._flying = threading.Lock(), Counter[str]()
        self._old: list[str] = []
        self._lost, self._signs = False, 0

    @property
    def grammar(self) -> str:
        """How grammars are sent to this server."""
        return self._model.dialect

    def refresh(self) -> None:
        """Another adapter, if one is wanted and the server loads it; requests in flight keep theirs.

        Raises:
            TemporaryFailure: the server is away.
        """
        self._model.learn_grammar()
        if self._serving is None:
            return
        if self._lost:  # restarted, or another worker took it out
            self._lost = False
            self._serving.forget()
        before = self._serving.adapter
        self._serving.refresh()
        if before not in (NONE, self._serving.adapter):
            self._old.append(before)
        # The one before stays for a rollback, and for workers that see the promotion later.
        while len(self._old) > 1 and not self._flying[self._old[0]]:
            name = self._old.pop(0)
            if name not in (self._serving.adapter, *self._old):
                self._model.post("unload_lora_adapter", {"lora_name": name})

    def submit(self, item: Item) -> Future[Insight | str]:
        """Ask for one review. The future raises what concerns it alone, or TemporaryFailure."""
        adapter = NONE if self._serving is None else self._serving.adapter
        return self._pool.submit(self._one, item, adapter)

    def progressed(self) -> bool:
        """Whether the server gave a sign of life since the last call."""
        before, self._signs = self._signs, self._model.signs_of_life
        return self._signs != before

    def write(self, items: Sequence[Item]) -> list[Insight | str]:
        """One Insight or reason per item, in order.

        Raises:
            TemporaryFailure: the server does not answer as it should.
            Refused: it will not answer for one of these reviews.
        """
        self._model.learn_grammar()
        futures = [self.submit(item) for item in items]
        left: set[Future[Any]] = set(futures)
        while left:
            _, left = wait(left, _LOOK_SECONDS, FIRST_COMPLETED)
            if self.progressed():
                self.tick()
        return [future.result() for future in futures]

    def _one(self, item: Item, adapter: str) -> Insight | str:
        name = self._model.model if adapter == NONE else adapter
        with self._lock:
            self._flying[adapter] += 1
        try:
            return self._asked(item, name)
        except NoSuchModel:
            self._lost = True
            raise
        finally:
            with self._lock:
                self._flying[adapter] -= 1

    def _asked(self, item: Item, name: str) -> Insight | str:
        review, emotions = item
        instruction, rest = build(_TASK, review, emotions.present)
        out: Insight | str = "unparsable"
        for temperature in (0.0, 0.5):  # the same greedy answer twice would be unparsable twice
            said = self._model.ask(
                instruction + rest,
                model=name,
                most_tokens=_TASK.max_new_tokens,
                temperature=temperature,
                fenced=fence(shorten(review.text)),
            )
            out = finished(said, item, name)
            if isinstance(out, Insight):
                break
        return out
