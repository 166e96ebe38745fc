from __future__ import annotations

import time

import pytest
from rq.exceptions import DequeueTimeout

from shared.stream.queues import (
    BACKFILL,
    LIVE,
    MAX_RETRIES,
    ReliableQueue,
    dead_letters,
    lane_of,
    load,
    queue_of,
    review_job,
    sweep,
)
from tests.conftest import make_review


def put(server, name, ids, tried=0):  # type: ignore[no-untyped-def]
    for i in ids:
        key, fields = review_job(server, [i], name, i, tried=tried)
        server.hset(key, mapping=fields)
        server.rpush(f"rq:queue:{name}", i)


def take(server, name, most=64, lane=None):  # type: ignore[no-untyped-def]
    return [j.id for j in ReliableQueue.claim(queue_of(name, server), most, lane)]


def test_live_goes_before_backfill(server):
    put(server, BACKFILL, ["b1", "b2"])
    put(server, LIVE, ["l1"])
    queues = [queue_of(LIVE, server), queue_of(BACKFILL, server)]
    assert [ReliableQueue.dequeue_any(queues, None, connection=server)[0].id for _ in range(3)] == [
        "l1",
        "b1",
        "b2",
    ]
    assert ReliableQueue.dequeue_any(queues, None, connection=server) is None


def test_waiting_takes_nothing_away_and_ends_in_time(server):
    queues = [queue_of(LIVE, server)]
    begun = time.monotonic()
    with pytest.raises(DequeueTimeout):
        ReliableQueue.dequeue_any(queues, 1, connection=server)
    assert 0.9 < time.monotonic() - begun < 3


def test_a_claim_moves_jobs_from_waiting_to_in_flight_at_once(server):
    put(server, LIVE, ["a", "b", "c"])
    assert take(server, LIVE, 2) == ["a", "b"]
    assert load(server, [LIVE])[LIVE] == (1, 2, 0)


def test_a_claim_takes_one_lane_only(server):
    put(server, LIVE, ["a", "b"])
    put(server, LIVE, ["x"], tried=1)
    put(server, LIVE, ["c"])
    assert take(server, LIVE) == ["a", "b"]
    assert take(server, LIVE, lane=0) == []
    assert take(server, LIVE) == ["x"]


def test_a_job_whose_hash_is_gone_is_dropped(server):
    put(server, LIVE, ["a", "b"])
    server.delete("rq:job:a")
    assert take(server, LIVE) == ["b"]


def test_a_lease_that_ran_out_costs_one_retry_and_the_last_one_ends_among_the_dead(
    server, monkeypatch
):
    monkeypatch.setattr(ReliableQueue, "lease_seconds", -1)
    put(server, LIVE, ["a"])
    for tried in range(MAX_RETRIES + 1):
        job = ReliableQueue.claim(queue_of(LIVE, server), 1)[0]
        assert lane_of(job) == min(2, tried)
        server.delete("b:sweep:live")
        sweep(server, [LIVE], 1)
    assert load(server, [LIVE])[LIVE] == (0, 0, 1)
    assert "died or hung" in dead_letters(server, [LIVE])[0].reason


def test_two_sweepers_at_once_put_a_job_back_once(server, monkeypatch):
    monkeypatch.setattr(ReliableQueue, "lease_seconds", -1)
    put(server, LIVE, ["a"])
    take(server, LIVE)
    sweep(server, [LIVE], 5)
    sweep(server, [LIVE], 5)
    assert load(server, [LIVE])[LIVE] == (1, 0, 0)


def test_a_stored_review_carries_a_job_that_stock_rq_can_read(store, server):
    review = make_review()
    store.put([review])
    job = ReliableQueue.claim(queue_of(LIVE, server), 1)[0]
    assert job.func_name == "workers.pipeline.analyse" and list(job.args) == [[review.id]]
    assert job.result_ttl == 0 and job.timeout == -1 and job.retries_left == MAX_RETRIES
