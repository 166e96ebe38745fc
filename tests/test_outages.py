"""Outages are nobody's fault: real workers, a server or a model that is away for longer than a lease, no retry spent."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import redis

from shared.stream.guardian import binary
from shared.stream.names import BACKFILL, LIVE, MAX_RETRIES
from shared.stream.recovery import dead_letters, load
from shared.stream.store import Store
from tests.conftest import make_review, wait_until

QUEUES = (LIVE, BACKFILL)


def retries_left(server):  # type: ignore[no-untyped-def]
    return {int(server.hget(k, "retries_left")) for k in server.keys("rq:job:*")}


def fill(store, count=12):  # type: ignore[no-untyped-def]
    for i in range(count):
        store.put([make_review(i)])


def test_a_model_that_is_away_costs_no_retry_and_status_says_so(store, server, processes, tmp_path):
    """Away for three leases: before, each lease burnt a retry until a dead letter said 'its worker died'."""
    away = tmp_path / "away"
    away.touch()
    fill(store)
    worker = processes.worker(FAKE_AWAY=str(away))
    assert wait_until(lambda: any("outage" in kind for kind in store.warnings()), 30)
    assert "the model server is away" in processes.run("status").stdout
    assert not wait_until(lambda: bool(dead_letters(server, QUEUES)), 7)
    assert retries_left(server) == {MAX_RETRIES} and worker.poll() is None
    away.unlink()
    assert wait_until(lambda: store.counts()["analysed"] == 12, 90)
    assert wait_until(lambda: not store.warnings(), 10), store.warnings()


@pytest.fixture
def outside(tmp_path):  # type: ignore[no-untyped-def]
    """A server of our own, without a guardian: it stays away until it is started again."""
    socket, folder = tmp_path / "s.sock", tmp_path / "data"
    folder.mkdir()
    running: list[subprocess.Popen[bytes]] = []

    def start() -> redis.Redis:
        options = ["--port", "0", "--unixsocket", str(socket), "--appendonly", "yes", "--save", ""]
        running.append(subprocess.Popen([binary(), *options, "--dir", str(folder)]))
        client = redis.Redis(unix_socket_path=str(socket))
        assert wait_until(lambda: _answers(client), 20)
        return client

    start.stop = lambda: (running[-1].send_signal(signal.SIGKILL), running[-1].wait())  # type: ignore[attr-defined]
    start.url = f"unix://{socket}"  # type: ignore[attr-defined]
    yield start
    start.stop()  # type: ignore[attr-defined]


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@pytest.mark.slow
def test_a_server_that_is_away_for_longer_than_patience_and_lease_costs_no_retry(
    outside, processes, tmp_path
):
    away = tmp_path / "away"
    store = Store(outside())
    fill(store)
    worker = processes.worker(
        url=outside.url, BEYOND_REDIS_URL=outside.url, FAKE_AWAY=str(away), FAKE_SECONDS="3"
    )
    client = redis.Redis.from_url(outside.url)
    assert wait_until(lambda: load(client, QUEUES)[LIVE][1] > 0, 30)
    away.touch()  # afterwards nothing is analysed, so that the retries can be counted
    outside.stop()
    assert not wait_until(lambda: worker.poll() is not None, 16), "the worker left"
    server = outside()
    assert wait_until(lambda: any("outage" in kind for kind in store.warnings()), 60)
    assert retries_left(server) <= {MAX_RETRIES} and not dead_letters(server, QUEUES)
    away.unlink()
    assert wait_until(lambda: store.counts()["analysed"] == 12, 120)


class _Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that has nothing to complain about, but refuses one text."""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"])).decode()
        refused = "REFUSE" in asked
        body = json.dumps({"choices": [{"message": {"content": "none"}}]}).encode()
        self.send_response(400 if refused else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.models
def test_an_insight_server_that_comes_up_late_is_waited_for_and_what_it_refuses_dies_alone(
    store, server, processes
):
    model = HTTPServer(("127.0.0.1", 0), _Model, bind_and_activate=False)
    model.server_bind()  # an address that refuses connections until it is activated
    fill(store, 5)
    store.put([make_review(50, "REFUSE this text")])
    url = f"http://127.0.0.1:{model.server_address[1]}/v1"
    processes.worker("workers.batch_worker.BatchWorker", BEYOND_OPENAI_URL=url)
    assert wait_until(lambda: any("outage" in kind for kind in store.warnings()), 60)
    assert retries_left(server) == {MAX_RETRIES}
    model.server_activate()
    thread = threading.Thread(target=model.serve_forever, daemon=True)
    thread.start()
    try:
        assert wait_until(lambda: store.counts()["analysed"] == 5, 90)
        assert wait_until(lambda: len(dead_letters(server, QUEUES)) == 1, 60)
    finally:
        model.shutdown()
        model.server_close()
    (letter,) = dead_letters(server, QUEUES)
    assert letter.review_ids == (make_review(50).id,) and "HTTP 400" in letter.reason
