"""Faults that the stream survives: real server, real processes, real signals. Nothing lost, nothing
twice, within 60 s."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time

import httpx
import pytest

from shared.stream.names import BACKFILL, LIVE
from shared.stream.recovery import dead_letters, load
from tests.conftest import EPOCH, make_review, wait_until

QUEUES = (LIVE, BACKFILL)


def fill(store, count, texts=None, chunk=1, queue=LIVE):  # type: ignore[no-untyped-def]
    texts = texts or {}
    reviews = [
        make_review(i, texts.get(i, f"Review number {i}, the soup was cold.")) for i in range(count)
    ]
    for start in range(0, count, chunk):
        store.put(reviews[start : start + chunk], queue)
    return reviews


def analysed(store):  # type: ignore[no-untyped-def]
    return store.counts()["analysed"]


def settled(server) -> bool:  # type: ignore[no-untyped-def]
    return all(waiting == 0 and flying == 0 for waiting, flying, _ in load(server, QUEUES).values())


def flying(server) -> int:  # type: ignore[no-untyped-def]
    return sum(f for _, f, _ in load(server, QUEUES).values())


def test_a_worker_killed_in_mid_batch_loses_nothing(store, server, processes):
    fill(store, 100)
    victim = processes.worker(FAKE_SECONDS="5")
    assert wait_until(lambda: flying(server) > 0, 20)
    victim.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    processes.worker()
    assert wait_until(lambda: analysed(store) == 100)
    assert time.monotonic() - begun < 60
    assert wait_until(lambda: settled(server)) and not dead_letters(server, QUEUES)


def test_a_claim_whose_worker_died_at_once_comes_back(store, server, processes):
    """The moment between claim and registration: the claim itself is the registration, so the job
    is in flight, not gone."""
    from shared.stream.queues import ReliableQueue, queue_of

    fill(store, 3)
    claimed = ReliableQueue.claim(queue_of(LIVE, server), 3)
    assert len(claimed) == 3 and flying(server) == 3  # claimed by "nobody", who now never beats
    processes.worker()
    assert wait_until(lambda: analysed(store) == 3)


def test_a_worker_killed_in_the_middle_of_saving_leaves_one_analysis_each(store, server, processes):
    reviews = fill(store, 64, chunk=64, queue=BACKFILL)
    victim = processes.worker("tests.fakes.SlowSaveWorker")
    assert victim.wait(30) == -signal.SIGKILL
    first = {a.review_id: a.analysed_at for a in store.analyses([r.id for r in reviews]) if a}
    assert 0 < len(first) < 64
    processes.worker()
    assert wait_until(lambda: analysed(store) == 64)
    again = {a.review_id: a.analysed_at for a in store.analyses([r.id for r in reviews]) if a}
    assert all(again[i] == moment for i, moment in first.items()), (
        "an analysis that was saved was made a second time"
    )


def test_sigterm_finishes_the_batch_in_hand_and_stops(store, server, processes):
    fill(store, 64)
    worker = processes.worker(FAKE_SECONDS="2")
    assert wait_until(lambda: flying(server) > 0, 20)
    in_hand = flying(server)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert analysed(store) >= in_hand and flying(server) == 0


def test_the_server_killed_during_backfill_and_work_loses_nothing(
    store, server, processes, tmp_path
):
    file = tmp_path / "many.jsonl"
    rows = [
        {
            "source": "t",
            "external_id": str(i),
            "text": f"Review {i}, the soup was cold.",
            "rating": 1,
            "created_at": EPOCH.isoformat(),
        }
        for i in range(6000)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    worker = processes.worker(FAKE_SECONDS="0.05")
    backfill = processes.beyond("backfill", str(file))
    assert wait_until(lambda: store.counts()["stored"] > 500, 30)
    os.kill(int(server.info("server")["process_id"]), signal.SIGKILL)
    assert backfill.wait(60) == 0
    if worker.poll() is not None:
        processes.worker()
    # `everysec` may lose the last second of backfill on a kill; running it again finds what is
    # missing.
    assert processes.run("backfill", str(file)).returncode == 0
    server.delete(*server.keys("b:backfill:*"))
    assert processes.run("backfill", str(file)).returncode == 0
    assert wait_until(lambda: analysed(store) == 6000), store.counts()
    assert store.counts()["stored"] == 6000 and not dead_letters(server, QUEUES)


def test_a_poison_review_that_raises_harms_only_itself_and_tells_why(store, server, processes):
    fill(store, 64, {13: "RAISE please"}, chunk=64, queue=BACKFILL)
    fill_live = make_review(1000, "RAISE live")
    store.put([fill_live], LIVE)
    processes.worker()
    assert wait_until(lambda: len(dead_letters(server, QUEUES)) == 2 and settled(server))
    assert analysed(store) == 63
    letters = dead_letters(server, QUEUES)
    assert {i for x in letters for i in x.review_ids} == {make_review(13).id, fill_live.id}
    assert all("this text cannot be classified" in x.reason for x in letters)
    assert "this text cannot be classified" in processes.run("failed", "list").stdout
    assert "this text cannot be classified" in processes.run("status").stdout


def test_a_review_that_kills_the_process_ends_alone_among_the_dead_letters(
    store, server, processes
):
    fill(store, 64, {13: "KILL"}, chunk=64, queue=BACKFILL)
    deadline = time.monotonic() + 60
    worker = processes.worker()
    while not (settled(server) and dead_letters(server, QUEUES)) and time.monotonic() < deadline:
        if worker.poll() is not None:  # what a supervisor does
            worker = processes.worker()
        time.sleep(0.1)
    letters = dead_letters(server, QUEUES)
    assert [x.review_ids for x in letters] == [(make_review(13).id,)]
    assert "died or hung" in letters[0].reason
    assert analysed(store) == 63


def test_a_review_that_hangs_the_model_is_cut_off_by_the_watchdog(store, server, processes):
    fill(store, 4, {2: "HANG"})
    deadline = time.monotonic() + 90
    worker = processes.worker(BEYOND_HANG_SECONDS="2")
    while not (settled(server) and dead_letters(server, QUEUES)) and time.monotonic() < deadline:
        if worker.poll() is not None:
            worker = processes.worker(BEYOND_HANG_SECONDS="2")
        time.sleep(0.1)
    assert [x.review_ids for x in dead_letters(server, QUEUES)] == [(make_review(2).id,)]
    assert analysed(store) == 3


def test_a_long_batch_keeps_its_lease(store, server, processes):
    """Twice the lease in one model call: the beat holds it, nobody else starts the job."""
    fill(store, 8)
    processes.worker(FAKE_SECONDS="3.5", BEYOND_HANG_SECONDS="30")
    processes.worker(FAKE_SECONDS="3.5", BEYOND_HANG_SECONDS="30")
    assert wait_until(lambda: analysed(store) == 8, 30)
    assert wait_until(lambda: settled(server), 10)
    assert sum(int(server.get(k) or 0) for k in server.keys("b:rate:*")) == 8


@pytest.fixture
def webhook(processes):  # type: ignore[no-untyped-def]
    from socket import socket

    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def start() -> subprocess.Popen[bytes]:
        process = processes.beyond("webhook", "--port", str(port))
        assert wait_until(lambda: _answers(f"http://127.0.0.1:{port}/healthz"), 30)
        return process

    start.url = f"http://127.0.0.1:{port}/reviews"  # type: ignore[attr-defined]
    return start


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def post(url: str, **fields: object) -> httpx.Response:
    body = {
        "text": "The soup was cold.",
        "external_id": "w1",
        "created_at": "2026-03-01T00:00:00Z",
        "rating": 1,
        **fields,
    }
    return httpx.post(url, json=body, headers={"Authorization": "Bearer secret"}, timeout=30)


def test_a_webhook_killed_before_its_202_gives_one_review_and_one_analysis_when_repeated(
    store, server, processes, webhook
):
    process = webhook()
    # The review is stored, the 202 is never seen: the process dies in between.
    server.config_set("appendfsync", "no")  # WAITAOF now waits for as long as we like
    sender = subprocess.Popen(
        [os.sys.executable, "-c", f"from tests.test_faults import post; post({webhook.url!r})"],
        env=processes.environment(),
        cwd=os.getcwd(),
        stderr=subprocess.DEVNULL,
    )
    assert wait_until(lambda: store.counts()["stored"] == 1, 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    sender.wait(20)
    server.config_set("appendfsync", "everysec")
    webhook()
    answer = post(webhook.url)
    assert answer.status_code == 200 and answer.json()["status"] == "same"
    processes.worker()
    assert wait_until(lambda: analysed(store) == 1) and wait_until(lambda: settled(server))
    assert store.counts()["stored"] == 1


def test_a_full_queue_is_answered_503_with_retry_after_and_backfill_waits(
    store, server, processes, webhook
):
    fill(store, 5)
    processes.settings  # noqa: B018
    os.environ["BEYOND_MAX_QUEUED"] = "5"
    try:
        webhook()
        answer = post(webhook.url)
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
        assert "BEYOND_MAX_QUEUED" in answer.json()["detail"]
        waiting = processes.beyond("backfill", "producers/samples/reviews.jsonl")
        time.sleep(3)
        assert waiting.poll() is None and store.counts()["stored"] == 5
        processes.worker()
        assert waiting.wait(60) == 0
        assert wait_until(lambda: analysed(store) == 35)
        assert post(webhook.url).status_code == 202
    finally:
        del os.environ["BEYOND_MAX_QUEUED"]


def test_with_a_full_disk_no_202_is_sent_and_service_resumes_by_itself(tmp_path):
    """The AOF's disk fills up under a running webhook; a tmpfs of 6 MB is the disk."""
    from pathlib import Path

    from shared.settings import Settings
    from shared.stream import broker
    from shared.stream.store import Store
    from tests.conftest import CACHE, Processes

    disk = Path(tmp_path) / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    settings = Settings(home=disk, cache=CACHE)
    processes, full = Processes(settings), threading.Event()
    filler = (disk / "filler").open("wb", buffering=0)
    try:
        server = broker.connect(settings)
        port = 18000 + os.getpid() % 1000
        url = f"http://127.0.0.1:{port}"
        processes.beyond("webhook", "--port", str(port), BEYOND_DURABLE_SECONDS="2")
        assert wait_until(lambda: _answers(f"{url}/healthz"), 30)
        assert post(f"{url}/reviews", external_id="before").status_code == 202

        def keep_full() -> (
            None
        ):  # tmpfs counts free pages per CPU: a few come back after the first "full"
            while not full.wait(0.02):
                with contextlib.suppress(OSError):
                    filler.write(b"x" * 4096)

        with contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)
        keeper = threading.Thread(target=keep_full)
        keeper.start()
        noise = [
            os.urandom(6000).hex() for _ in range(3)
        ]  # incompressible: more than the last page has room for
        refused = [
            post(f"{url}/reviews", external_id=f"full-{i}", text=text)
            for i, text in enumerate(noise)
        ]
        assert {r.status_code for r in refused} == {503}, [r.text for r in refused]
        assert all("retry-after" in r.headers for r in refused)
        assert httpx.get(f"{url}/readyz").status_code == 503
        status = processes.run("status").stdout
        assert "is the disk full?" in status, status
        full.set()
        keeper.join()
        filler.truncate(0)
        assert wait_until(
            lambda: post(f"{url}/reviews", external_id="after").status_code in (200, 202), 30
        )
        assert wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, 10)
        assert all(
            post(f"{url}/reviews", external_id=f"full-{i}", text=f"Text {i}.").status_code
            in (200, 202)
            for i in range(3)
        )
        assert Store(server).counts()["stored"] == 5
    finally:
        full.set()
        filler.close()
        processes.stop()
        server.close()
        broker.release(disk)
        assert wait_until(
            lambda: subprocess.run(["umount", disk], capture_output=True).returncode == 0, 40
        )
