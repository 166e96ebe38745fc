"""When to try again: what the other side asks for, or a rest that doubles with each failure in a row.

The jitter keeps a hundred workers from coming back in one moment. It does not know what is tried.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

# Steps after which the longest rest is reached whatever the first was; keeps the power small.
_MOST_STEPS = 20
_NUMBER = re.compile(r"\s*\d+(?:\.\d+)?\s*")


def rest_seconds(
    failures: int, first_seconds: float, longest_seconds: float, jitter: float, factor: float = 2.0
) -> float:
    """The rest after so many failures in a row.

    Args:
        failures: 1 or more.
        first_seconds: rest after the first one.
        longest_seconds: no rest is longer.
        jitter: in [0.5, 1], multiplies the rest.
        factor: by which the rest grows with each further failure.
    """
    grown = first_seconds * factor ** min(failures - 1, _MOST_STEPS)
    return min(longest_seconds, grown) * jitter


def asked_seconds(retry_after: str, now: float) -> float | None:
    """What a Retry-After header asks for, in seconds from now: a number or a date (RFC 9110, 10.2.3).

    Args:
        retry_after: the header; empty where there is none.
        now: seconds since 1970.

    Returns:
        0 or more; None where it says nothing that can be understood.
    """
    if _NUMBER.fullmatch(retry_after):
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
        # A zone of -0000 gives no zone; HTTP's dates are UTC.
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def half_to_full() -> float:
    """The usual jitter: a factor in [0.5, 1]."""
    return random.uniform(0.5, 1.0)


class Backoff:
    """Failures in a row of one thing.

    Args:
        first_seconds: rest after the first failure.
        longest_seconds: no rest is longer.
        clock: seconds, monotonic.
        jitter: factor for each rest.
    """

    def __init__(
        self,
        first_seconds: float,
        longest_seconds: float,
        clock: Callable[[], float],
        jitter: Callable[[], float] = half_to_full,
    ) -> None:
        self._first_seconds, self._longest_seconds = first_seconds, longest_seconds
        self._clock, self._jitter = clock, jitter
        self._failures, self._until = 0, float("-inf")

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._failures > 0

    def due(self) -> bool:
        """Whether it may be tried now."""
        return self.seconds_left() <= 0

    def seconds_left(self) -> float:
        """Seconds of rest left."""
        return max(0.0, self._until - self._clock())

    def failed(self) -> float:
        """It failed once more; returns the seconds of rest that begin now."""
        self._failures += 1
        return self.rest()

    def rest(self) -> float:
        """The rest begins anew, without a further failure; returns its seconds."""
        seconds = rest_seconds(
            self._failures, self._first_seconds, self._longest_seconds, self._jitter()
        )
        self._until = self._clock() + seconds
        return seconds

    def over(self) -> None:
        """It went well, or something else is tried: the next failure is the first again."""
        self._failures, self._until = 0, float("-inf")
