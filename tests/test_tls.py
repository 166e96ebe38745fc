"""TLS to the server, with certificates that openssl makes: trusted, refused, and asked for.

The wheel's server speaks no TLS, so these tests put a TLS endpoint in front of it, as stunnel
would; where a server with TLS is installed, they run on that one as well.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from shared.errors import Misconfigured, TemporaryFailure
from shared.settings import Settings
from shared.stream.broker import connect
from shared.stream.store import Store
from tests.conftest import CACHE, Processes, free_port, make_review, wait_until
from tests.servers import tcp_server


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    """NAME.key and NAME.crt, signed by itself."""
    openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2", "-subj", f"/CN={name}",
    )  # fmt: skip


def certificate(folder: Path, name: str, by: str, *, host: str, days: int = 2) -> None:
    openssl(
        folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
    )  # fmt: skip
    (folder / f"{name}.ext").write_text(f"subjectAltName=IP:{host}\n")
    openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.crt", "-CAkey", f"{by}.key",
        "-CAcreateserial", "-out", f"{name}.crt", "-days", str(days), "-extfile", f"{name}.ext",
    )  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("certificates")
    authority(folder, "ours")
    authority(folder, "strangers")
    certificate(folder, "server", "ours", host="127.0.0.1")
    certificate(folder, "elsewhere", "ours", host="192.0.2.1")
    certificate(folder, "client", "ours", host="127.0.0.1")
    return folder


@contextmanager
def endpoint(folder: Path, name: str, to: int, *, mutual: bool = False) -> Iterator[int]:
    """A TLS port that passes everything on to the server's plain one, and back."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    if mutual:
        context.load_verify_locations(folder / "ours.crt")
        context.verify_mode = ssl.CERT_REQUIRED
    port, begun = free_port(), threading.Event()
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while part := await source.read(65536):
                sink.write(part)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    async def serve(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        inner_source, inner_sink = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(pump(source, inner_sink), pump(inner_source, sink))

    async def run() -> None:
        stop = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), stop))
        async with await asyncio.start_server(serve, "127.0.0.1", port, ssl=context):
            begun.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert begun.wait(10)
    yield port
    loop, stop = stopping[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


@contextmanager
def own_tls(folder: Path, name: str, data: Path, *, mutual: bool = False) -> Iterator[int]:
    """A server that speaks TLS itself."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        pytest.skip("no server with TLS is installed; the wheel's has none")
    port = free_port()
    options = ["--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", ""]
    options += ["--tls-cert-file", f"{name}.crt", "--tls-key-file", f"{name}.key"]
    options += ["--tls-ca-cert-file", "ours.crt", "--tls-auth-clients", "yes" if mutual else "no"]
    process = subprocess.Popen([found, *options], cwd=folder, stdout=subprocess.DEVNULL)
    if mutual:
        more = {
            "ssl_certfile": str(folder / "client.crt"),
            "ssl_keyfile": str(folder / "client.key"),
        }
    else:
        more = {}
    client = redis.Redis(
        port=port, ssl=True, ssl_cert_reqs="none", ssl_check_hostname=False, **more
    )
    try:
        assert wait_until(lambda: _answers(client), 20), "it has no TLS"
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@pytest.fixture(params=["in front of it", "its own"])
def tls(request, certificates, tmp_path):  # type: ignore[no-untyped-def]
    """A function: certificate's name -> context with the port of a server that shows it."""

    @contextmanager
    def serve(name: str, *, mutual: bool = False) -> Iterator[int]:
        if request.param == "its own":
            with own_tls(certificates, name, tmp_path, mutual=mutual) as port:
                yield port
        else:
            with (
                tcp_server(tmp_path) as plain,
                endpoint(certificates, name, plain, mutual=mutual) as port,
            ):
                yield port

    return serve


def url(port, certificates, ca="ours", **more):  # type: ignore[no-untyped-def]
    words = {"ssl_ca_certs": certificates / f"{ca}.crt", **more}
    return f"rediss://127.0.0.1:{port}/0?" + "&".join(f"{k}={v}" for k, v in words.items())


def connected(tmp_path, at):  # type: ignore[no-untyped-def]
    return connect(Settings(home=tmp_path, redis_url=at), patience_seconds=1)


def test_reviews_go_through_where_the_authority_is_ours(tls, certificates, tmp_path):
    with tls("server") as port:
        store = Store(connected(tmp_path, url(port, certificates)))
        assert store.put([make_review(1)]) == ["new"]
        assert store.reviews([make_review(1).id]) == [make_review(1)]


def test_another_authority_is_refused_and_the_remedy_named(tls, certificates, tmp_path):
    with tls("server") as port:
        for at in (url(port, certificates, "strangers"), f"rediss://127.0.0.1:{port}/0"):
            with pytest.raises(Misconfigured, match="not trusted: .*ssl_ca_certs=FILE"):
                connected(tmp_path, at)


def test_a_certificate_for_another_host_is_refused(tls, certificates, tmp_path):
    with tls("elsewhere") as port, pytest.raises(Misconfigured, match="not trusted.*127.0.0.1"):
        connected(tmp_path, url(port, certificates))


def test_a_server_that_asks_for_our_certificate_gets_it(tls, certificates, tmp_path):
    ours = {"ssl_certfile": certificates / "client.crt", "ssl_keyfile": certificates / "client.key"}
    with tls("server", mutual=True) as port:
        assert connected(tmp_path, url(port, certificates, **ours)).ping()
        # By TLS 1.3 the refusal comes after the handshake, from some servers as an end without words.
        with pytest.raises((Misconfigured, TemporaryFailure), match="ssl_certfile"):
            connected(tmp_path, url(port, certificates))


def test_a_plain_port_is_no_tls_port_and_a_missing_file_is_named(tmp_path, certificates):
    with tcp_server(tmp_path) as port:
        with pytest.raises((Misconfigured, TemporaryFailure)):
            connected(tmp_path, url(port, certificates))
        with pytest.raises(Misconfigured, match="nowhere.crt"):
            connected(tmp_path, url(port, certificates, "nowhere"))


def test_a_worker_and_a_reader_work_over_tls(certificates, tmp_path):
    with tcp_server(tmp_path) as plain, endpoint(certificates, "server", plain) as port:
        at = url(port, certificates)
        Store(connected(tmp_path, at)).put([make_review(1)])
        processes = Processes(Settings(home=tmp_path / "home", cache=CACHE))
        try:
            done = processes.run("work", "--burst", BEYOND_REDIS_URL=at)
            assert done.returncode == 0 and "1 of 1 stored" in done.stdout, done.stderr
            refused = processes.run("status", BEYOND_REDIS_URL=url(port, certificates, "strangers"))
            assert refused.returncode == 2 and "ssl_ca_certs" in refused.stderr
        finally:
            processes.stop()
