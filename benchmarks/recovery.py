"""Claim: recovery of 100,000 jobs whose workers died takes seconds; beside RQ's own cleanup on the same server.

python benchmarks/recovery.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rq.registry import StartedJobRegistry  # noqa: E402

from shared.settings import Settings  # noqa: E402
from shared.stream import broker, leases  # noqa: E402
from shared.stream.names import LIVE, job_key, queue_key  # noqa: E402
from shared.stream.queues import job_fields, queue_of  # noqa: E402
from shared.stream.recovery import load, sweep  # noqa: E402

JOBS, CLAIM = 100_000, 1000


def expire(connection) -> None:  # type: ignore[no-untyped-def]
    """JOBS jobs in flight whose leases have run out."""
    connection.flushall()
    fields = job_fields(connection, ["review"], LIVE)
    for start in range(0, JOBS, CLAIM):
        pipe = connection.pipeline(transaction=False)
        names = [f"j{i}" for i in range(start, start + CLAIM)]
        for name in names:
            pipe.hset(job_key(name), mapping=fields)
        pipe.rpush(queue_key(LIVE), *names)
        pipe.execute()
        leases.claim(connection, LIVE, CLAIM, execution=f"dead{start}", lease_seconds=-1)
    assert load(connection, [LIVE])[LIVE] == (0, JOBS, 0)


def timed(connection, recover) -> float:  # type: ignore[no-untyped-def]
    expire(connection)
    begun = time.perf_counter()
    recover()
    seconds = time.perf_counter() - begun
    assert load(connection, [LIVE])[LIVE] == (JOBS, 0, 0)
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        connection = broker.connect(settings)
        registry = StartedJobRegistry(queue=queue_of(LIVE, connection))
        theirs = timed(connection, registry.cleanup)
        ours = timed(connection, lambda: sweep(connection, [LIVE], grace_seconds=1e9))
        broker.release(settings.home)
    print(
        f"{JOBS} expired jobs: sweep {ours:.1f} s, RQ's cleanup {theirs:.1f} s, {theirs / ours:.0f}x"
    )


if __name__ == "__main__":
    main()
