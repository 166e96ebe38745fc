from __future__ import annotations

import threading

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from shared.stream import leases
from shared.stream.broker import socket_path
from shared.stream.leases import Settled
from shared.stream.names import LIVE, MAX_RETRIES, flight_key, job_key, queue_key
from shared.stream.queues import ReliableQueue, job_fields, lane_of, queue_of
from shared.stream.recovery import dead_letters, drop, load, requeue, sweep
from tests.conftest import make_review
from tests.shared.stream.test_queues import put

GRACE = 1000.0


def lost(server, limit=64):  # type: ignore[no-untyped-def]
    """Claim by a worker that dies at once: the leases have run out already."""
    return leases.claim(server, LIVE, limit, execution="dead", lease_seconds=-1)


def held(server, limit=64, execution="mine"):  # type: ignore[no-untyped-def]
    return leases.claim(server, LIVE, limit, execution=execution, lease_seconds=60)


def retries(server, job_id):  # type: ignore[no-untyped-def]
    return int(server.hget(job_key(job_id), "retries_left"))


def test_a_lease_that_ran_out_costs_one_retry_and_the_last_one_ends_among_the_dead(
    server, monkeypatch
):
    monkeypatch.setattr(ReliableQueue, "lease_seconds", -1)
    put(server, LIVE, ["a"])
    for tried in range(MAX_RETRIES + 1):
        job = ReliableQueue.claim(queue_of(LIVE, server), 1)[0]
        assert lane_of(job) == min(2, tried)
        assert sweep(server, [LIVE], grace_seconds=GRACE) == 1
    assert load(server, [LIVE])[LIVE] == (0, 0, 1)
    letter = dead_letters(server, [LIVE])[0]
    assert "died or hung" in letter.reason and letter.review_ids == ("a",)


def test_the_reason_of_an_earlier_failure_is_kept_when_the_last_worker_dies(server):
    put(server, LIVE, ["a"], tried=MAX_RETRIES - 1)
    (job,) = held(server)
    leases.fail(server, LIVE, "a", job.entry, "ValueError: bad text")
    lost(server)
    sweep(server, [LIVE], grace_seconds=GRACE)
    reason = dead_letters(server, [LIVE])[0].reason
    assert "died or hung" in reason and "ValueError: bad text" in reason


