"""The small supervisor behind `beyond work`: N worker processes, restarted when they die, stopped together.

Beside them it serves their metrics, keeps another process running and lets old reviews go. It does not know jobs or models.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

import redis

from shared.errors import BeyondError
from shared.settings import Settings
from shared.stream.launch import QUEUES, worker_command, worker_environment
from shared.stream.processes import die_with_parent
from shared.stream.recovery import load, sweep
from shared.stream.retention import Retention
from shared.telemetry import log
from workers.batch_worker import EX_CONFIG
from workers.beside import Beside
from workers.exporter import Exporter
from workers.restarts import Restarts

POLL_SECONDS = 0.25


class Supervisor:
    """Runs a worker in each place against one server.

    Args:
        settings: passed on to the workers through the environment.
        connection: to see when a burst is done, and for retention.
        places: what the environment of each worker has beside ours, one process each (devices.py).
        command: what to start instead of a worker of `live` and `backfill`.
        restarts: how many deaths are too many.
        beside: runs as long as the workers do.
    """

    def __init__(
        self,
        settings: Settings,
        connection: redis.Redis,
        places: Sequence[Mapping[str, str]] = ({},),
        command: list[str] | None = None,
        restarts: Restarts | None = None,
        beside: Beside | None = None,
    ) -> None:
        self._beside = beside
        self._settings, self._redis, self._places = settings, connection, places
        self._command = command or worker_command()
        self._restarts = restarts or Restarts()
        self._retention = Retention(connection, settings.keep_days)
        self._exporter: Exporter | None = None
        # Running ones with their places, and for each that died the moment (monotonic) when its
        # place is filled again.
        self._workers: dict[subprocess.Popen[bytes], Mapping[str, str]] = {}
        self._due: list[tuple[float, Mapping[str, str]]] = []
        self._stopping = False
        self._log = log("supervisor")

    def run(self, burst: bool = False, progress: Callable[[], None] = lambda: None) -> int:
        """Work until stopped by SIGINT/SIGTERM or, with `burst`, until nothing waits or is in flight.

        Returns:
            0, or 1 when workers kept dying or cannot work at all.

        Raises:
            Misconfigured: the metrics' port is taken.
        """
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: setattr(self, "_stopping", True))
        if self._settings.metrics_port:
            self._exporter = Exporter(self._settings.metrics_port)
        try:
            self._workers = {self._spawn(place): place for place in self._places}
            code = 0
            while not self._stopping and not code:
                time.sleep(POLL_SECONDS)
                progress()
                if self._beside:
                    self._beside.step()
                code = self._replace_dead()
                self._let_old_go()
                if burst and not code and self._idle():
                    break
            return code
        finally:
            self._stop()

    def _replace_dead(self) -> int:
        """Start again what has died, after a wait; 1 when there is no point in it."""
        for worker in [w for w in self._workers if w.poll() is not None]:
            place = self._workers.pop(worker)
            if self._exporter:
                self._exporter.forget(worker.pid)
            if worker.returncode == EX_CONFIG:  # it has said why; other GPUs may be in order
                if not self._workers and not self._due:
                    return 1
                self._log.error("place_given_up", workers_left=len(self._workers), **place)
                continue
            self._restarts.died()
            self._log.warning(
                "worker_died", code=worker.returncode, recently=self._restarts.recent()
            )
            if self._restarts.too_many():
                self._log.error("workers_keep_dying", recently=self._restarts.recent())
                return 1
            self._due.append((time.monotonic() + self._restarts.wait_seconds(), place))
        for due in [d for d in self._due if d[0] <= time.monotonic()]:
            self._due.remove(due)
            self._workers[self._spawn(due[1])] = due[1]
        return 0

    def _let_old_go(self) -> None:
        try:
            self._retention.step()
        except BeyondError as error:  # the workers find out themselves that the server is away
            self._log.warning("retention_waits", reason=str(error))

    def _spawn(self, place: Mapping[str, str]) -> subprocess.Popen[bytes]:
        more = {**place, **(self._exporter.environment if self._exporter else {})}
        # Its own process group: Ctrl-C reaches us alone, and we stop the workers warmly, once.
        return subprocess.Popen(
            self._command,
            env=worker_environment(self._settings, **more),
            preexec_fn=die_with_parent,
            process_group=0,
            stdin=subprocess.DEVNULL,
        )

    def _idle(self) -> bool:
        """Nothing waits and nothing is in flight; leases of dead workers are swept meanwhile."""
        try:
            sweep(self._redis, QUEUES, grace_seconds=self._settings.lease_seconds)
            return not any(
                waiting or claimed for waiting, claimed, _ in load(self._redis, QUEUES).values()
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
        if self._beside:
            self._beside.stop()
        if self._exporter:
            self._exporter.stop()
