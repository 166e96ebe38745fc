"""Claim: one server feeds 100 GPU nodes. Real claims, leases and settling; models that sleep as phi-2 on an H100 would.

    python benchmarks/fleet.py                                    10, 50 and 100 workers, then live reviews behind a backlog
    python benchmarks/fleet.py --workers 100 --reviews 1000000 --live 20 --kills

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
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

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


@dataclass
class Run:
    """One row: what was asked for, and what was seen."""

    workers: int
    backlog: int
    live_per_second: float = 0
    kills: bool = False
    lane: str = BACKFILL
    slower: float = 1
    seen: dict[str, float] = field(default_factory=dict)


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
    """When so many reviews were analysed: (seconds, analysed), ten times a second."""

    def __init__(self, store: Store, expected: int) -> None:
        super().__init__(daemon=True)
        self._store, self._expected = store, expected
        self.curve: list[tuple[float, int]] = []

    def run(self) -> None:
        done = 0
        while done < self._expected:
            done = self._store.counts()["analysed"]
            self.curve.append((time.monotonic(), done))
            time.sleep(0.1)

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
        chunk = CHUNK if run.lane == BACKFILL else 1
        for start in range(0, run.backlog, 100 * CHUNK):
            made = reviews(min(100 * CHUNK, run.backlog - start), f"{start}.")
            for at in range(0, len(made), chunk):
                store.put(made[at : at + chunk], run.lane)
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


def work(run: Run, connection: Any, store: Store, fleet: Fleet, folder: Path) -> None:
    """From the start signal until all is analysed; live reviews and kills meanwhile."""
    arrived: dict[str, float] = {}
    lives = reviews(int(run.live_per_second * 30), "live")
    expected = run.backlog + len(lives)
    before, begun = usage(connection), time.monotonic()
    watch = Watch(store, expected)
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
    saved = sum(int(connection.get(k)) for k in connection.scan_iter("b:rate:*"))
    assert counts["analysed"] == counts["stored"] == expected, counts
    assert all(dead == 0 for _, _, dead in load(connection, QUEUES).values())
    (folder / "arrived.json").write_text(json.dumps(arrived))
    run.seen |= {
        "seconds": seconds,
        "rate": watch.rate(),
        "saved_twice": saved - expected,
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


def usage(connection: Any) -> dict[str, float]:
    """The server's CPU seconds, commands (those inside scripts too), scripts, waits for work."""
    stats = connection.info("commandstats")
    cpu = connection.info("cpu")

    def calls(*names: str) -> float:
        return float(sum(stats.get(f"cmdstat_{n}", {"calls": 0})["calls"] for n in names))

    return {
        "cpu": cpu["used_cpu_user"] + cpu["used_cpu_sys"],
        "commands": float(connection.info("stats")["total_commands_processed"]),
        "scripts": calls("eval", "evalsha"),
        "sleeps": calls("blpop"),
    }


def summarise(run: Run, folder: Path) -> None:
    """What the workers noted: the share of time their models ran, and how long claims and live reviews took."""
    batches = [
        json.loads(line) for p in folder.glob("*.jsonl") for line in p.read_text().splitlines()
    ]
    busy = whole = 0.0
    by_worker: dict[str, list[dict[str, Any]]] = {}
    for batch in batches:
        by_worker.setdefault(batch["worker"], []).append(batch)
    full = max(b["reviews"] for b in batches)
    for mine in by_worker.values():
        for last, batch in itertools.pairwise(sorted(mine, key=lambda b: b["ended"])):
            if batch["reviews"] == full:  # the last ones of a backlog are smaller
                busy += batch["model"]
                whole += batch["ended"] - last["ended"]
    claims = sorted(c for b in batches for c in b["claims"])
    arrived = json.loads((folder / "arrived.json").read_text())
    waits = sorted(b["begun"] - arrived[i] for b in batches for i in b["live"] if i in arrived)
    # Of each process from its first noted batch to its last.
    spent = 0.0
    for process in {b["process"] for b in batches}:
        used = [b["cpu"] for b in batches if b["process"] == process]
        spent += max(used) - min(used)
    run.seen |= {
        "worker_us": 1e6 * spent / sum(b["reviews"] for b in batches),
        "of_ideal": busy / whole,
        "claim_p99_ms": 1000 * statistics.quantiles(claims, n=100)[98],
        "live_p50": waits[len(waits) // 2] if waits else 0,
        "live_max": waits[-1] if waits else 0,
    }


def row(run: Run) -> str:
    s, what = run.seen, f"{run.workers} workers, {run.backlog:,} waiting in {run.lane}"
    what += f", {run.live_per_second:.0f} live/s" if run.live_per_second else ""
    what += ", a tenth killed a minute" if run.kills else ""
    live = f"{s['live_p50']:.2f}/{s['live_max']:.2f}" if run.live_per_second else "-"
    # With fewer batches a worker, where they begin and end says more than how fast they are.
    rate = f"{s['rate']:,.0f}" if run.backlog >= 6 * 512 * run.workers else "-"
    return (
        f"{what:62}{rate:>9}{100 * s['of_ideal']:9.1f}%{100 * s['cpu']:8.0f}%{s['cpu_us']:9.1f}"
        f"{s['put_us']:9.1f}{s['worker_us']:10.1f}{s['scripts']:10.1f}{s['sleeps']:8.1f}{s['commands']:9.1f}{s['claim_p99_ms']:9.1f}"
        f"{live:>13}{s['saved_twice']:9.0f}{s['seconds']:8.1f}"
    )


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--workers", type=int, nargs="+", default=[10, 50, 100])
    parse.add_argument(
        "--reviews", type=int, default=0, help="waiting; default: two batches a worker"
    )
    parse.add_argument("--live", type=float, default=0, help="reviews a second beside, for 30 s")
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
    print(
        f"{'':62}{'rev./s':>9}{'of ideal':>10}{'server':>9}{'us/rev.':>9}{'put us':>9}{'worker us':>10}{'scr./1000':>10}"
        f"{'blpop':>8}{'cmds':>9}{'claim99':>9}{'live p50/max':>13}{'twice':>9}{'s':>8}"
    )
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(home=Path(name))
        connection = broker.connect(settings)
        for workers in options.workers:
            waiting = options.reviews or workers * 1024
            run = Run(workers, waiting, options.live, options.kills, options.lane, options.slower)
            print(row(measured(settings, connection, run)), flush=True)
        broker.release(settings.home)


if __name__ == "__main__":
    main()
