"""What the webhook refuses before it knows what a request says: too many at once, too large, too slow.

Connections and headers are limited before (connections.py), senders by rates.py. It does not know
platforms or reviews.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Misconfigured, Overloaded
from shared.telemetry import REQUEST_SECONDS

PROBLEM = "application/problem+json"  # RFC 9457
_NO_ROOM = JSONResponse(
    {
        "type": "about:blank",
        "title": "Try again later",
        "status": 503,
        "detail": "as many deliveries as may be (BEYOND_WEBHOOK_WAITING) are at work already",
    },
    503,
    {"Retry-After": "1"},
    PROBLEM,
)


class Refused(Exception):
    """A request that is refused by its form; `status` is HTTP's."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Room:
    """How many deliveries may be at work at once, and how many bytes their bodies may take in all."""

    def __init__(self, most: int, max_bytes: int, seconds: float) -> None:
        """`max_bytes` of one body, which must arrive within `seconds`."""
        self._most, self._max_bytes, self._seconds = most, max_bytes, seconds
        # Most bodies are a hundredth of what one may be: memory for a tenth of them at full size.
        self._most_held = max(max_bytes, most * max_bytes // 10)
        self._inside = self._held = 0

    def enter(self) -> bool:
        """Take a place; False where there is none. Who took one leaves."""
        if self._inside >= self._most:
            return False
        self._inside += 1
        return True

    def leave(self) -> None:
        """Free the place."""
        self._inside -= 1
        if not self._inside:
            self._held = 0

    def release(self, body: bytes | bytearray) -> None:
        """The body is not held any longer."""
        self._held = max(0, self._held - len(body))

    async def body_of(self, request: Request) -> bytes:
        """The whole body; give it back by `release`.

        Raises:
            Refused: it is too large (413, told by its Content-Length or as soon as it is), too slow
                (408), or its sender is gone (400).
            Overloaded: the bodies at work fill the room.
        """
        told = request.headers.get("content-length", "")
        if told.isdecimal() and int(told[:20]) > self._max_bytes:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for part in request.stream():
                    body += part
                    self._held += len(part)
                    if len(body) > self._max_bytes:
                        raise self._too_large()
                    if self._held > self._most_held:
                        raise Overloaded("the bodies of the deliveries at work fill the memory", 1)
        except TimeoutError:
            self.release(body)
            raise Refused(408, f"the body did not arrive within {self._seconds:g} s") from None
        except ClientDisconnect:
            self.release(body)
            raise Refused(400, "the sender hung up") from None
        except BaseException:
            self.release(body)
            raise
        return bytes(body)

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than {self._max_bytes} bytes")


class Gate:
    """ASGI middleware before all else: no room is said at the least cost, and every request is timed by status."""

    def __init__(self, app: ASGIApp, room: Room) -> None:
        self._app, self._room = app, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Only what may store something needs room; health is told also under load."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun, status = time.perf_counter(), "500"

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        needs_room = scope["method"] == "POST"
        entered = needs_room and self._room.enter()
        try:
            if needs_room and not entered:
                await _NO_ROOM(scope, receive, watched)
            else:
                await self._app(scope, receive, watched)
        finally:
            if entered:
                self._room.leave()
            REQUEST_SECONDS.labels(status).observe(time.perf_counter() - begun)


def address_of(request: Request) -> str:
    """Who sent it, or "" where that cannot be known (a unix socket)."""
    return request.client.host if request.client else ""


class Networks:
    """A set of addresses: `ip in Networks("10.0.0.0/8, ::1")`."""

    def __init__(self, setting: str) -> None:
        """The setting's text.

        Raises:
            Misconfigured: one of them is neither an address nor a network.
        """
        self.names: Sequence[str] = [one.strip() for one in setting.split(",") if one.strip()]
        try:
            self._networks = [ipaddress.ip_network(name, strict=False) for name in self.names]
        except ValueError as error:
            raise Misconfigured(
                f"BEYOND_TRUSTED_PROXIES: {error}; write addresses or networks, e.g. 10.0.0.0/8, ::1"
            ) from None

    def __contains__(self, address: object) -> bool:
        try:
            ip = ipaddress.ip_address(str(address))
        except ValueError:
            return False
        return any(ip in network for network in self._networks)
