"""RQ's signs of life, without their cost: its loop gives four a batch, three commands each.

It knows of RQ's worker only the two methods that it overrides, and does not import it.
"""

from __future__ import annotations

import time
from typing import Any

# RQ's own signs expire after a minute and more.
_BEAT_SECONDS = 1.0


class FewBeats:
    """For a worker class, before RQ's: a beat a second at most, and the state where it changes."""

    _beaten = 0.0  # monotonic seconds
    # What its language model computes in, for `beyond status`; "" where it has none.
    precision = ""

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ's sign of life, with our state, in one round trip.

        Nothing where the last one is younger than a second.
        """
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)  # type: ignore[misc]
        elif time.monotonic() - self._beaten >= _BEAT_SECONDS:
            self._beaten = time.monotonic()
            with self.connection.pipeline(transaction=False) as pipe:  # type: ignore[attr-defined]
                super().heartbeat(timeout, pipe)  # type: ignore[misc]
                super().set_state(self.get_state(), pipe)  # type: ignore[misc,attr-defined]
                if self.precision:
                    pipe.hset(self.key, "precision", self.precision)  # type: ignore[attr-defined]
                pipe.execute()

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """RQ's, where it changes."""
        if state != self.get_state():  # type: ignore[attr-defined]
            super().set_state(state, pipeline)  # type: ignore[misc]
