"""Claim: the queue costs little. Fake models, AOF everysec, one worker; beside rq, dramatiq and celery on the same server.

The peers do nothing in a job a review; ours stores the review, fetches it and saves an analysis.

    pip install -e '.[benchmarks]'; python benchmarks/queue_overhead.py
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
from shared.stream.arrivals import Arrival, Arrivals, Bundle  # noqa: E402
from shared.stream.launch import rq_command  # noqa: E402
from shared.stream.names import BACKFILL, LIVE  # noqa: E402
from shared.stream.recovery import load  # noqa: E402
from shared.stream.store import Store  # noqa: E402

TEXT = (
    "We waited forty five minutes past our reservation and the soup came cold. Nobody said sorry, and the bill was wrong. "
    * 5
)
LIVE_REVIEWS, BACKFILL_REVIEWS, STOCK_JOBS = 10_000, 60_000, 3_000
# Deliveries that the webhook commits together at 300 requests/s (at most 64: producers/group_commit.py).
TOGETHER = 40
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


def stock_rq(connection) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Jobs a second (enqueued, worked)."""
    begun = time.perf_counter()
    queue = Queue("stock", connection=connection, serializer=JSONSerializer)
    for i in range(STOCK_JOBS):
        queue.enqueue("benchmarks.queue_overhead.nothing", str(i), result_ttl=0)
    put = STOCK_JOBS / (time.perf_counter() - begun)
    begun = time.perf_counter()
    SimpleWorker([queue], connection=connection, serializer=JSONSerializer).work(
        burst=True, logging_level="ERROR"
    )
    return put, STOCK_JOBS / (time.perf_counter() - begun)


def peer(name: str, url: str, connection) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Jobs a second of benchmarks/peers.py's dramatiq or celery: enqueued here, worked by one process of theirs."""
    environment = {**os.environ, "PEER_URL": url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", name, str(STOCK_JOBS)],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    put = float(done.stdout.split()[-1])
    command = {
        "dramatiq": ["-m", "dramatiq", "benchmarks.peers", "--processes", "1", "--threads", "8"],
        "celery": ["-m", "celery", "-A", "benchmarks.peers:celery_app", "worker", "--pool", "solo",
                   "--loglevel", "ERROR", "--without-gossip", "--without-mingle"],
    }[name]  # fmt: skip
    environment["PEER"] = name
    connection.delete("peer:done")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT, **quiet)
    try:
        first = 0.0
        while (count := int(connection.get("peer:done") or 0)) < STOCK_JOBS:
            if count and not first:
                first, at_first = time.perf_counter(), count
            time.sleep(0.005)
        return put, (STOCK_JOBS - at_first) / (time.perf_counter() - first)
    finally:
        worker.terminate()
        worker.wait()


def drain(settings: Settings, connection, store: Store, expected: int) -> float:  # type: ignore[no-untyped-def]
    """Seconds from the first analysis to the last, so that a worker's start is not counted."""
    command = ["tests.fakes.FakeWorker" if p.endswith("BatchWorker") else p for p in rq_command()]
    environment = {
        **os.environ,
        "BEYOND_HOME": str(settings.home),
        "RQ_REDIS_URL": broker.server_url(settings),
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


def durable(connection, made: list[Review]) -> float:  # type: ignore[no-untyped-def]
    """Reviews a second through the webhook's own writer, each on disk before its call returns."""
    arrivals = Arrivals(connection, 10**9, 64, None)
    bundles = [Bundle([Arrival(one.id, one, one.created_at)]) for one in made]
    begun = time.perf_counter()
    for start in range(0, len(bundles), TOGETHER):
        for outcome in arrivals.take_many(bundles[start : start + TOGETHER], durable_seconds=10):
            assert outcome == ["new"], outcome
    return len(made) / (time.perf_counter() - begun)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home")
        connection = broker.connect(settings)
        store = Store(connection)
        rows = []
        put_stock, stock = stock_rq(connection)
        rows.append(("stock rq.SimpleWorker, a job a review", put_stock, stock))
        for name in ("dramatiq", "celery"):
            rows.append(
                (
                    f"{name}, a job a review",
                    *peer(name, str(broker.socket_path(settings.home)), connection),
                )
            )

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
            if lane == LIVE:
                put = durable(connection, reviews(count, "durable"))
                name = f"ours, live lane, on disk, {TOGETHER} deliveries at once"
                rows.append((name, put, count / drain(settings, connection, store, count)))
            assert all(w == f == d == 0 for w, f, d in load(connection, (LIVE, BACKFILL)).values())
        broker.release(settings.home)
    print(f"{'':58}{'enqueued/s':>12}{'worked/s':>12}{'x stock':>9}")
    for name, put, worked in rows:
        print(f"{name:58}{put:12,.0f}{worked:12,.0f}{worked / stock:9.1f}")
    print(json.dumps({name: round(worked) for name, _, worked in rows}))


if __name__ == "__main__":
    main()
