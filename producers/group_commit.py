"""Group commit: all deliveries that wait while a write is under way go to the disk together in the next one.

It does not know HTTP or platforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import redis

from producers.together import Together
from shared.errors import BeyondError, TemporaryFailure
from shared.stream.arrivals import Arrival, Arrivals, Arrived
from shared.stream.nudge import Nudge
from shared.stream.rate_limit import Bucket, Refusal, take
from shared.telemetry import COMMIT_DELIVERIES

# The script blocks the server while it runs, some 0.1 ms a delivery.
MOST_TOGETHER = 64
# Beside `durable_seconds`: what the writer itself may take to say why it failed.
_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Write:
    """One delivery: what it pays before anything is stored, and what is to be stored and deleted."""

    buckets: list[Bucket] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)


class GroupCommit:
    """Charges and writes deliveries durably, many at a time, each with its own outcome.

    Args:
        arrivals: what writes them.
        connection: the same server, for the rates and the nudge.
        durable_seconds: how long one write may wait for the disk.
    """

    def __init__(self, arrivals: Arrivals, connection: redis.Redis, durable_seconds: float) -> None:
        self._arrivals, self._connection = arrivals, connection
        self._durable_seconds = durable_seconds
        self._nudge = Nudge(connection)
        self._writer: Together[Write, list[Arrived] | Refusal] = Together(
            "group-commit", self._write, MOST_TOGETHER
        )

    async def take(
        self, write: Write, patience_seconds: float | None = None
    ) -> list[Arrived] | Refusal:
        """What became of each arrival, same order, once all are on the server's disk; see Arrivals.take.

        Returns a Refusal where a bucket is empty: nothing was stored.

        Raises:
            Overloaded: the queue or the server is full; nothing was stored.
            TemporaryFailure: not confirmed in time; safe to repeat.
        """
        patience = patience_seconds or self._durable_seconds + _GRACE_SECONDS
        try:
            return await self._writer.ask(write, patience)
        except TimeoutError:
            raise TemporaryFailure(
                f"the server did not confirm the write within {patience:g} s; is it away?"
            ) from None

    def close(self) -> None:
        """End the threads once all that waits is written."""
        self._writer.close()
        self._nudge.close()

    def _write(self, group: Sequence[Write]) -> list[list[Arrived] | Refusal | BeyondError]:
        refusals = self._charge(group)
        allowed = [w.arrivals for w, refusal in zip(group, refusals, strict=True) if not refusal]
        COMMIT_DELIVERIES.observe(len(allowed))
        with self._nudge:
            outcomes = iter(self._arrivals.take_many(allowed, self._durable_seconds))
        return [refusal or next(outcomes) for refusal in refusals]

    def _charge(self, group: Sequence[Write]) -> Sequence[Refusal | None]:
        try:
            return take(self._connection, [write.buckets for write in group])
        except TemporaryFailure:  # nothing is stored then either, and the write says why
            return [None] * len(group)
