"""A process beside the workers that does not analyse: started with them, again when it dies, stopped with them.

Its failing stops no worker. It does not know what the process does.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence

from shared.stream.processes import die_with_parent
from shared.telemetry import log
from workers.restarts import Restarts

# It has said what must change before it can run (shared/cli.py): another start would say it again.
_CANNOT_RUN = 2
_STOP_SECONDS = 60.0


class Beside:
    """One process.

    Args:
        command: what to run.
        environment: of the process.
        restarts: how many deaths are too many; then it is left alone.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        restarts: Restarts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command, self._environment = list(command), environment
        self._restarts, self._clock = restarts or Restarts(), clock
        self._process: subprocess.Popen[bytes] | None = None
        self._due: float | None = float("-inf")  # None: not any more
        self._log = log("supervisor")

    def step(self) -> None:
        """Start it where it does not run and should."""
        if self._process is not None and self._process.poll() is not None:
            self._died(self._process.returncode)
            self._process = None
        if self._process is None and self._due is not None and self._due <= self._clock():
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                preexec_fn=die_with_parent,
                process_group=0,
                stdin=subprocess.DEVNULL,
            )

    def stop(self) -> None:
        """End it, warmly if it lets itself."""
        self._due = None
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _died(self, code: int) -> None:
        self._restarts.died()
        given_up = code == _CANNOT_RUN or self._restarts.too_many()
        self._log.warning("beside_died", command=self._command[-1], code=code, again=not given_up)
        self._due = None if given_up else self._clock() + self._restarts.wait_seconds()
