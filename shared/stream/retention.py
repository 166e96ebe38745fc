"""Old reviews go, with their analyses: by the day they were written, a little at a time.

It does not know who asks it to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

import redis

from shared.stream.browse import day_number
from shared.stream.calls import call
from shared.stream.days import SIZES, leaves_key, set_key
from shared.stream.scripts import DELETE
from shared.telemetry import log

# Reviews that one step removes: about 2 ms of the server's time.
STEP_REVIEWS = 200
# Seconds until the next look when nothing is old enough: a day's end is no hurry.
REST_SECONDS = 60.0


class Retention:
    """Removes reviews whose day (of `created_at`, UTC) lies more than `keep_days` back.

    Whether they were analysed does not matter: a job for one that is gone finds nothing and ends
    well. Any number of these may run beside each other.

    Args:
        connection: the server.
        keep_days: None: keep all.
        now: the time of day.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        connection: redis.Redis,
        keep_days: int | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis, self._keep_days, self._now, self._clock = connection, keep_days, now, clock
        self._delete = connection.register_script(DELETE)
        self._rest_until = float("-inf")
        self._removed = 0
        self._log = log("retention")

    def step(self, limit: int = STEP_REVIEWS) -> int:
        """Remove up to `limit` reviews; cheap to call often, it rests while nothing is old enough.

        Returns:
            How many were removed.

        Raises:
            TemporaryFailure: the server cannot be used.
        """
        if self._keep_days is None or self._clock() < self._rest_until:
            return 0
        last_old_day = day_number(self._now()) - self._keep_days - 1
        old = sorted(
            d for d in map(int, call(lambda: self._redis.hkeys(SIZES))) if d <= last_old_day
        )
        ids = self._some_of(old[0], limit) if old else []
        if not ids:
            self._rest_until = self._clock() + REST_SECONDS
            if self._removed:
                self._log.info("old_reviews_removed", reviews=self._removed)
                self._removed = 0
            return 0
        gone = int(call(lambda: self._delete(args=ids)))
        self._removed += gone
        return gone

    def _some_of(self, day: int, limit: int) -> list[bytes]:
        """Some ids of a day: from its first set, then from its leaves."""

        def some(key: str) -> list[bytes]:
            return call(lambda: list(islice(self._redis.sscan_iter(key, count=limit), limit)))

        first = some(set_key(day))
        if first:
            return first
        for leaf in some(leaves_key(day)):
            found = some(set_key(day, leaf.decode()))
            if found:
                return found
        return []
