"""What `beyond status` shows, in two round trips of a fixed number of commands, whatever is stored or runs.

It reads RQ's registry of workers by its keys: `rq:workers` is a SET of the keys of hashes. It does
not know RQ's classes, models or how any of it is printed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from shared.stream.calls import call
from shared.stream.names import failed_key, flight_key, queue_key

# Dead letters per queue whose reasons are told: enough to see what goes wrong; `beyond failed list`
# has all.
NEWEST_LETTERS = 20
_STATS = ("stored", "analysed")


@dataclass(frozen=True)
class QueueStatus:
    """Jobs by where they are; `reasons` of the newest dead letters, with how many each."""

    waiting: int
    in_flight: int
    dead_letters: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class WorkerStatus:
    """A worker that has beaten lately: `state` is idle, busy, ..., `host` is HOST:PID.

    `precision`: what its language model computes in (nf4, bfloat16, float32); "" where it has none.
    """

    name: str
    state: str
    host: str
    precision: str = ""


@dataclass(frozen=True)
class Status:
    """All of it, seen within milliseconds, though not at one moment."""

    stored: int
    analysed: int
    analysed_per_minute: float
    queues: dict[str, QueueStatus]
    workers: tuple[WorkerStatus, ...]
    warnings: dict[str, str]
    memory_bytes: int
    memory_limit_bytes: int  # 0: none


def status(connection: redis.Redis, queues: Sequence[str]) -> Status:
    """Ask the server.

    Raises:
        TemporaryFailure: it cannot be used.
    """
    now = call(connection.time)[0]  # rates are counted by the server's clock
    minute = now // 60
    pipe = connection.pipeline(transaction=False)
    pipe.hmget("b:stats", _STATS)
    pipe.mget(f"b:rate:{minute - 1}", f"b:rate:{minute}")
    pipe.hgetall("b:warnings")
    pipe.info("memory")
    pipe.info("persistence")
    # One command for all workers; BY a constant: no order, no lookups for it. SORT_RO: a server
    # whose disk is full refuses SORT as a write, and status must say then what is wrong.
    facts = ("#", "*->state", "*->hostname", "*->pid", "*->precision")
    wanted = [word for fact in facts for word in ("GET", fact)]
    pipe.execute_command("SORT_RO", "rq:workers", "BY", "nosort", *wanted)
    for queue in queues:
        pipe.llen(queue_key(queue))
        pipe.zcard(flight_key(queue))
        pipe.zcard(failed_key(queue))
        newest = ("BY", "nosort", "LIMIT", 0, NEWEST_LETTERS, "GET", "rq:job:*->reason", "DESC")
        pipe.execute_command("SORT_RO", failed_key(queue), *newest)
    (stored, analysed), rates, warnings, memory, disk, workers, *rest = call(pipe.execute)
    seen = {queue: _queue(rest[4 * i : 4 * i + 4]) for i, queue in enumerate(queues)}
    return Status(
        stored=int(stored or 0),
        analysed=int(analysed or 0),
        analysed_per_minute=sum(int(r or 0) for r in rates) / (1 + now % 60 / 60),
        queues=seen,
        workers=tuple(_workers(workers)),
        warnings=in_force(warnings) | _disk(disk),
        memory_bytes=int(memory["used_memory"]),
        memory_limit_bytes=int(memory.get("maxmemory", 0)),
    )


def _queue(found: Sequence[Any]) -> QueueStatus:
    waiting, in_flight, dead, reasons = found
    told = Counter((reason or b"unknown").decode() for reason in reasons)
    return QueueStatus(waiting, in_flight, dead, dict(told.most_common()))


def _workers(found: Sequence[bytes | None]) -> list[WorkerStatus]:
    """From five values a worker; one whose hash has run out has no host and is gone."""
    out = []
    for key, state, host, pid, precision in zip(*[iter(found)] * 5, strict=True):
        if key is not None and host is not None:
            name = key.decode().removeprefix("rq:worker:")
            where = f"{host.decode()}:{int(pid or 0)}"
            told = (state or b"?").decode(), where, (precision or b"").decode()
            out.append(WorkerStatus(name, *told))
    return sorted(out, key=lambda worker: worker.host)


def in_force(found: dict[bytes, bytes]) -> dict[str, str]:
    """The warnings that still hold, by kind; see Store.warn for the form."""
    out, now = {}, time.time()
    for kind, kept in found.items():
        until, _, text = kept.decode().partition(" ")
        if float(until) == 0 or float(until) > now:
            out[kind.decode()] = text
    return out


def _disk(found: dict[str, Any]) -> dict[str, str]:
    if found.get("aof_enabled") and found.get("aof_last_write_status") != "ok":
        text = "the server cannot write its AOF; is the disk full? Reviews are refused until it can"
        return {"disk": text}
    return {}
