"""Faults of workers and server that the stream survives: real server, real processes, real signals.

Nothing lost, nothing twice, within 60 s. Faults around the webhook: test_faults_webhook.py.
"""

from __future__ import annotations

import json
import os
import signal
import time

from shared.stream.names import BACKFILL, LIVE
from shared.stream.recovery import dead_letters
from tests.conftest import EPOCH, make_review, wait_until
from tests.stream_state import QUEUES, analysed, fill, flying, settled


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


def supervised_until_settled(server, processes, seconds, **extra):  # type: ignore[no-untyped-def]
    """A worker that is started again whenever it dies, until there is a dead letter and no work."""
    workers = [processes.worker(**extra)]

    def done() -> bool:
        if workers[-1].poll() is not None:
            workers.append(processes.worker(**extra))
        return settled(server) and bool(dead_letters(server, QUEUES))

    return wait_until(done, seconds)


def test_a_review_that_kills_the_process_ends_alone_among_the_dead_letters(
    store, server, processes
):
    fill(store, 64, {13: "KILL"}, chunk=64, queue=BACKFILL)
    assert supervised_until_settled(server, processes, 180)
    letters = dead_letters(server, QUEUES)
    assert [x.review_ids for x in letters] == [(make_review(13).id,)]
    assert "died or hung" in letters[0].reason
    assert analysed(store) == 63


def test_a_review_that_hangs_the_model_is_cut_off_by_the_watchdog(store, server, processes):
    fill(store, 4, {2: "HANG"})
    assert supervised_until_settled(server, processes, 180, BEYOND_HANG_SECONDS="2")
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
