"""Holding a batch: its leases are renewed while it runs, and a hung model call ends the process.

It does not know RQ, reviews or models.
"""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis

from shared.settings import Settings
from shared.stream import leases

# Beats a lease: two may fail before it runs out.
_BEATS_A_LEASE = 3


class Hold:
    """Renews leases in a thread of its own, and watches for calls that never return.

    Args:
        settings: `lease_seconds`, and `hang_seconds` that one model call may take.
        logger: for beats that the server did not answer.
    """

    def __init__(self, settings: Settings, logger: Any) -> None:
        self._lease_seconds, self._hang_seconds = settings.lease_seconds, settings.hang_seconds
        self._log = logger

    @contextmanager
    def held(
        self,
        connection: redis.Redis,
        queue: str,
        in_hand: Mapping[str, Any],
        beat: Callable[[], None],
    ) -> Iterator[None]:
        """Renew the leases of the jobs `in_hand`, which settled ones leave.

        A lost connection is tried again.
        """
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(self._lease_seconds / _BEATS_A_LEASE):
                try:
                    entries = [job.lease.entry for job in list(in_hand.values())]
                    leases.renew(connection, queue, entries, self._lease_seconds)
                    beat()
                except redis.RedisError as error:
                    self._log.warning("beat_missed", reason=str(error))

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        self.tick()
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            stop.set()
            thread.join(1)

    def tick(self) -> None:
        """The time until the watchdog bites starts anew.

        A hung native call holds the interpreter, so no Python timeout would fire; the C-level
        watchdog of faulthandler does. The lease then runs out and the jobs restart elsewhere, in a
        smaller lane.
        """
        faulthandler.dump_traceback_later(self._hang_seconds, exit=True)
