"""Workers start on every kind of server that the settings can name, and keep its password to themselves."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import redis

from shared.stream.names import BACKFILL, LIVE
from shared.stream.store import Store
from tests.conftest import make_review, wait_until
from tests.servers import sentinel, tcp_server

PASSWORD = "s3cr3t-of-the-server"


def worker(processes, url, *more):  # type: ignore[no-untyped-def]
    """The documented command, with fake models."""
    command = [sys.executable, "-m", "workers.run", "--worker-class", "tests.fakes.FakeWorker"]
    return processes.spawn(*command, *more, LIVE, BACKFILL, BEYOND_REDIS_URL=url)


def command_lines_with(text: str) -> list[str]:
    """Command lines of all processes of this machine that hold a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


@pytest.mark.parametrize("password", ["", PASSWORD])
def test_a_worker_finds_the_master_by_sentinel_and_works(processes, tmp_path, password):
    """`rq worker --url sentinel://...` raises ValueError."""
    with tcp_server(tmp_path, password) as port, sentinel(tmp_path, port, password) as watch:
        store = Store(redis.Redis(port=port, password=password or None))
        store.put([make_review()])
        login = f":{password}@" if password else ""
        running = worker(processes, f"sentinel://{login}127.0.0.1:{watch}/mymaster")
        assert wait_until(lambda: store.counts()["analysed"] == 1, 60)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


def test_a_worker_follows_sentinel_to_the_new_master(processes, tmp_path):
    folders = [tmp_path / name for name in ("old", "new")]
    for folder in folders:
        folder.mkdir()
    with tcp_server(folders[1]) as second:
        with tcp_server(folders[0]) as first:
            replica = redis.Redis(port=second)
            replica.replicaof("127.0.0.1", first)
            assert wait_until(
                lambda: replica.info("replication").get("master_link_status") == "up", 30
            )
            with sentinel(tmp_path, first) as watch:
                watcher = redis.Redis(port=watch)
                assert wait_until(
                    lambda: watcher.sentinel_master("mymaster")["num-slaves"] == 1, 30
                )
                store = Store(redis.Redis(port=first))
                store.put([make_review(1)])
                worker(processes, f"sentinel://127.0.0.1:{watch}/mymaster")
                assert wait_until(lambda: store.counts()["analysed"] == 1, 60)
                watcher.execute_command("SENTINEL", "FAILOVER", "mymaster")
                assert wait_until(lambda: replica.info("replication")["role"] == "master", 60)
                store = Store(replica)
                store.put([make_review(2)])
                assert wait_until(lambda: store.counts()["analysed"] == 2, 90)


def test_beyond_work_shows_the_password_in_no_command_line(processes, tmp_path):
    with tcp_server(tmp_path, PASSWORD) as port:
        client = redis.Redis(port=port, password=PASSWORD)
        running = processes.beyond(
            "work",
            BEYOND_REDIS_URL=f"redis://:{PASSWORD}@127.0.0.1:{port}",
            BEYOND_INSIGHT_MODEL="none",
        )
        assert wait_until(lambda: client.scard("rq:workers") == 1, 120)
        mine = [line for line in command_lines_with(PASSWORD) if "--requirepass" not in line]
        assert mine == [], "the server's own command line is the test's doing"
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


def test_the_stock_command_reads_the_url_from_the_environment(processes, tmp_path):
    with tcp_server(tmp_path, PASSWORD) as port:
        store = Store(redis.Redis(port=port, password=PASSWORD))
        store.put([make_review()])
        processes.worker(url=f"redis://:{PASSWORD}@127.0.0.1:{port}")
        assert wait_until(lambda: store.counts()["analysed"] == 1, 60)
        assert not [x for x in command_lines_with(PASSWORD) if "--requirepass" not in x]


def test_a_worker_that_can_never_start_says_so_by_its_exit_code(processes):
    assert worker(processes, "http://127.0.0.1").wait(60) == 78
