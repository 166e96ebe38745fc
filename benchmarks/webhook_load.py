"""Claim: a 202 costs little more than its disk. POST /reviews at a fixed rate, beside a bare
Starlette route that does
one durable XADD (XADD + WAITAOF) on the same server.

    python benchmarks/webhook_load.py [--rate 100] [--seconds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402

from shared.settings import Settings  # noqa: E402
from shared.stream import broker  # noqa: E402

PEER = """
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
app = Starlette(routes=[Route("/reviews", reviews, methods=["POST"]), Route("/healthz", healthz)])
import uvicorn
uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def load(url: str, rate: float, seconds: float) -> tuple[float, list[float], int]:
    """(answers per second, latencies in s, refusals) of an open loop: a request every 1/rate,
    however slow the answers."""
    latencies: list[float] = []
    bad = 0
    async with httpx.AsyncClient(
        limits=httpx.Limits(max_connections=1000),
        timeout=30,
        headers={"Authorization": "Bearer secret"},
    ) as client:

        async def one(i: int) -> None:
            nonlocal bad
            body = {
                "text": f"Review {i}: we waited and the soup was cold. " * 8,
                "external_id": f"{time.time_ns()}-{i}",
                "created_at": "2026-03-01T00:00:00Z",
                "rating": 1,
            }
            begun = time.perf_counter()
            answer = await client.post(url, json=body)
            latencies.append(time.perf_counter() - begun)
            bad += answer.status_code != 202

        begun, tasks = time.perf_counter(), []
        for i in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + i / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(i)))
        await asyncio.gather(*tasks)
        return len(latencies) / (time.perf_counter() - begun), sorted(latencies), bad


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home")
        broker.connect(settings)
        results = {}
        for name in ("ours", "bare Starlette + durable XADD"):
            port = free_port()
            environment = {
                **os.environ,
                "BEYOND_HOME": str(settings.home),
                "BEYOND_WEBHOOK_TOKEN": "secret",
                "BEYOND_LOG_LEVEL": "WARNING",
                "PYTHONPATH": str(ROOT),
                "URL": broker.server_url(settings),
                "PORT": str(port),
            }
            command = (
                ["-m", "beyond", "webhook", "--port", str(port)] if name == "ours" else ["-c", PEER]
            )
            process = subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT)
            while True:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/healthz")
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            asyncio.run(load(f"http://127.0.0.1:{port}/reviews", options.rate, 2))
            results[name] = asyncio.run(
                load(f"http://127.0.0.1:{port}/reviews", options.rate, options.seconds)
            )
            process.terminate()
            process.wait()
        broker.release(settings.home)
    print(
        f"{'':34}{'answers/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'not 202':>9}   at {options.rate:g} requests/s"
    )
    for name, (rate, latencies, bad) in results.items():
        print(
            f"{name:34}{rate:11.1f}{latencies[len(latencies) // 2] * 1e3:9.0f}{latencies[int(len(latencies) * 0.99)] * 1e3:9.0f}{bad:9d}"
        )
    ours, peer = results["ours"][1], results["bare Starlette + durable XADD"][1]
    print(
        f"ratio ours/peer: p50 {ours[len(ours) // 2] / peer[len(peer) // 2]:.2f}, p99 {ours[int(len(ours) * 0.99)] / peer[int(len(peer) * 0.99)]:.2f}"
    )


if __name__ == "__main__":
    main()
