"""What the worker refuses, and how it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from rq import Queue
from rq.serializers import JSONSerializer

from shared.stream.broker import server_url
from shared.stream.launch import rq_command
from shared.stream.names import BACKFILL, LIVE
from shared.stream.recovery import dead_letters, load
from tests.conftest import ROOT, make_review, wait_until


def letters(server):  # type: ignore[no-untyped-def]
    return dead_letters(server, (LIVE, BACKFILL))


def test_a_job_that_names_another_function_is_failed_not_run(store, server, processes, tmp_path):
    queue = Queue(LIVE, connection=server, serializer=JSONSerializer)
    queue.enqueue("os.system", f"touch {tmp_path}/owned")
    queue.enqueue("workers.pipeline.analyse", ["x"], on_success="os.getcwd")
    queue.enqueue("workers.pipeline.analyse", 5)
    server.hset(
        "rq:job:broken",
        mapping={
            "data": b"not zlib",
            "status": "queued",
            "created_at": "2026-01-01T00:00:00Z",
            "origin": LIVE,
        },
    )
    server.rpush("rq:queue:live", "broken")
    store.put([make_review()])
    processes.worker()
    assert wait_until(lambda: store.counts()["analysed"] == 1 and len(letters(server)) >= 3, 90), (
        letters(server)
    )
    assert not (tmp_path / "owned").exists()
    reasons = " ".join(x.reason for x in letters(server))
    assert (
        "os.system is not on the allow-list" in reasons
        and "callbacks" in reasons
        and "list of strings" in reasons
    )


def test_it_refuses_a_stock_queue_class(server, processes):
    command = [
        sys.executable,
        "-m",
        "rq.cli",
        "worker",
        "--url",
        server_url(processes.settings),
        "--serializer",
        "json",
        "--worker-class",
        "workers.batch_worker.BatchWorker",
        "live",
    ]
    done = subprocess.run(
        command, env=processes.environment(), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0 and "ReliableQueue" in done.stderr + done.stdout


class _Owned:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (open, (self.path, "w"))


def test_it_refuses_any_serializer_but_json_before_it_decodes_anything(server, processes, tmp_path):
    """RQ's default is pickle: decoding such a job runs code."""
    Queue(LIVE, connection=server).enqueue("workers.pipeline.analyse", _Owned(f"{tmp_path}/owned"))
    command = rq_command()
    where = command.index("--serializer")
    done = subprocess.run(
        command[:where] + command[where + 2 :],
        env=processes.environment(RQ_REDIS_URL=server_url(processes.settings)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0 and "--serializer json" in done.stderr + done.stdout
    assert not (tmp_path / "owned").exists()


def test_an_idle_worker_stops_within_seconds_of_sigterm(server, processes):
    worker = processes.worker()
    assert wait_until(lambda: server.scard("rq:workers") == 1, 30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0


def test_one_that_is_stopped_as_soon_as_it_is_seen_leaves_nothing_behind(server, processes):
    """Before, it was killed by the signal, and stayed on the list of workers."""
    assert processes.worker("tests.fakes.StoppedAtBirthWorker").wait(60) == 0
    assert server.scard("rq:workers") == 0


def test_many_live_jobs_run_as_one_batch(store, server, processes):
    for i in range(64):
        store.put([make_review(i)])
    os.environ["FAKE_SECONDS"] = "0.5"  # one by one this would take half a minute
    try:
        processes.worker()
        assert wait_until(lambda: store.counts()["analysed"] == 64, 15)
    finally:
        del os.environ["FAKE_SECONDS"]
    assert load(server, [LIVE])[LIVE] == (0, 0, 0)
    assert not server.keys("rq:job:*") and not server.keys("rq:results:*"), (
        "a settled job left something behind"
    )


def test_failed_jobs_can_be_shown_tried_again_and_dropped(store, server, processes):
    store.put([make_review(1, "RAISE")])
    worker = processes.worker()
    assert wait_until(lambda: len(letters(server)) == 1, 30)
    ident = make_review(1).id
    assert '"text": "RAISE"' in processes.run("failed", "show", ident).stdout
    assert "1 queued again" in processes.run("failed", "retry", ident).stdout
    assert wait_until(
        lambda: len(letters(server)) == 1 and load(server, [LIVE])[LIVE][:2] == (0, 0), 30
    )
    worker.kill()
    assert "1 dropped" in processes.run("failed", "drop", ident).stdout
    assert letters(server) == [] and store.reviews([ident])[0] is not None
    assert processes.run("failed", "drop", "nobody").returncode == 2
