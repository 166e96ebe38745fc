"""The small supervisor behind `beyond work`: N stock `rq worker` processes, restarted when they die, stopped together.

It does not know jobs or models.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import redis

from shared.settings import Settings
from shared.stream.names import BACKFILL, LIVE
from shared.stream.queues import rq_command
from shared.stream.recovery import load, sweep
from shared.telemetry import log
from workers.batch_worker import EX_CONFIG

POLL_SECONDS = 0.25
_MOST_RESTARTS_IN_A_ROW = 20


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Supervisor:
    """Runs `count` workers against one server.

    Args:
        settings: passed on to the workers through the environment.
        connection: to see when a burst is done.
        url: the server's.
        count: processes; the CPU's threads are shared out among them.
        command: what to start, for other queues.
    """

    def __init__(
        self,
        settings: Settings,
        connection: redis.Redis,
        url: str,
        count: int = 1,
        command: list[str] | None = None,
    ) -> None:
        self._settings, self._redis, self._count = settings, connection, count
        self._command = command or rq_command(url)
        threads = settings.threads or max(1, (os.cpu_count() or 1) // count)
        self._environment = {
            **os.environ,
            "BEYOND_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
        }
        self._environment["BEYOND_HOME"] = str(settings.home)
        self._environment["BEYOND_PRESET"] = settings.preset
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopping = False
        self._log = log("supervisor")

    def run(self, burst: bool = False, progress: Callable[[], None] = lambda: None) -> int:
        """Work until stopped by SIGINT/SIGTERM or, with `burst`, until nothing waits or is in flight.

        Returns:
            0, or 1 when workers kept dying before they did any work.
        """
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: setattr(self, "_stopping", True))
        self._workers = [self._spawn() for _ in range(self._count)]
        failures, code = 0, 0
        while not self._stopping:
            time.sleep(POLL_SECONDS)
            progress()
            for index, worker in enumerate(self._workers):
                if worker.poll() is not None and not self._stopping:
                    if worker.returncode == EX_CONFIG:  # it has said why
                        self._stopping, code = True, 1
                        break
                    failures = failures + 1
                    self._log.warning("worker_died", code=worker.returncode, restarts=failures)
                    if failures >= _MOST_RESTARTS_IN_A_ROW:
                        self._stopping, code = True, 1
                        break
                    time.sleep(min(2.0, 0.1 * 2 ** min(failures, 5)))
                    self._workers[index] = self._spawn()
            if burst and self._idle():
                break
        self._stop()
        return code

    def _spawn(self) -> subprocess.Popen[bytes]:
        # Its own process group: Ctrl-C reaches us alone, and we stop the workers warmly, once.
        return subprocess.Popen(
            self._command,
            env=self._environment,
            preexec_fn=_die_with_parent,
            process_group=0,
            stdin=subprocess.DEVNULL,
        )

    def _idle(self) -> bool:
        """Nothing waits and nothing is in flight; leases of dead workers are swept meanwhile."""
        try:
            sweep(self._redis, (LIVE, BACKFILL), grace_seconds=self._settings.lease_seconds)
            return not any(
                waiting or claimed
                for waiting, claimed, _ in load(self._redis, (LIVE, BACKFILL)).values()
            )
        except redis.RedisError:
            return False

    def _stop(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.wait(self._settings.hang_seconds + 10)
            except subprocess.TimeoutExpired:
                worker.kill()
