"""Servers of a test's own: over TCP, with a password, watched by a Sentinel; one of a model; one of files.

All on the loopback.
"""

from __future__ import annotations

import functools
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import redis

from shared.stream.access import NAMES, acl_file, prepare
from shared.stream.guardian import binary
from tests.conftest import free_port, wait_until


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def tcp_server(folder: Path, password: str = "", port: int = 0) -> Iterator[int]:
    """The port of a running server."""
    port = port or free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    options += ["--requirepass", password, "--primaryauth", password] if password else []
    with _running([binary(), *options]):
        client = redis.Redis(port=port, password=password or None)
        assert wait_until(lambda: answers(client), 20)
        yield port


@contextmanager
def guarded_server(folder: Path, *more: str) -> Iterator[Callable[[str], str]]:
    """A server with the users of `beyond acl`, prepared; the function gives a role's URL."""
    port, passwords = free_port(), {name: secrets.token_urlsafe(24) for name in NAMES}
    (folder / "users.acl").write_text(acl_file(passwords))
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    options += ["--appendonly", "yes", "--aclfile", str(folder / "users.acl"), *more]
    with _running([binary(), *options]):

        def url(name: str) -> str:
            return f"redis://{name}:{passwords[name]}@127.0.0.1:{port}/0"

        admin = redis.Redis.from_url(url("admin"))
        assert wait_until(lambda: answers(admin), 20)
        prepare(admin)
        yield url


@contextmanager
def sentinel(folder: Path, master_port: int, password: str = "") -> Iterator[int]:
    """The port of a Sentinel that watches the server on `master_port` as `mymaster`."""
    port = free_port()
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {folder}",
        f"sentinel monitor mymaster 127.0.0.1 {master_port} 1",
        "sentinel down-after-milliseconds mymaster 1000",
        "sentinel failover-timeout mymaster 3000",
    ]
    lines += [f"sentinel auth-pass mymaster {password}"] if password else []
    config = folder / f"sentinel-{port}.conf"
    config.write_text("\n".join(lines) + "\n")
    with _running([binary(), str(config), "--sentinel"]):
        client = redis.Redis(port=port)
        assert wait_until(lambda: answers(client), 20)
        yield port


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def model_server(folder: Path) -> Iterator[str]:
    """The address of `transformers serve` with the model in `folder`, whose name there is its path."""
    port = free_port()
    start = "from transformers.cli.transformers import main; main()"
    arguments = ["serve", str(folder), "--port", str(port), "--device", "cpu"]
    url = f"http://127.0.0.1:{port}"

    def well() -> bool:
        try:
            return httpx.get(f"{url}/health").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    with _running([sys.executable, "-c", start, *arguments]):
        assert wait_until(well, 300)  # it imports all of transformers, beside whatever else runs
        yield f"{url}/v1"


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """The address at which the files under `folder` can be read."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = functools.partial(_Files, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
