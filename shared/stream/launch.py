"""How workers and the projector are started: commands, and the environment that tells it where the server is.

A URL may hold a password, and every user of a machine can read command lines: so it is handed on in
the environment alone. It does not know what workers do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from shared.settings import Settings
from shared.stream.names import BACKFILL, LIVE

QUEUES = (LIVE, BACKFILL)


def worker_command(queues: Sequence[str] = QUEUES) -> list[str]:
    """One worker on whatever server the settings name, Sentinel and the embedded one included."""
    return [sys.executable, "-m", "workers.run", *queues]


def record_command(*options: str) -> list[str]:
    """The projector of the record (consumers/record/)."""
    return [sys.executable, "-m", "beyond", "record", *options]


def worker_environment(settings: Settings, **more: str) -> dict[str, str]:
    """Our environment with the settings that a command may have changed."""
    out = {**os.environ, "BEYOND_HOME": str(settings.home), "BEYOND_PRESET": settings.preset}
    if settings.redis_url is not None:
        out["BEYOND_REDIS_URL"] = settings.redis_url.get_secret_value()
    return {**out, **more}


def rq_command(queues: Sequence[str] = QUEUES) -> list[str]:
    """The stock command of one worker.

    It knows redis://, rediss:// and unix://, and reads RQ_REDIS_URL.
    """
    return [
        sys.executable,
        "-m",
        "rq.cli",
        "worker",
        "--serializer",
        "json",
        "--worker-class",
        "workers.batch_worker.BatchWorker",
        "--queue-class",
        "shared.stream.queues.ReliableQueue",
        "--quiet",
        *queues,
    ]
