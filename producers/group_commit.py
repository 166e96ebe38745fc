"""Group commit: all deliveries that wait while a write is under way go to the disk together in the next one.

One thread writes, so the event loop never waits for the server; a delivery alone is written at
once, and under load one script and one fsync serve many. It does not know HTTP or platforms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread

import redis

from shared.errors import BeyondError, Overloaded, TemporaryFailure
from shared.stream.arrivals import Arrival, Arrivals, Arrived
from shared.stream.nudge import Nudge
from shared.telemetry import COMMIT_DELIVERIES, log

# The script blocks the server while it runs, some 0.1 ms a delivery.
MOST_TOGETHER = 64
# Beside `durable_seconds`: what the writer itself may take to say why it failed.
_GRACE_SECONDS = 1.0
_Waiting = tuple[list[Arrival], "Future[list[Arrived]]"]


class GroupCommit:
    """Writes deliveries durably, many at a time, each with its own outcome.

    Args:
        arrivals: what writes them.
        connection: the same server, for the nudge.
        durable_seconds: how long one write may wait for the disk.
        most_waiting: deliveries that may wait before `take` says Overloaded.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        connection: redis.Redis,
        durable_seconds: float,
        most_waiting: int,
    ) -> None:
        self._arrivals, self._durable_seconds = arrivals, durable_seconds
        self._most_waiting, self._waiting = most_waiting, 0
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._nudge = Nudge(connection)
        Thread(target=self._run, name="group-commit", daemon=True).start()

    async def take(self, arrivals: list[Arrival]) -> list[Arrived]:
        """What became of each, same order, once all are on the server's disk; see Arrivals.take.

        Raises:
            Overloaded: too many wait already, or the server is full; nothing was stored.
            TemporaryFailure: not confirmed in time; safe to repeat.
        """
        if self._waiting >= self._most_waiting:
            raise Overloaded(f"{self._waiting} deliveries wait for the server's disk already", 1)
        done: Future[list[Arrived]] = Future()
        self._waiting += 1
        self._queue.put((arrivals, done))
        try:
            patience = self._durable_seconds + _GRACE_SECONDS
            return await asyncio.wait_for(asyncio.wrap_future(done), patience)
        except TimeoutError:
            raise TemporaryFailure(
                f"the server did not confirm the write within {patience:g} s; is it away?"
            ) from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads once all that waits is written."""
        self._queue.put(None)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first, *self._more()]
            # Whose sender gave up is not written: it was told to repeat.
            group = [one for one in group if one[1].set_running_or_notify_cancel()]
            if group:
                self._write(group)
        self._nudge.close()

    def _more(self) -> list[_Waiting]:
        found: list[_Waiting] = []
        try:
            while len(found) < MOST_TOGETHER - 1:
                one = self._queue.get_nowait()
                if one is None:
                    self._queue.put(None)  # for the loop, after this group
                    break
                found.append(one)
        except Empty:
            pass
        return found

    def _write(self, group: Sequence[_Waiting]) -> None:
        COMMIT_DELIVERIES.observe(len(group))
        try:
            with self._nudge:
                outcomes = self._arrivals.take_many([a for a, _ in group], self._durable_seconds)
        except Exception as error:  # a fault of ours; the thread must live on, and each sender hear
            log("group-commit").error("unexpected", exc_info=error)
            for _, done in group:
                done.set_exception(error)
            return
        for (_, done), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, BeyondError):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)
