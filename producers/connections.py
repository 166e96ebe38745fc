"""Connections that cannot be held open for nothing: uvicorn's protocol with limits on what comes before a body.

A request's headers must arrive within a time, and be few and short; of one address only so many
connections are open. It does not know paths, bodies or reviews: what an app may judge is judged in
limits.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from producers.limits import Networks
from shared.settings import Settings

# Apache's and nginx's defaults are 100 and 4 x 8 KB; platforms send some 20 headers of 2 KB in all.
MOST_HEADERS = 64
MOST_HEAD_BYTES = 16 * 1024


@dataclass
class ConnectionLimits:
    """Shared by all connections of a process.

    `head_seconds`: from a connection's begin, or a request's first byte, to the end of its headers.
    `proxies`: addresses that may hold any number of connections, for many senders.
    `body_bytes`: on the wire, chunk sizes and trailers included; what it holds is the app's to judge.
    """

    head_seconds: float
    body_bytes: int
    most: int = 1000
    most_of_one_address: int = 200
    proxies: Container[str] = ()
    open_of: Counter[str] = field(default_factory=Counter)


class DoorProtocol(HttpToolsProtocol):
    """One connection. `limits` comes first, by functools.partial; the rest is uvicorn's."""

    def __init__(self, limits: ConnectionLimits, **uvicorn_gives: Any) -> None:
        super().__init__(**uvicorn_gives)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = self._body_bytes = self._header_count = 0
        self._in_body = False
        self._too_many = False
        self._peer = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Where too many are open already, it is refused at its first byte: an answer before is often lost."""
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        limits = self._limits
        limits.open_of[self._peer] += 1
        of_one = limits.open_of[self._peer] > limits.most_of_one_address
        self._too_many = len(self.connections) > limits.most or (
            of_one and self._peer not in limits.proxies
        )
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._head_came()
        self._limits.open_of[self._peer] -= 1
        if self._limits.open_of[self._peer] <= 0:
            del self._limits.open_of[self._peer]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes outside a body count as headers.

        A body that nobody reads any more must end in the same time.
        """
        if self.transport.is_closing():
            return
        if self._too_many:
            return self._refuse(503, "too many connections are open")
        if not self._in_body:
            self._head_bytes += len(data)
        else:
            self._body_bytes += len(data)
        answered = self.cycle is not None and self.cycle.response_complete
        if self._deadline is None and (answered or not self._in_body):
            self._await_head()
        super().data_received(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(431, f"the headers are larger than {MOST_HEAD_BYTES} bytes")
        elif self._body_bytes > self._limits.body_bytes:
            self._refuse(413, f"the body is larger than {self._limits.body_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counted as they come."""
        self._header_count += 1
        if self._header_count <= MOST_HEADERS:
            super().on_header(name, value)
        elif self._header_count == MOST_HEADERS + 1:
            self._refuse(431, f"there are more than {MOST_HEADERS} headers")

    def on_headers_complete(self) -> None:
        """From here on the app has its own time limit, for the body."""
        self._head_came()
        self._in_body = True
        self._head_bytes = self._body_bytes = 0
        if not self.transport.is_closing():
            super().on_headers_complete()
        self._header_count = 0

    def on_body(self, body: bytes) -> None:
        """Nothing where the connection was refused."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """What follows is the next request's."""
        self._in_body = False
        self._body_bytes = 0
        self._head_came()
        if not self.transport.is_closing():
            super().on_message_complete()

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(
            self._limits.head_seconds,
            self._refuse,
            408,
            f"the headers did not arrive within {self._limits.head_seconds:g} s",
        )

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, detail: str) -> None:
        """Answer at once, where no answer is under way, and close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = detail.encode()
            phrase = HTTPStatus(status).phrase
            retry = "retry-after: 5\r\n" if status == 503 else ""
            head = (
                f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain\r\n{retry}"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()


def door_config(
    app: Any, settings: Settings, host: str, port: int, limits: ConnectionLimits | None = None
) -> uvicorn.Config:
    """How uvicorn serves the app behind these limits; by default those of the settings.

    Raises:
        Misconfigured: BEYOND_TRUSTED_PROXIES is no list of addresses and networks.
    """
    limits = limits or ConnectionLimits(
        head_seconds=settings.webhook_seconds,
        # A body in chunks of one byte takes six times its size on the wire.
        body_bytes=8 * settings.webhook_max_bytes,
        proxies=Networks(settings.trusted_proxies),
    )
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=partial(DoorProtocol, limits),  # type: ignore[arg-type]
        ws="none",
        proxy_headers=False,  # BEYOND_TRUSTED_PROXIES decides, not uvicorn's own variable
        log_level="warning",
        access_log=False,
    )
