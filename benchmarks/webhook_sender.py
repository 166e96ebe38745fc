"""A sender that costs little beside what it measures: raw HTTP over kept connections, for webhook_load.py.

A general client takes as long for a request as the webhook does, and on two cores it would be measured.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import uvloop

from benchmarks.webhook_postings import PLATFORMS, Posting

# Connections that one platform keeps at most; what is due meanwhile waits, and its time runs.
MOST_LINES = 100
TIMEOUT_SECONDS = 30


class _Line(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, platform: _Platform) -> None:
        self._platform, self._heard = platform, b""
        self._posting: tuple[Posting, float] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._platform.idle(self)

    def send(self, posting: Posting, due: float) -> None:
        assert self._transport is not None
        self._posting, posting.late = (posting, due), time.perf_counter() - due
        self._transport.write(posting.wire)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, end, body = self._heard.partition(b"\r\n\r\n")
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        self._heard = b""
        self._settle(int(head[9:12]))
        if b"connection: close" not in head.lower():
            self._platform.idle(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(-1)
        self._platform.lost(self)

    def _settle(self, status: int) -> None:
        if self._posting is not None:
            (posting, due), self._posting = self._posting, None
            posting.status, posting.seconds = status, time.perf_counter() - due
            self._platform.settled()


class _Platform:
    """The connections of one platform, from an address of its own."""

    def __init__(self, number: int, port: int, settled: Callable[[], None]) -> None:
        self._address, self._port, self.settled = f"127.0.0.{2 + number}", port, settled
        self._free: list[_Line] = []
        self._waiting: deque[tuple[Posting, float]] = deque()
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def post(self, posting: Posting, due: float) -> None:
        if self._free:
            self._free.pop().send(posting, due)
            return
        self._waiting.append((posting, due))
        if self._open < MOST_LINES:
            self._open += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def idle(self, line: _Line) -> None:
        if self._waiting:
            line.send(*self._waiting.popleft())
        else:
            self._free.append(line)

    def lost(self, line: _Line) -> None:
        self._open -= 1
        if line in self._free:
            self._free.remove(line)
        if self._waiting:
            self.post(*self._waiting.popleft())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: _Line(self), "127.0.0.1", self._port, local_addr=(self._address, 0)
        )


async def _send(
    port: int, work: list[Posting], rate: float, at: dict[float, Callable[[], None]]
) -> float:
    begun, left, all_settled = time.perf_counter(), len(work), asyncio.Event()

    def settled() -> None:
        nonlocal left
        left -= 1
        if not left:
            all_settled.set()

    platforms = [_Platform(i, port, settled) for i in range(len(PLATFORMS))]
    events = sorted(at.items())
    for i, posting in enumerate(work):
        due = begun + i / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        if events and i / rate >= events[0][0]:
            await asyncio.to_thread(events.pop(0)[1])
        platforms[posting.platform].post(posting, due)
    await asyncio.wait_for(all_settled.wait(), TIMEOUT_SECONDS)
    return time.perf_counter() - begun


def send(
    port: int, work: list[Posting], rate: float, at: dict[float, Callable[[], None]] | None = None
) -> float:
    """Send each when it is due; `at`: what to do so many seconds after the begin. Returns the seconds it took."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send(port, work, rate, at or {}))