@pytest.mark.usefixtures("own_server")
def test_sweepers_at_the_same_moment_put_each_job_back_once(server, home):
    """Four threads start together on 3,000 expired leases, in scripts of 100."""
    names = [f"j{i}" for i in range(3000)]
    put(server, LIVE, names)
    for i in range(30):
        leases.claim(server, LIVE, 100, execution=f"dead{i}", lease_seconds=-1)
    start = threading.Barrier(4)
    found: list[int] = []

    def run() -> None:
        mine = redis.Redis(unix_socket_path=str(socket_path(home)))
        start.wait()
        found.append(sweep(mine, [LIVE], grace_seconds=GRACE, limit_jobs=100))

    threads = [threading.Thread(target=run) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sum(found) == 3000 and load(server, [LIVE])[LIVE] == (3000, 0, 0)
    assert sorted(i.decode() for i in server.lrange(queue_key(LIVE), 0, -1)) == sorted(names)
    assert {retries(server, n) for n in names[:50]} == {MAX_RETRIES - 1}


def test_one_damaged_record_in_flight_stops_no_sweep(server):
    put(server, LIVE, ["a", "b", "c", "d"])
    lost(server)
    server.hset(job_key("a"), "retries_left", "many")
    server.delete(job_key("b"))
    server.set(job_key("b"), "another type")
    server.delete(job_key("c"))
    sweep(server, [LIVE], grace_seconds=GRACE)
    assert load(server, [LIVE])[LIVE] == (1, 0, 3)
    assert all("damaged" in x.reason for x in dead_letters(server, [LIVE]))


def test_a_lost_jobs_failure_callback_is_not_run(server, tmp_path):
    queue = Queue(LIVE, connection=server, serializer=JSONSerializer)
    queue.enqueue(
        "os.getcwd", on_failure=f"{__name__}.touch", job_id="x", meta={"at": str(tmp_path)}
    )
    lost(server)
    sweep(server, [LIVE], grace_seconds=GRACE)
    assert not TOUCHED and load(server, [LIVE])[LIVE] in {(0, 0, 1), (1, 0, 0)}


TOUCHED: list[object] = []


def touch(*arguments: object) -> None:
    TOUCHED.append(arguments)


def test_an_outage_of_everybody_costs_no_retry(server):
    """Nobody swept for longer than a lease: then nobody could renew one either."""
    put(server, LIVE, ["a"])
    sweep(server, [LIVE], grace_seconds=GRACE)
    (job,) = lost(server)
    server.set(f"b:swept:{LIVE}", server.time()[0] - 100)
    sweep(server, [LIVE], grace_seconds=20)
    assert load(server, [LIVE])[LIVE] == (0, 1, 0)
    assert leases.renew(server, LIVE, [job.entry], 20) == 1
    server.zadd(flight_key(LIVE), {job.entry: 1})
    sweep(server, [LIVE], grace_seconds=20)
    assert load(server, [LIVE])[LIVE] == (1, 0, 0) and retries(server, "a") == MAX_RETRIES - 1


def test_what_is_given_back_goes_to_the_head_in_order_and_costs_nothing(server):
    put(server, LIVE, ["a", "b", "c"])
    mine = held(server, 2)
    assert leases.release(server, LIVE, [(x.job_id, x.entry) for x in mine]) == 2
    assert [x.job_id for x in held(server, execution="next")] == ["a", "b", "c"]
    assert {retries(server, n) for n in "abc"} == {MAX_RETRIES}


def test_a_worker_that_was_only_cut_off_gets_the_retry_back_that_the_sweep_took(server):
    put(server, LIVE, ["a"])
    (job,) = lost(server)
    sweep(server, [LIVE], grace_seconds=GRACE)
    assert retries(server, "a") == MAX_RETRIES - 1
    for _ in range(2):  # safe to repeat
        assert leases.release(server, LIVE, [("a", job.entry)]) == 0
        assert retries(server, "a") == MAX_RETRIES
    assert load(server, [LIVE])[LIVE] == (1, 0, 0)


def test_only_whoever_holds_the_lease_settles_fails_or_releases(server):
    put(server, LIVE, ["a"])
    (old,) = lost(server)
    sweep(server, [LIVE], grace_seconds=GRACE)
    (new,) = held(server)
    follow = [("r-live", job_fields(server, ["r"], LIVE, tried=1))]
    assert leases.settle(server, LIVE, [Settled("a", old.entry, follow)]) == 0
    assert leases.fail(server, LIVE, "a", old.entry, "late") == -2
    assert leases.release(server, LIVE, [("a", old.entry)]) == 0
    assert load(server, [LIVE])[LIVE] == (0, 1, 0)
    assert leases.settle(server, LIVE, [Settled("a", new.entry, follow)]) == 1
    assert load(server, [LIVE])[LIVE] == (1, 0, 0) and not server.exists(job_key("a"))


def test_each_command_may_be_repeated(server):
    put(server, LIVE, ["a", "b"])
    a, b = held(server)
    follow = [("r-live", job_fields(server, ["r"], LIVE, tried=1))]
    for _ in range(2):
        leases.settle(server, LIVE, [Settled("a", a.entry, follow)])
        leases.fail(server, LIVE, "b", b.entry, "no", final=True)
    assert load(server, [LIVE])[LIVE] == (1, 0, 1)
    (letter,) = dead_letters(server, [LIVE])
    assert [requeue(server, letter) for _ in range(2)] == [True, False]
    assert load(server, [LIVE])[LIVE] == (2, 0, 0)
    server.delete(queue_key(LIVE))
    (job,) = [x for x in (held(server, execution="x") or [None])] or [None]
    assert job is None


def test_a_dead_letter_is_dropped_once(server):
    put(server, LIVE, ["a"])
    (job,) = held(server)
    leases.fail(server, LIVE, "a", job.entry, "no", final=True)
    (letter,) = dead_letters(server, [LIVE])
    assert [drop(server, letter) for _ in range(2)] == [True, False]
    assert dead_letters(server, [LIVE]) == [] and not server.exists(job_key("a"))


def test_dead_letters_of_ten_thousand_show_the_newest_few(server):
    for i in range(30):
        put(server, LIVE, [f"d{i}"])
        (job,) = held(server, execution=f"e{i}")
        leases.fail(server, LIVE, f"d{i}", job.entry, "no", final=True)
    assert [x.job_id for x in dead_letters(server, [LIVE], limit=3)] == ["d27", "d28", "d29"]


def test_a_review_that_dies_and_is_sent_again_is_queued_again(store, server):
    store.put([make_review(1, "first")])
    (job,) = held(server)
    leases.fail(server, LIVE, job.job_id, job.entry, "no", final=True)
    assert store.put([make_review(1, "second")]) == ["updated"]
    assert load(server, [LIVE])[LIVE] == (1, 0, 0), "the old dead letter is superseded"
