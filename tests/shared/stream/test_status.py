"""`beyond status` asks a fixed number of questions, and what it tells is true."""

from __future__ import annotations

import json

from shared.stream import leases
from shared.stream.names import BACKFILL, LIVE, TRAINING
from shared.stream.status import NEWEST_LETTERS, status
from tests import tiny
from tests.conftest import make_review, wait_until

QUEUES = (LIVE, BACKFILL, TRAINING)


def kill(store, server, numbers, reason):  # type: ignore[no-untyped-def]
    """Dead letters."""
    for i in numbers:
        store.put([make_review(i)])
    for lease in leases.claim(server, LIVE, 1000, execution=f"e{numbers}", lease_seconds=60):
        leases.fail(server, LIVE, lease.job_id, lease.entry, reason, final=True)


def workers(server, count):  # type: ignore[no-untyped-def]
    """As RQ registers them."""
    for i in range(count):
        server.sadd("rq:workers", f"rq:worker:w{i}")
        server.hset(f"rq:worker:w{i}", mapping={"state": "idle", "hostname": "h", "pid": i})


def commands(server):  # type: ignore[no-untyped-def]
    """Commands that one status takes."""
    before = server.info("stats")["total_commands_processed"]
    status(server, QUEUES)
    return server.info("stats")["total_commands_processed"] - before


def test_it_takes_as_many_commands_with_hundreds_of_workers_and_dead_letters(store, server):
    """Before: one for each worker and dead letter."""
    few = commands(server)
    kill(store, server, range(300), "ValueError: no")
    workers(server, 200)
    assert commands(server) == few < 25
    found = status(server, QUEUES)
    assert len(found.workers) == 200 and found.queues[LIVE].dead_letters == 300
    assert found.queues[LIVE].reasons == {"ValueError: no": NEWEST_LETTERS}


def test_reasons_are_those_of_the_newest_dead_letters(store, server):
    kill(store, server, range(100), "old")
    kill(store, server, range(100, 103), "new")
    assert status(server, QUEUES).queues[LIVE].reasons == {"old": NEWEST_LETTERS - 3, "new": 3}


def test_a_worker_whose_sign_of_life_ran_out_is_not_shown(server):
    workers(server, 2)
    server.delete("rq:worker:w0")
    assert [w.name for w in status(server, QUEUES).workers] == ["w1"]


def test_a_worker_tells_what_its_model_computes_in(store, server, processes, tmp_path):
    base = tiny.causal(tmp_path / "phi", "phi", width=64)
    processes.worker(
        "workers.batch_worker.BatchWorker", BEYOND_INSIGHT_MODEL=str(base), BEYOND_NF4="always"
    )
    assert wait_until(lambda: [w.precision for w in status(server, QUEUES).workers] == ["nf4"], 120)
    assert "idle (nf4)" in processes.run("status").stdout


def test_a_dead_letter_whose_record_is_damaged_stops_nobody(server):
    server.zadd("rq:failed:live", {"broken": 1, "gone": 2})
    server.set("rq:job:broken", "a string")
    assert status(server, QUEUES).queues[LIVE].reasons == {"unknown": 2}


def test_a_real_worker_is_seen_with_its_state_and_host(server, processes):
    worker = processes.worker()

    def seen() -> list[str]:
        return [
            w.state for w in status(server, QUEUES).workers if w.host.endswith(f":{worker.pid}")
        ]

    # A worker registers before it says its state.
    assert wait_until(lambda: seen() in (["started"], ["idle"]), 60), status(server, QUEUES).workers


def test_the_command_prints_it_and_as_json(store, server, processes):
    kill(store, server, range(30), "ValueError: no")
    store.warn("adapter", "it is broken")
    told = processes.run("status").stdout
    assert "30 dead letters" in told and "20 of the newest 20: ValueError: no" in told
    assert "it is broken" in told and "none; start one: beyond work" in told
    found = json.loads(processes.run("status", "--json").stdout)
    assert found["reviews"] == {"stored": 30, "analysed": 0} and found["memory_bytes"] > 0
