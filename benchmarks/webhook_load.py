"""Claim: the webhook takes mixed platforms at 300 requests/s with every review on disk before its 202,
says 503 quickly when it gets three times as much, and loses and doubles nothing, also while its
server is killed.

Beside it, in the same run, a bare Starlette route that does one durable XADD (XADD + WAITAOF) for
each request on the same server. A request every 1/rate, however slow the answers; latencies count
from the moment at which it was due.

    python benchmarks/webhook_load.py [--rate 300] [--seconds 20] [--rounds 2] [--only steady]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402

from benchmarks.webhook_postings import PLATFORMS, Posting, postings  # noqa: E402
from benchmarks.webhook_sender import send  # noqa: E402
from shared.settings import Settings  # noqa: E402
from shared.stream import broker  # noqa: E402

OURS, PEER = "ours", "bare Starlette + durable XADD"
PEER_APP = """
import os, redis.asyncio as redis
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
client = redis.Redis.from_url(os.environ["URL"])
async def reviews(request):
    body = await request.body()
    pipe = client.pipeline(transaction=False)
    pipe.xadd("peer", {"body": body})
    pipe.execute_command("WAITAOF", 1, 0, 5000)
    await pipe.execute()
    return JSONResponse({}, 202)
async def healthz(request):
    return JSONResponse({})
app = Starlette(routes=[Route("/reviews/{rest:path}", reviews, methods=["POST"]),
                        Route("/reviews", reviews, methods=["POST"]), Route("/healthz", healthz)])
