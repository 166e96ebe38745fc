"""What a run of benchmarks/fleet.py showed: a row of figures, and how many servers ("cells") they mean.

It does not know how a run is made.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fleet_worker import REVIEWS_A_SECOND
from shared.stream.names import BACKFILL

# Of one core, so that a burst finds room; and cells are rounded up to a power of two, for the even
# spread by a hash.
FULL_SHARE = 0.6
# Bytes of a stored and analysed review on the server (docs/growing.md).
REVIEW_BYTES, CELL_REVIEWS = 805, 10_000_000


@dataclass
class Run:
    """One row: what was asked for, and what was seen."""

    workers: int
    backlog: int
    live_per_second: float = 0
    live_seconds: float = 30
    kills: bool = False
    lane: str = BACKFILL
    slower: float = 1
    seen: dict[str, float] = field(default_factory=dict)


def usage(connection: Any) -> dict[str, float]:
    """The server's CPU seconds, memory, commands (those inside scripts too), scripts, waits for work."""
    stats = connection.info("commandstats")
    cpu = connection.info("cpu")

    def calls(*names: str) -> float:
        return float(sum(stats.get(f"cmdstat_{n}", {"calls": 0})["calls"] for n in names))

    return {
        "cpu": cpu["used_cpu_user"] + cpu["used_cpu_sys"],
        "bytes": float(connection.info("memory")["used_memory"]),
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
        "of_ideal": busy / whole if whole else math.nan,
        "claim_p99_ms": 1000 * _share(claims, 0.99),
        "live_p50": _share(waits, 0.5),
        "live_p99": _share(waits, 0.99),
        "live_max": waits[-1] if waits else 0,
    }


def _share(values: list[float], share: float) -> float:
    """The quantile of sorted values; 0 without any, the only one of one."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[round(100 * share) - 1]


def header() -> str:
    """Names of a row's columns."""
    return (
        f"{'':62}{'rev./s':>13}{'of ideal':>10}{'server':>9}{'us/rev.':>9}{'put us':>9}{'worker us':>10}"
        f"{'scr./1000':>10}{'blpop':>8}{'cmds':>9}{'claim99':>9}{'live p50/p99/max':>18}{'twice':>7}"
        f"{'MB':>8}{'s':>8}"
    )


def row(run: Run) -> str:
    """One line under `header`."""
    s, what = run.seen, f"{run.workers} workers, {run.backlog:,} waiting in {run.lane}"
    what += f", {run.live_per_second:.0f} live/s" if run.live_per_second else ""
    what += ", ten killed a minute" if run.kills else ""
    live = "/".join(f"{s[k]:.2f}" for k in ("live_p50", "live_p99", "live_max"))
    # With fewer batches a worker, where they begin and end says more than how fast they are.
    ideal = run.workers * REVIEWS_A_SECOND / run.slower
    long = run.backlog >= 3 * 512 * run.workers
    rate = f"{s['rate']:,.0f} {s['rate'] / ideal:.0%}" if long else "-"
    return (
        f"{what:62}{rate:>13}{100 * s['of_ideal']:9.1f}%{100 * s['cpu']:8.0f}%{s['cpu_us']:9.1f}"
        f"{s['put_us']:9.1f}{s['worker_us']:10.1f}{s['scripts']:10.1f}{s['sleeps']:8.1f}"
        f"{s['commands']:9.1f}{s['claim_p99_ms']:9.1f}{live if run.live_per_second else '-':>18}"
        f"{s['saved_twice']:7.0f}{s['bytes'] / 1e6:8,.0f}{s['seconds']:8.1f}"
    )


def cells(per_review_us: float, reviews_a_second: float, kept_days: float) -> dict[str, float]:
    """What a stream needs, by CPU and by memory.

    Args:
        per_review_us: CPU of one server's thread a review, taken in and worked.
        reviews_a_second: of the stream.
        kept_days: how long reviews stay on the server.

    Returns:
        {"cores": of scripts, "gpus": phi-2 nodes, "by_cpu": servers at FULL_SHARE of a core each,
        rounded up to a power of two, "by_memory": servers of 10 million reviews, "gigabytes": of
        all servers}.
    """
    cores = reviews_a_second * per_review_us / 1e6
    held = reviews_a_second * 86_400 * kept_days
    return {
        "cores": cores,
        "gpus": math.ceil(reviews_a_second / REVIEWS_A_SECOND),
        "by_cpu": 2.0 ** max(0, math.ceil(math.log2(cores / FULL_SHARE))),
        "by_memory": math.ceil(held / CELL_REVIEWS),
        "gigabytes": held * REVIEW_BYTES / 1e9,
    }


def limits(run: Run) -> str:
    """Two lines: where one server is the limit, and what two streams need."""
    each = run.seen["cpu_us"] + run.seen["put_us"]
    most = FULL_SHARE * 1e6 / each
    lines = [
        f"{run.lane}: {each:.0f} us of the server a review; one core at {FULL_SHARE:.0%}: "
        f"{most:,.0f} reviews/s, {most / REVIEWS_A_SECOND:.0f} GPUs"
    ]
    for name, per_second in (("10 million a day", 1e7 / 86_400), ("10,000 a second", 1e4)):
        need = cells(each, per_second, kept_days=1)
        lines.append(
            f"  {name}: {need['cores']:.2f} cores, {need['gpus']} GPUs; cells: {need['by_cpu']:.0f} by CPU, "
            f"{need['by_memory']} by memory for each day kept ({need['gigabytes']:,.0f} GB)"
        )
    return "\n".join(lines)
