"""One /metrics for all workers of a supervisor: they count into files of one folder, it adds them up.

This is prometheus_client's multiprocess mode (https://prometheus.github.io/client_python/multiprocess/).
It does not know which metrics there are.
"""

from __future__ import annotations

import shutil
import tempfile

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from shared.errors import Misconfigured


class Exporter:
    """Serves the sum of what the workers have counted, dead ones included.

    Args:
        port: of all interfaces.

    Raises:
        Misconfigured: the port is taken.
    """

    def __init__(self, port: int) -> None:
        self._folder = tempfile.mkdtemp(prefix="beyond-metrics-")
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=self._folder)  # type: ignore[no-untyped-call]
        try:
            self._server, _ = start_http_server(port, registry=registry)
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise Misconfigured(
                f"BEYOND_METRICS_PORT={port} cannot be used: {error}; choose another"
            ) from error

    @property
    def environment(self) -> dict[str, str]:
        """For workers: where to count, and that they serve nothing themselves."""
        return {"PROMETHEUS_MULTIPROC_DIR": self._folder, "BEYOND_METRICS_PORT": "0"}

    def forget(self, pid: int) -> None:
        """A worker is dead: its levels (not its counts) vanish."""
        mark_process_dead(pid, path=self._folder)  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """Close the port and remove the files."""
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._folder, ignore_errors=True)
