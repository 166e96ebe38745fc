"""The memory guard: intake stops before the server's memory is full, so that workers can still save.

It does not know keys or reviews.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from shared.errors import Overloaded
from shared.stream.calls import MEMORY_REMEDY, MEMORY_RETRY_SECONDS, call

# Share of the server's maxmemory that intake may fill. The rest is for the analyses of what waits,
# for jobs and for buffers: an analysis takes half of its review (benchmarks/memory.py), and a
# million waiting reviews some 0.2 GB.
INTAKE_SHARE = 0.9
# How long an answer of the server is believed: at 20,000 reviews/s it grows by some 10 MB meanwhile.
CHECK_SECONDS = 1.0


class MemoryGuard:
    """Asks the server how full it is, at most once a second.

    Args:
        connection: the server.
        limit_bytes: intake stops past it; None: INTAKE_SHARE of the server's maxmemory, where it
            has one.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        connection: redis.Redis,
        limit_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis, self._limit, self._clock = connection, limit_bytes, clock
        self._ask_again = float("-inf")
        self._full = ""

    def check(self) -> None:
        """Return if there is room.

        Raises:
            Overloaded: there is none; the text says how much there is and what to do.
            TemporaryFailure: the server cannot be used.
        """
        if self._clock() >= self._ask_again:
            self._full = self._look()
            self._ask_again = self._clock() + CHECK_SECONDS
        if self._full:
            raise Overloaded(self._full, MEMORY_RETRY_SECONDS)

    def _look(self) -> str:
        found = call(lambda: self._redis.info("memory"))
        used = int(found["used_memory"])
        limit = self._limit or int(INTAKE_SHARE * int(found.get("maxmemory", 0)))
        if not limit or used < limit:
            return ""
        return (
            f"the server holds {used / 2**20:.0f} MiB, and intake stops at {limit / 2**20:.0f} MiB: "
            f"{MEMORY_REMEDY}"
        )
