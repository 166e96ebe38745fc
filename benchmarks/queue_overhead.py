"""Claim: the queue costs little. Fake models, AOF everysec, one worker; beside stock
rq.SimpleWorker, one job per review.

python benchmarks/queue_overhead.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rq import Queue, SimpleWorker  # noqa: E402
from rq.serializers import JSONSerializer  # noqa: E402

from shared.review import Review  # noqa: E402
from shared.settings import Settings  # noqa: E402
from shared.stream import broker  # noqa: E402
from shared.stream.names import BACKFILL, LIVE  # noqa: E402
from shared.stream.queues import rq_command  # noqa: E402
from shared.stream.recovery import load  # noqa: E402
from shared.stream.store import Store  # noqa: E402

TEXT = (
    "We waited forty five minutes past our reservation and the soup came cold. Nobody said sorry, and the bill was wrong. "
    * 5
)
LIVE_REVIEWS, BACKFILL_REVIEWS, STOCK_JOBS = 10_000, 60_000, 3_000
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def reviews(count: int, tag: str) -> list[Review]:
    return [
        Review(
            source="bench",
            external_id=f"{tag}{i}",
            text=f"{i} {TEXT}",
            rating=1,
            created_at=BEGUN + timedelta(minutes=i),
        )
        for i in range(count)
    ]


def nothing(review_id: str) -> None:
    """The peer's job."""


def drain(settings: Settings, connection, store: Store, expected: int) -> float:  # type: ignore[no-untyped-def]
    """Seconds from the first analysis to the last, so that a worker's start is not counted."""
    command = [
        "tests.fakes.FakeWorker" if p.endswith("BatchWorker") else p
        for p in rq_command(broker.server_url(settings))
    ]
    environment = {
        **os.environ,
        "BEYOND_HOME": str(settings.home),
        "PYTHONPATH": str(ROOT),
        "BEYOND_LOG_LEVEL": "WARNING",
    }
    worker = subprocess.Popen(command, env=environment, cwd=ROOT)
    first = 0.0
    base = store.counts()["analysed"]
    try:
        while (done := store.counts()["analysed"] - base) < expected:
            if done and not first:
                first, at_first = time.perf_counter(), done
            time.sleep(0.005)
        return (time.perf_counter() - first) * expected / (expected - at_first)
    finally:
        worker.terminate()
        worker.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home")
        connection = broker.connect(settings)
        store = Store(connection)
        rows = []

        begun = time.perf_counter()
        queue = Queue("stock", connection=connection, serializer=JSONSerializer)
        for i in range(STOCK_JOBS):
            queue.enqueue("benchmarks.queue_overhead.nothing", str(i), result_ttl=0)
        put_stock = STOCK_JOBS / (time.perf_counter() - begun)
        begun = time.perf_counter()
        SimpleWorker([queue], connection=connection, serializer=JSONSerializer).work(
            burst=True, logging_level="ERROR"
        )
        stock = STOCK_JOBS / (time.perf_counter() - begun)
        rows.append(("stock rq.SimpleWorker, a job per review", put_stock, stock))

        for lane, count, chunk in ((LIVE, LIVE_REVIEWS, 1), (BACKFILL, BACKFILL_REVIEWS, 64)):
            made = reviews(count, lane)
            begun = time.perf_counter()
            for start in range(0, count, chunk):
                store.put(made[start : start + chunk], lane)
            put = count / (time.perf_counter() - begun)
            rows.append(
                (
                    f"ours, {lane} lane (store, fetch and save included)",
                    put,
                    count / drain(settings, connection, store, count),
                )
            )
            assert all(w == f == d == 0 for w, f, d in load(connection, (LIVE, BACKFILL)).values())
        broker.release(settings.home)
    print(f"{'':58}{'enqueued/s':>12}{'worked/s':>12}{'x stock':>9}")
    for name, put, worked in rows:
        print(f"{name:58}{put:12,.0f}{worked:12,.0f}{worked / stock:9.1f}")
    print(json.dumps({name: round(worked) for name, _, worked in rows}))


if __name__ == "__main__":
    main()
