"""A real HTTP server that plays what a test tells it, and sources that are polled from it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from producers import poll_commands
from producers.poll.poller import Poller, Source
from shared.stream.store import store_of

# (status, headers, body); a body that is a function writes by itself, as slowly as it likes.
Answer = tuple[int, dict[str, str], "bytes | Callable[[Any], None]"]


class Played:
    """The server: `answer(path, query, headers)` decides; every request is kept in `asked`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.answer: Callable[[str, dict[str, str], dict[str, str]], Answer] = lambda *_: reply({})
        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(played) -> type[BaseHTTPRequestHandler]:  # type: ignore[misc] # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query, headers = (
                    dict(parse_qsl(parts.query)),
                    {k.lower(): v for k, v in self.headers.items()},
                )
                played.bodies.append(self.rfile.read(int(headers.get("content-length", 0))))
                played.asked.append((parts.path, query, headers))
                status, given, body = played.answer(parts.path, query, headers)
                self.send_response(status)
                for name, value in given.items():
                    self.send_header(name, value)
                if isinstance(body, bytes):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body) if isinstance(body, bytes) else body(self.wfile)
                except OSError:
                    pass  # the poller has had enough

            do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        return Handler

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


def reply(value: Any, status: int = 200, **headers: str) -> Answer:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, {n.replace("_", "-"): v for n, v in headers.items()}, body


def item(
    number: int, text: str = "The soup was cold.", day: int = 1, **more: Any
) -> dict[str, Any]:
    return {"id": number, "body": text, "stars": "2", "date": f"2026-03-{day:02}T12:00:00Z", **more}


@pytest.fixture
def played() -> Iterator[Played]:
    found = Played()
    yield found
    found.stop()


GENERIC = """
every_seconds = 600
[sources.blog.read]
each = "$.reviews[*]"
[sources.blog.fields]
external_id = "$.id"
text = "$.body"
rating = "$.stars"
created_at = "$.date"
happened_at = "$.changed"
"""


@pytest.fixture
def config(tmp_path: Path, played: Played) -> Callable[..., Path]:
    def write(text: str = "", head: str = "", fields: str = GENERIC) -> Path:
        path = tmp_path / "sources.toml"
        body = f'[sources.blog]\nurl = "{played.url}/reviews"\n{head}\n{fields}\n{text}'
        path.write_text(body.replace("SERVER", played.url))
        return path

    return write


class Polled:
    """A poller over a real server, with a jitter of nothing."""

    def __init__(self, settings: Any, server: Any) -> None:
        self.settings, self.server = settings, server

    def prepared(self, path: Path) -> tuple[Poller, list[Source]]:
        store = store_of(self.settings, self.server)
        poller, sources = poll_commands._prepared(self.settings, self.server, store, path)
        poller._jitter = lambda: 1.0
        return poller, sources

    def turn(self, path: Path, *, now: bool = True) -> Any:
        poller, sources = self.prepared(path)
        return poller.turn(sources[0], now=now)

    def texts(self) -> list[str]:
        return [r.text for r, _ in store_of(self.settings, self.server).all()]


@pytest.fixture
def polled(settings: Any, server: Any) -> Polled:
    return Polled(settings, server)
