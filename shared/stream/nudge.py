"""Wakes the server while a WAITAOF is out, so that its answer comes when the disk is done and not at the next tick.

Valkey and Redis fsync in a thread of their own, and their main loop looks for the result when it
turns. An idle loop turns `hz` times a second, ten by default: a lone durable write waited 100 to
200 ms for a disk that took less than one. A PING turns the loop. It does not know what is written.
"""

from __future__ import annotations

import contextlib
import threading

import redis

# A disk with a cache of its own is done by then; the next PINGs follow at twice the distance each.
FIRST_SECONDS = 0.002
LONGEST_SECONDS = 0.05


class Nudge:
    """`with nudge:` around a durable write. One at a time; its PINGs go over a connection of their own."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection
        self._out, self._landed, self._closed = threading.Event(), threading.Event(), False
        threading.Thread(target=self._run, name="nudge", daemon=True).start()

    def __enter__(self) -> None:
        self._landed.clear()
        self._out.set()

    def __exit__(self, *_: object) -> None:
        self._out.clear()
        self._landed.set()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._landed.set()
        self._out.set()

    def _run(self) -> None:
        while self._out.wait() and not self._closed:
            pause = FIRST_SECONDS
            while not self._landed.wait(pause):
                # A lost server is the writer's to report.
                with contextlib.suppress(redis.RedisError, OSError):
                    self._connection.ping()
                pause = min(2 * pause, LONGEST_SECONDS)
