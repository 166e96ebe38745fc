"""Group commit: all deliveries that wait while a write is under way go to the disk together in the next one.

It does not know HTTP or platforms.
"""

from __future__ import annotations

from collections.abc import Sequence

import redis

from producers.together import Together
from shared.errors import BeyondError, TemporaryFailure
from shared.stream.arrivals import Arrival, Arrivals, Arrived
from shared.stream.nudge import Nudge
from shared.telemetry import COMMIT_DELIVERIES

# The script blocks the server while it runs, some 0.1 ms a delivery.
MOST_TOGETHER = 64
# Beside `durable_seconds`: what the writer itself may take to say why it failed.
_GRACE_SECONDS = 1.0


class GroupCommit:
    """Writes deliveries durably, many at a time, each with its own outcome.

    Args:
        arrivals: what writes them.
        connection: the same server, for the nudge.
        durable_seconds: how long one write may wait for the disk.
    """

    def __init__(self, arrivals: Arrivals, connection: redis.Redis, durable_seconds: float) -> None:
        self._arrivals, self._durable_seconds = arrivals, durable_seconds
        self._nudge = Nudge(connection)
        self._writer = Together("group-commit", self._write, MOST_TOGETHER)

    async def take(self, arrivals: list[Arrival]) -> list[Arrived]:
        """What became of each, same order, once all are on the server's disk; see Arrivals.take.

        Raises:
            Overloaded: the queue or the server is full; nothing was stored.
            TemporaryFailure: not confirmed in time; safe to repeat.
        """
        patience = self._durable_seconds + _GRACE_SECONDS
        try:
            return await self._writer.ask(arrivals, patience)
        except TimeoutError:
            raise TemporaryFailure(
                f"the server did not confirm the write within {patience:g} s; is it away?"
            ) from None

    def close(self) -> None:
        """End the threads once all that waits is written."""
        self._writer.close()
        self._nudge.close()

    def _write(self, group: Sequence[list[Arrival]]) -> list[list[Arrived] | BeyondError]:
        COMMIT_DELIVERIES.observe(len(group))
        with self._nudge:
            return self._arrivals.take_many(group, self._durable_seconds)
