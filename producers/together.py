"""One thread that asks the server for many at once: all that wait while a call is under way go into the next.

The event loop never waits for the server, a question alone is asked at once, and under load one
round trip serves many. It does not know what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from shared.errors import BeyondError
from shared.telemetry import log

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """Answers questions many at a time, each with its own answer or error.

    Args:
        name: of the thread.
        call: the answers to some questions, same order; an error as an answer is raised to its
            asker alone, one that is raised to all of them.
        most: questions in one call.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[Sequence[Question]], Sequence[Answer | BeyondError]],
        most: int,
    ) -> None:
        self._name, self._call, self._most = name, call, most
        self._queue: SimpleQueue[tuple[Question, Future[Answer]] | None] = SimpleQueue()
        self.waiting = 0
        Thread(target=self._run, name=name, daemon=True).start()

    async def ask(self, question: Question, patience_seconds: float) -> Answer:
        """The answer to it.

        Raises:
            TimeoutError: it did not come in time; a question that was not yet sent will not be.
            Exception: what `call` answered or raised.
        """
        done: Future[Answer] = Future()
        self.waiting += 1
        self._queue.put((question, done))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(done), patience_seconds)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """End the thread once all that waits is answered."""
        self._queue.put(None)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first, *self._more()]
            group = [one for one in group if one[1].set_running_or_notify_cancel()]
            if group:
                self._answer(group)

    def _more(self) -> list[tuple[Question, Future[Answer]]]:
        found: list[tuple[Question, Future[Answer]]] = []
        try:
            while len(found) < self._most - 1:
                one = self._queue.get_nowait()
                if one is None:
                    self._queue.put(None)  # for the loop, after this group
                    break
                found.append(one)
        except Empty:
            pass
        return found

    def _answer(self, group: Sequence[tuple[Question, Future[Answer]]]) -> None:
        try:
            answers = self._call([question for question, _ in group])
        except Exception as error:  # the thread must live on, and each asker hear
            if not isinstance(error, BeyondError):
                log(self._name).error("unexpected", exc_info=error)
            answers = [error] * len(group)  # type: ignore[list-item]
        for (_, done), answer in zip(group, answers, strict=True):
            if isinstance(answer, Exception):
                done.set_exception(answer)
            else:
                done.set_result(answer)
