"""Faults around the webhook: killed before its answer, a full queue, a full disk."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest

from shared.settings import Settings
from shared.stream import broker
from shared.stream.store import Store
from tests.conftest import CACHE, ROOT, Processes, free_port, wait_until
from tests.stream_state import analysed, fill, settled


@pytest.fixture
def webhook(processes):  # type: ignore[no-untyped-def]
    port = free_port()

    def start(**extra: str) -> subprocess.Popen[bytes]:
        process = processes.beyond("webhook", "--port", str(port), **extra)
        assert wait_until(lambda: _answers(f"http://127.0.0.1:{port}/healthz"), 30)
        return process

    start.url = f"http://127.0.0.1:{port}/reviews"  # type: ignore[attr-defined]
    return start


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def scripts_run(server) -> int:  # type: ignore[no-untyped-def]
    """How many scripts the server has run; storing reviews is one, also where it is refused."""
    return int(server.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


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
        [sys.executable, "-c", f"from {__name__} import post; post({webhook.url!r})"],
        env=processes.environment(),
        cwd=ROOT,
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
    webhook(BEYOND_MAX_QUEUED="5")
    answer = post(webhook.url)
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert "BEYOND_MAX_QUEUED" in answer.json()["detail"]
    before = scripts_run(server)
    waiting = processes.beyond("backfill", "producers/samples/reviews.jsonl", BEYOND_MAX_QUEUED="5")
    assert wait_until(lambda: scripts_run(server) > before), "backfill never tried to store"
    assert waiting.poll() is None and store.counts()["stored"] == 5
    processes.worker()
    assert waiting.wait(60) == 0
    assert wait_until(lambda: analysed(store) == 35)
    assert post(webhook.url).status_code == 202


def test_with_a_full_disk_no_202_is_sent_and_service_resumes_by_itself(tmp_path):
    """The AOF's disk fills up under a running webhook; a tmpfs of 6 MB is the disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root, to mount a small disk")
    settings = Settings(home=disk, cache=CACHE)
    processes, full = Processes(settings), threading.Event()
    filler = (disk / "filler").open("wb", buffering=0)
    try:
        server = broker.connect(settings)
        port = free_port()
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
