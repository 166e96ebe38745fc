"""Claim: one server feeds 100 GPU nodes. Real claims, leases and settling; models that sleep as phi-2 on an H100 would.

    python benchmarks/fleet.py                                    10, 50 and 100 workers
    python benchmarks/fleet.py --workers 100 --reviews 1000000 --live 20 --live-seconds 60 --kills

A million takes 1 GB of memory, 40 s to be taken in and 62 s of sleep at 100 workers, on calm cores.
Progress goes to stderr.

Reviews lie in the backfill before the clock starts. `of ideal` is the share of their time in which
models ran; `reviews/s` lies between the first and the last tenth of all. What a worker itself takes
to read and pack records is not in it (fleet_worker.py).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.fleet_figures import REVIEW_BYTES, Run, header, limits, row, summarise, usage  # noqa: E402
from benchmarks.fleet_worker import REVIEWS_A_SECOND  # noqa: E402
from benchmarks.queue_overhead import reviews  # noqa: E402
from shared.settings import Settings  # noqa: E402
from shared.stream import broker  # noqa: E402
from shared.stream.launch import QUEUES, worker_environment  # noqa: E402
from shared.stream.names import BACKFILL, LIVE  # noqa: E402
from shared.stream.processes import die_with_parent  # noqa: E402
from shared.stream.recovery import load  # noqa: E402
from shared.stream.store import Store  # noqa: E402

TOGETHER = 10  # workers a process: a tenth of a hundred, which is what one SIGKILL takes
CHUNK = 64
# A node is killed so often, and its successor comes so much later: 5.6 GB of weights are read first.
KILL_EVERY_SECONDS, RELOAD_SECONDS = 60.0, 15.0
TOLD_EVERY_SECONDS = 10.0
# A waiting live review's job (docs/growing.md); and what a rewrite of the append-only file may copy.
LIVE_JOB_BYTES, SERVER_SPARE = 1600, 1.5


class Fleet:
    """Processes of ten workers each."""

    def __init__(self, settings: Settings, folder: Path, workers: int, slower: float) -> None:
        self._slower = str(slower)
        self._environment = worker_environment(
            settings, BEYOND_BATCH_REVIEWS="256", BEYOND_LOG_LEVEL="ERROR", OMP_NUM_THREADS="1"
        )
        self._folder, self._names = folder, itertools.count()
        self.running = [self._start() for _ in range(workers // TOGETHER)]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.fleet_worker", str(self._folder)]
        return subprocess.Popen(
            [*command, str(TOGETHER), f"node{next(self._names)}", self._slower], env=self._environment, cwd=ROOT,
            preexec_fn=die_with_parent,
        )  # fmt: skip

    def kill_one(self) -> None:
        """SIGKILL ten workers; ten others start when they would have loaded their models."""
        process = self.running.pop(0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(RELOAD_SECONDS)
        self.running.append(self._start())

    def stop(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()


class Watch(threading.Thread):
    """When so many reviews were analysed, (seconds, analysed), ten times a second; and what was saved in each minute."""

    def __init__(self, connection: Any, expected: int) -> None:
        super().__init__(daemon=True)
        self._redis, self._store, self._expected = connection, Store(connection), expected
        self._saved: dict[int, int] = {}
        self.curve: list[tuple[float, int]] = []

    def run(self) -> None:
        told, going = time.monotonic(), True
        while going:
            done = self._store.counts()["analysed"]
            going = done < self._expected
            self.curve.append((time.monotonic(), done))
            if self.curve[-1][0] > told + TOLD_EVERY_SECONDS:
                told = self.curve[-1][0]
                tell(f"analysed: {done:,} of {self._expected:,}")
                self.saved()
            time.sleep(0.1)

    def saved(self) -> int:
        """Analyses saved until now, twice ones twice. The server keeps its counts ten minutes: look more often."""
        minute = int(self._redis.time()[0]) // 60
        for number in range(minute - 2, minute + 1):
            self._saved[number] = int(self._redis.get(f"b:rate:{number}") or 0)
        return sum(self._saved.values())

    def rate(self) -> float:
        """Reviews a second between a tenth and nine tenths of all."""
        at = [
            next(point for point in self.curve if point[1] >= share * self._expected)
            for share in (0.1, 0.9)
        ]
        return (at[1][1] - at[0][1]) / (at[1][0] - at[0][0])


def measured(settings: Settings, connection: Any, run: Run) -> Run:
    """Fill `run.seen`; everything stored must be analysed and nothing left when it ends."""
    connection.flushall()
    store = Store(connection, max_queued=10_000_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = usage(connection)
        take_in(run, store)
        run.seen["put_us"] = 1e6 * (usage(connection)["cpu"] - before["cpu"]) / run.backlog
        fleet = Fleet(settings, folder, run.workers, run.slower)
        try:
            while connection.scard("rq:workers") < run.workers:
                time.sleep(0.1)
            work(run, connection, store, fleet, folder)
        finally:
            fleet.stop()
        summarise(run, folder)
    return run


def take_in(run: Run, store: Store) -> None:
    """Store and enqueue the backlog; never more than a few thousand reviews are in this process."""
    chunk, told = (CHUNK if run.lane == BACKFILL else 1), time.monotonic()
    for start in range(0, run.backlog, 100 * CHUNK):
        made = reviews(min(100 * CHUNK, run.backlog - start), f"{start}.")
        for at in range(0, len(made), chunk):
            store.put(made[at : at + chunk], run.lane)
        if time.monotonic() > told + TOLD_EVERY_SECONDS:
            told = time.monotonic()
            tell(f"taken in: {start + len(made):,} of {run.backlog:,}")


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def room(run: Run) -> None:
    """Stop where the server would not fit into this machine's memory.

    Raises:
        SystemExit: it says how much there is, and for how many reviews that will do.
    """
    each = REVIEW_BYTES + (0 if run.lane == BACKFILL else LIVE_JOB_BYTES)
    free = next(
        1024 * int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable")
    )
    fits = int(free / SERVER_SPARE / each)
    if run.backlog > fits:
        raise SystemExit(
            f"{run.backlog:,} reviews need {SERVER_SPARE * run.backlog * each / 1e9:.1f} GB for the "
            f"server, {free / 1e9:.1f} GB are free; --reviews {fits} fits"
        )


def work(run: Run, connection: Any, store: Store, fleet: Fleet, folder: Path) -> None:
    """From the start signal until all is analysed; live reviews and kills meanwhile."""
    arrived: dict[str, float] = {}
    lives = reviews(int(run.live_per_second * run.live_seconds), "live")
    expected = run.backlog + len(lives)
    before, begun = usage(connection), time.monotonic()
    watch = Watch(connection, expected)
    watch.start()
    (folder / "go").touch()
    jobs = [threading.Thread(target=arrive, args=(store, lives, run.live_per_second, arrived))]
    if run.kills:
        jobs.append(threading.Thread(target=kill_often, args=(fleet, watch), daemon=True))
    for job in jobs:
        job.start()
    watch.join()
    after, seconds = usage(connection), time.monotonic() - begun
    for job in jobs:
        job.join()
    while any(w or f for w, f, _ in load(connection, QUEUES).values()):
        time.sleep(0.05)
    counts = store.counts()
    assert counts["analysed"] == counts["stored"] == expected, counts
    assert all(dead == 0 for _, _, dead in load(connection, QUEUES).values())
    (folder / "arrived.json").write_text(json.dumps(arrived))
    run.seen |= {
        "seconds": seconds,
        "rate": watch.rate(),
        "saved_twice": watch.saved() - expected,
        "bytes": after["bytes"],
        "cpu": (after["cpu"] - before["cpu"]) / seconds,
        "cpu_us": 1e6 * (after["cpu"] - before["cpu"]) / expected,
        "scripts": 1000 * (after["scripts"] - before["scripts"]) / expected,
        "sleeps": 1000 * (after["sleeps"] - before["sleeps"]) / expected,
        "commands": (after["commands"] - before["commands"]) / expected,
    }


def arrive(store: Store, lives: list[Any], per_second: float, arrived: dict[str, float]) -> None:
    """Put a live review at a time, evenly, as webhooks do."""
    for review in lives:
        arrived[review.id] = time.time()
        store.put([review], LIVE)
        time.sleep(1 / per_second)


def kill_often(fleet: Fleet, watch: Watch) -> None:
    """A tenth of a hundred workers every minute; the first after ten seconds."""
    wait = 10.0
    while watch.is_alive():
        watch.join(wait)
        if watch.is_alive():
            fleet.kill_one()
        wait = KILL_EVERY_SECONDS - RELOAD_SECONDS


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--workers", type=int, nargs="+", default=[10, 50, 100])
    parse.add_argument(
        "--reviews", type=int, default=0, help="waiting; default: two batches a worker"
    )
    parse.add_argument("--live", type=float, default=0, help="reviews a second beside")
    parse.add_argument("--live-seconds", type=float, default=30, help="for so long")
    parse.add_argument("--lane", choices=QUEUES, default=BACKFILL, help="where they wait")
    parse.add_argument(
        "--slower",
        type=float,
        default=1,
        help="GPUs by so many times, where the cores here are few",
    )
    parse.add_argument("--kills", action="store_true", help="ten workers a minute, by SIGKILL")
    options = parse.parse_args()
    print(
        f"{REVIEWS_A_SECOND:.0f} reviews/s a GPU, / {options.slower:g}; {os.cpu_count()} cores here, load {os.getloadavg()[0]:.1f}"
    )
    print(header())
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(home=Path(name))
        connection = broker.connect(settings)
        for workers in options.workers:
            waiting = options.reviews or workers * 1024
            run = Run(
                workers, waiting, options.live, options.live_seconds, options.kills, options.lane,
                options.slower,
            )  # fmt: skip
            room(run)
            print(row(measured(settings, connection, run)), flush=True)
        print(limits(run))
        broker.release(settings.home)


if __name__ == "__main__":
    main()
