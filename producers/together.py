"""One thread that asks the server for many at once: all that wait while a call is under way go into the next.

The event loop never waits for the server, a question alone is asked at once, and under load one
round trip serves many. It does not know what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
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
        pace_seconds: calls begin at least so far apart; the first after a rest waits for nothing.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[Sequence[Question]], Sequence[Answer | BeyondError]],
        most: int,
        pace_seconds: float,
    ) -> None:
        self._name, self._call = name, call
        self._most, self._pace_seconds = most, pace_seconds
        self._queue: SimpleQueue[tuple[Question, asyncio.Future[Answer]] | None] = SimpleQueue()
        Thread(target=self._run, name=name, daemon=True).start()

    async def ask(self, question: Question, patience_seconds: float) -> Answer:
        """The answer to it.

        Raises:
            TimeoutError: it did not come in time; a question that was not yet sent will not be.
            Exception: what `call` answered or raised.
        """
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.put((question, done))
        async with asyncio.timeout(patience_seconds):
            return await done

    def close(self) -> None:
        """End the thread once all that waits is answered."""
        self._queue.put(None)

    def _run(self) -> None:
        begun = float("-inf")
        while (first := self._queue.get()) is not None:
            time.sleep(max(0.0, begun + self._pace_seconds - time.monotonic()))
            begun = time.monotonic()
            group = [one for one in (first, *self._more()) if not one[1].cancelled()]
            if group:
                self._answer(group)

    def _more(self) -> list[tuple[Question, asyncio.Future[Answer]]]:
        found: list[tuple[Question, asyncio.Future[Answer]]] = []
        with contextlib.suppress(Empty):
            while len(found) < self._most - 1:
                one = self._queue.get_nowait()
                if one is None:
                    self._queue.put(None)  # for the loop, after this group
                    break
                found.append(one)
        return found

    def _answer(self, group: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = self._call([question for question, _ in group])
        except Exception as error:  # the thread must live on, and each asker hear
            if not isinstance(error, BeyondError):
                log(self._name).error("unexpected", exc_info=error)
            answers = [error] * len(group)
        of_loop = defaultdict(list)
        for (_, done), answer in zip(group, answers, strict=True):
            of_loop[done.get_loop()].append((done, answer))
        for loop, pairs in of_loop.items():
            with contextlib.suppress(RuntimeError):  # a loop that ended: nobody waits there
                loop.call_soon_threadsafe(_tell, pairs)


def _tell(pairs: Sequence[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    for done, answer in pairs:
        if done.done():  # its asker gave up
            continue
        if isinstance(answer, Exception):
            done.set_exception(answer)
        else:
            done.set_result(answer)
