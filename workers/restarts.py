"""How often a worker may die before its supervisor gives up, and how long to wait before the next try.

It does not know processes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# So many deaths within the window mean that workers cannot do their work. A review that kills its
# worker costs at most four deaths before it is a dead letter, so five of these in a row still pass.
LIMIT_DEATHS, WINDOW_SECONDS = 20, 600.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.2, 10.0


class Restarts:
    """Deaths in a sliding window; older ones are forgotten.

    Args:
        limit: deaths within the window that are too many.
        window_seconds: its length.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        limit: int = LIMIT_DEATHS,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._window, self._clock = limit, window_seconds, clock
        self._deaths: deque[float] = deque()

    def died(self) -> None:
        """Count a death."""
        self._deaths.append(self._clock())

    def recent(self) -> int:
        """Deaths within the window."""
        while self._deaths and self._deaths[0] <= self._clock() - self._window:
            self._deaths.popleft()
        return len(self._deaths)

    def too_many(self) -> bool:
        """Whether to give up."""
        return self.recent() >= self._limit

    def wait_seconds(self) -> float:
        """How long to wait before the next start: doubling with each recent death."""
        return min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** max(0, self.recent() - 1))
