"""Group commit: all deliveries that wait while a write is under way go to the disk together in the next one.

It does not know HTTP or platforms.
"""

from __future__ import annotations

from collections.abc import Sequence

from producers.together import Together
from shared.errors import TemporaryFailure
from shared.stream.arrivals import Arrivals, Arrived, Bundle, Outcome
from shared.stream.rate_limit import Refusal
from shared.telemetry import COMMIT_DELIVERIES

# The script blocks the server while it runs, some 0.1 ms a delivery.
MOST_TOGETHER = 64
# Under load a write every so often costs half of the time that one as soon as possible does.
PACE_SECONDS = 0.01
# Beside `durable_seconds`: what the writer itself may take to say why it failed.
_GRACE_SECONDS = 1.0


class GroupCommit:
    """Writes deliveries durably, many at a time, each with its own outcome."""

    def __init__(self, arrivals: Arrivals, durable_seconds: float) -> None:
        """`durable_seconds`: how long one write may wait for the disk."""
        self._arrivals, self._durable_seconds = arrivals, durable_seconds
        self._writer: Together[Bundle, list[Arrived] | Refusal] = Together(
            "group-commit", self._write, MOST_TOGETHER, PACE_SECONDS
        )

    async def take(
        self, bundle: Bundle, patience_seconds: float | None = None
    ) -> list[Arrived] | Refusal:
        """What became of each arrival, same order, once all are on the server's disk; see Arrivals.take.

        Returns a Refusal where a bucket is empty: nothing was stored.

        Raises:
            Overloaded: the queue or the server is full; nothing was stored.
            TemporaryFailure: not confirmed in time; safe to repeat.
        """
        patience = patience_seconds or self._durable_seconds + _GRACE_SECONDS
        try:
            return await self._writer.ask(bundle, patience)
        except TimeoutError:
            raise TemporaryFailure(
                f"the server did not confirm the write within {patience:g} s; is it away?"
            ) from None

    def close(self) -> None:
        """End the thread once all that waits is written."""
        self._writer.close()

    def _write(self, group: Sequence[Bundle]) -> list[Outcome]:
        COMMIT_DELIVERIES.observe(len(group))
        return self._arrivals.take_many(group, self._durable_seconds)
