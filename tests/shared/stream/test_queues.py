from __future__ import annotations

import threading
import time

import pytest
import redis
from rq.exceptions import DequeueTimeout

from shared.stream import leases
from shared.stream.broker import socket_path
from shared.stream.names import (
    BACKFILL,
    LIVE,
    MAX_RETRIES,
    flight_key,
    job_key,
    queue_key,
    wake_key,
)
from shared.stream.queues import ReliableQueue, job_fields, queue_of
from shared.stream.recovery import dead_letters, load
from shared.stream.store import Store
from tests.conftest import make_review, wait_until


def put(server, name, ids, tried=0):  # type: ignore[no-untyped-def]
    for i in ids:
        server.hset(job_key(i), mapping=job_fields(server, [i], name, tried=tried))
        server.rpush(queue_key(name), i)


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


def test_an_id_twice_in_the_list_is_claimed_once(server):
    put(server, LIVE, ["a", "b"])
    server.rpush(queue_key(LIVE), "a")
    assert take(server, LIVE) == ["a", "b"]
    assert load(server, [LIVE])[LIVE] == (0, 2, 0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda server, key: server.hset(key, "created_at", "never"),
        lambda server, key: server.hdel(key, "data"),
        lambda server, key: server.hset(key, "retries_left", "many"),
        lambda server, key: (server.delete(key), server.set(key, "text")),
    ],
    ids=["a date", "no data", "a number", "another type"],
)
def test_a_damaged_job_becomes_a_dead_letter_and_its_neighbours_are_claimed(server, damage):
    put(server, LIVE, ["a", "b", "c"])
    damage(server, job_key("b"))
    assert take(server, LIVE) == ["a", "c"]
    assert load(server, [LIVE])[LIVE] == (0, 2, 1)
    assert "its record on the server" in dead_letters(server, [LIVE])[0].reason


def test_a_claim_that_is_repeated_because_its_answer_was_lost_gets_the_same_jobs(server):
    put(server, LIVE, ["a", "b", "c"])
    first, again = (
        leases.claim(server, LIVE, 2, execution="e", lease_seconds=20) for _ in range(2)
    )
    assert [x.job_id for x in first] == [x.job_id for x in again] == ["a", "b"]
    assert load(server, [LIVE])[LIVE] == (1, 2, 0)


def test_a_lease_runs_by_the_servers_clock(server, monkeypatch):
    put(server, LIVE, ["a"])
    monkeypatch.setattr(time, "time", lambda: 0.0)
    take(server, LIVE)
    ((_, until),) = server.zrange(flight_key(LIVE), 0, -1, withscores=True)
    seconds, _ = server.time()
    assert seconds + 15 < until < seconds + 25


@pytest.mark.usefixtures("own_server")
def test_one_job_wakes_one_of_fifty_idle_workers(server, home):
    """Each waiter counts how often its wait ended; polling once a second is switched off."""
    woken, stop = [], threading.Event()

    def wait() -> None:
        mine = redis.Redis(unix_socket_path=str(socket_path(home)))
        while not stop.is_set():
            if mine.blpop([wake_key(LIVE), wake_key(BACKFILL)], 3) and not stop.is_set():
                woken.append(1)

    threads = [threading.Thread(target=wait) for _ in range(50)]
    [t.start() for t in threads]
    assert wait_until(lambda: server.info("clients")["blocked_clients"] == 50, 20)
    Store(server).put([make_review()])
    assert wait_until(lambda: woken == [1], 5)
    time.sleep(0.3)
    assert woken == [1]
    stop.set()
    server.rpush(wake_key(LIVE), *[1] * 50)
    [t.join() for t in threads]


def test_a_stored_review_carries_a_job_that_stock_rq_can_read(store, server):
    review = make_review()
    store.put([review])
    job = ReliableQueue.claim(queue_of(LIVE, server), 1)[0]
    assert job.func_name == "workers.pipeline.analyse" and list(job.args) == [[review.id]]
    assert job.result_ttl == 0 and job.timeout == -1 and job.retries_left == MAX_RETRIES
