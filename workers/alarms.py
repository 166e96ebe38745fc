"""Warnings that one worker has in force, each under its cause; only the cause's end lifts it.

A worker that is killed lifts nothing, so its warnings are raised to last for a while and raised
again as long as they hold. It does not know where they are shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# A warning is shown for an hour after it was last raised: a killed worker's is gone by then, and an
# idle worker, which looks at nothing between batches, still shows its own for a while.
LASTS_SECONDS = 3600.0
# Far less than it lasts, and one write to the server in ten minutes is no load.
RAISED_AGAIN_SECONDS = 600.0


class Alarms:
    """Warnings in force, by cause.

    Args:
        warn: shows a text under a cause for LASTS_SECONDS, or lifts it (None).
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        warn: Callable[[str, str | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._warn, self._clock = warn, clock
        self._shown: dict[str, tuple[str, float]] = {}

    def sound(self, cause: str, text: str) -> bool:
        """Show the text unless it is shown already; True if it was news."""
        shown, since = self._shown.get(cause, ("", 0.0))
        if text == shown and self._clock() - since < RAISED_AGAIN_SECONDS:
            return False
        self._warn(cause, text)  # first: if it cannot be shown now, it is tried again
        self._shown[cause] = text, self._clock()
        return text != shown

    def lift(self, cause: str) -> None:
        """The cause is gone."""
        if cause in self._shown:
            self._warn(cause, None)
            del self._shown[cause]

    def sound_again(self) -> None:
        """To be called now and then: what is in force would fade otherwise."""
        for cause, (text, _) in list(self._shown.items()):
            self.sound(cause, text)