import uvicorn
uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False)
"""


@dataclass
class Run:
    """What one scenario gave."""

    sent: list[Posting]
    seconds: float
    memory: tuple[float, float] = (0, 0)
    cpu: float = 0.0
    notes: list[str] = field(default_factory=list)

    def quantile(self, share: float, *statuses: int) -> float:
        found = sorted(p.seconds for p in self.sent if not statuses or p.status in statuses)
        return found[min(len(found) - 1, int(len(found) * share))] * 1e3 if found else float("nan")

    def acknowledged(self) -> set[str]:
        return {p.review for p in self.sent if p.status in (200, 202)}


class Door:
    """A running webhook, ours or the peer's, beside a server of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.settings = Settings(home=folder / "home")
        self.server = broker.connect(self.settings)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        environment = {
            **os.environ,
            "BEYOND_HOME": str(self.settings.home),
            "BEYOND_WEBHOOK_TOKEN": "secret",
            "BEYOND_PLATFORM_SECRETS": json.dumps({n: ["hush"] for n in PLATFORMS if n}),
            "BEYOND_LOG_LEVEL": "ERROR",
            "PYTHONPATH": str(ROOT),
            "URL": broker.server_url(self.settings),
            "PORT": str(self.port),
        }
        command = ["-m", "beyond", "webhook", "--port", str(self.port)]
        command = command if name == OURS else ["-c", PEER_APP]
        self.process = subprocess.Popen(
            [sys.executable, *command], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/healthz")
                break
            except httpx.HTTPError:
                time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.server.close()
        broker.release(self.settings.home)

    def memory(self) -> float:
        """MiB that the process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stored(self, ids: set[str]) -> tuple[int, int]:
        """(how many of `ids` are not stored, how many jobs wait beyond one each)."""
        if self.name == PEER:
            return len(ids) - min(len(ids), self.server.xlen("peer")), 0
        lost = sum(not self.server.exists(f"b:r:{i}") for i in ids)
        waiting = self.server.lrange("rq:queue:live", 0, -1)
        stored = int(self.server.hget("b:stats", "stored") or 0)
        return lost, len(waiting) - stored

    def kill_server(self) -> None:
        os.kill(int(self.server.info("server")["process_id"]), signal.SIGKILL)


def run(door: Door, rate: float, seconds: float, kills: tuple[float, ...] = ()) -> Run:
    work = postings(int(rate * seconds), f"{time.time_ns()}")
    memory, cpu = door.memory(), door.cpu()
    took = send(door.port, work, rate, {moment: door.kill_server for moment in kills})
    return Run(work, took, (memory, door.memory()), door.cpu() - cpu)


def steady(rate: float, seconds: float, rounds: int) -> None:
    """Both at the same rate, in turn."""
    print(f"\nSteady: {rate:g} requests/s for {seconds:g} s, mixed platforms, durable")
    print(
        f"{'':32}{'answers/s':>10}{'p50 ms':>8}{'p99 ms':>8}{'not 2xx':>8}{'lost':>6}{'doubled':>8}"
        f"{'MiB':>12}{'CPU ms':>8}"
    )
    found: dict[str, list[Run]] = {OURS: [], PEER: []}
    for _ in range(rounds):
        for name, runs in found.items():
            with tempfile.TemporaryDirectory() as folder:
                door = Door(name, Path(folder))
                run(door, rate, 2)
                result = run(door, rate, seconds)
                lost, doubled = door.stored(result.acknowledged())
                door.stop()
            runs.append(result)
            bad = len(result.sent) - len(result.acknowledged())
            print(
                f"{name:32}{len(result.sent) / result.seconds:10.0f}{result.quantile(0.5):8.0f}"
                f"{result.quantile(0.99):8.0f}{bad:8d}{lost:6d}{doubled:8d}"
                f"{result.memory[0]:6.0f}{result.memory[1]:6.0f}{result.cpu / len(result.sent) * 1e3:8.2f}"
            )
    for share, label in ((0.5, "p50"), (0.99, "p99")):
        ratios = [
            a.quantile(share) / b.quantile(share)
            for a, b in zip(found[OURS], found[PEER], strict=True)
        ]
        print(f"ratio ours/peer, median of {rounds}: {label} {statistics.median(ratios):.2f}")


def overload(rate: float, seconds: float) -> None:
    """Three times the rate, then a third of it."""
    print(f"\nOverload: {3 * rate:g} requests/s for {seconds:g} s, then {rate / 3:g} requests/s")
    for name in (OURS, PEER):
        with tempfile.TemporaryDirectory() as folder:
            door = Door(name, Path(folder))
            run(door, rate, 2)
            much = run(door, 3 * rate, seconds)
            after = run(door, rate / 3, 5)
            lost, doubled = door.stored(much.acknowledged() | after.acknowledged())
            door.stop()
        answers = Counter(p.status for p in much.sent)
        print(
            f"{name:32} {dict(sorted(answers.items()))}; p99 {much.quantile(0.99, 200, 202):.0f} ms of 202, "
            f"p50 {much.quantile(0.5, 429, 503):.0f} and p99 {much.quantile(0.99, 429, 503):.0f} ms of 503; all answered after {much.seconds:.1f} s; "
            f"afterwards p99 {after.quantile(0.99):.0f} ms, {len(after.sent) - len(after.acknowledged())} "
            f"refused; lost {lost}, doubled {doubled}; memory {much.memory[0]:.0f} -> {after.memory[1]:.0f} MiB; "
            f"the sender itself was late by {max(p.late for p in much.sent):.1f} s at most"
        )


def killed(rate: float, seconds: float) -> None:
    """The server is killed twice under load; what was not acknowledged is sent again."""
    print(f"\nServer killed twice: {rate:g} requests/s for {seconds:g} s")
    with tempfile.TemporaryDirectory() as folder:
        door = Door(OURS, Path(folder))
        result = run(door, rate, seconds, (seconds / 3, 2 * seconds / 3))
        first = result.acknowledged()
        lost, _ = door.stored(first)
        again = 0
        while left := [p for p in result.sent if p.status not in (200, 202)]:
            again += 1
            send(door.port, left, rate)
        missing, doubled = door.stored(result.acknowledged())
        door.stop()
    print(
        f"{len(result.sent)} sent, {len(first)} acknowledged at once, of these lost: {lost}; the others sent "
        f"again ({again} rounds): missing {missing}, doubled {doubled}; p50 {result.quantile(0.5):.0f} ms, "
        f"p99 {result.quantile(0.99):.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=["steady", "overload", "killed"])
    options = parser.parse_args()
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if options.only in (None, "steady"):
        steady(options.rate, options.seconds, options.rounds)
    if options.only in (None, "overload"):
        overload(options.rate, options.seconds)
    if options.only in (None, "killed"):
        killed(options.rate, options.seconds)


if __name__ == "__main__":
    main()
