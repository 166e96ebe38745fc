"""An outage is nobody's fault: claims are given back without a retry spent, and the worker rests.

The server or the insight writer is away. The rest grows with each failure in a row (backoff.py). It
does not know RQ, reviews or models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from shared.backoff import Backoff, half_to_full
from shared.errors import TemporaryFailure
from shared.stream import leases
from shared.stream.store import Store

# Seconds: the first rest, and the longest. A minute of idling is short beside most outages and
# still little load on a server that is coming back.
_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS = 1.0, 60.0
# A warning outlasts the rest by so much: the next failure raises it again, a killed worker's fades.
_WARNING_EXTRA_SECONDS = 120


class Outage:
    """What one worker knows about failures of its surroundings in a row.

    Args:
        connection: the server, which may be what is away.
        worker: name, for the warning in `beyond status`.
        logger: structured events.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.
        jitter: a factor in [0.5, 1] for each rest.
    """

    def __init__(
        self,
        connection: redis.Redis,
        worker: str,
        logger: Any,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = half_to_full,
    ) -> None:
        self._redis, self._store, self._log = connection, Store(connection), logger
        self._kind = f"outage {worker}"
        self._sleep = sleep
        self._backoff = Backoff(_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS, clock, jitter)

    def resting(self) -> bool:
        """Whether no claim should be made yet."""
        return not self._backoff.due()

    def seconds_left(self) -> float:
        """Seconds of rest left."""
        return self._backoff.seconds_left()

    def over(self) -> None:
        """A batch went through: the next failure is the first again."""
        if self._backoff.failing:
            self._backoff.over()
            self._store.warn(self._kind, None)
            self._log.info("outage_over")

    def give_back(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        error: Exception,
        stopping: Callable[[], bool],
    ) -> None:
        """Return the jobs (id, entry) that are in hand, as soon as the server answers, and rest.

        When told to stop while the server stays away, the jobs are left to the sweep.
        """
        rest = self._backoff.failed()
        while True:
            try:
                released = leases.release(self._redis, queue, held)
                rest = self._backoff.rest()  # from now on
                self._store.warn(
                    self._kind,
                    f"{error}; tries again in {rest:.0f} s, no review is lost",
                    lasts_seconds=rest + _WARNING_EXTRA_SECONDS,
                )
                break
            except (redis.RedisError, TemporaryFailure) as lost:
                self._log.warning("server_away", reason=str(lost), seconds=round(rest, 1))
                if stopping():
                    return
                self._sleep(min(rest, 2.0))  # look often: the leases run
        self._log.warning(
            "given_back", jobs=released, reason=str(error), rest_seconds=round(rest, 1)
        )
