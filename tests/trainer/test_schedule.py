from __future__ import annotations

import json
import threading

import pytest
from redis.lock import Lock

from shared.errors import Misconfigured, TemporaryFailure
from shared.stream.names import TRAINING
from shared.stream.recovery import load
from tests.conftest import make_review, wait_until
from trainer import schedule
from trainer.run import Plan
from trainer.schedule import LOCK, Schedule, exclusive


def test_every_n_reviews_one_cycle_however_many_schedulers_ask(store, server):
    plans = [Schedule(server, store, Plan(), every=10) for _ in range(4)]
    store.put([make_review(i) for i in range(9)], "backfill")
    assert [p.enqueue() for p in plans] == [None] * 4
    store.put([make_review(9)], "backfill")
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda p=p: found.append(p.enqueue())) for p in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (
        sorted(map(str, found)) == ["None", "None", "None", "n10-1"]
        and load(server, (TRAINING,))[TRAINING][0] == 1
    )


def test_cron_fires_once_per_moment_and_not_for_the_past(store, server):
    clock = [1_764_000_000.0]
    plan = Schedule(server, store, Plan(), cron="0 * * * *", clock=lambda: clock[0])
    assert plan.enqueue() is None
    clock[0] += 3600
    assert plan.enqueue() and plan.enqueue() is None
    server.delete("rq:queue:training")
    clock[0] += 3600
    assert plan.enqueue()


def test_a_reply_training_waits_beside_one_for_issues_in_the_same_slot(store, server):
    store.put([make_review(i) for i in range(5)], "backfill")
    plans = [Plan(), Plan(task="reply"), Plan(), Plan(task="reply")]
    found = [Schedule(server, store, plan, every=5).enqueue() for plan in plans]
    assert found == ["n5-1", "n5-1", None, None]
    assert load(server, (TRAINING,))[TRAINING][0] == 2


def batched(settings, server, monkeypatch, *errors):  # type: ignore[no-untyped-def]
    """The worker's function, where training raises these in turn (None: goes well)."""
    left = list(errors)

    def train(*_: object) -> None:
        if (error := left.pop(0)) is not None:
            raise error

    monkeypatch.setattr(schedule, "train", train)
    plans = [Plan(task="issues"), Plan(task="reply")][: len(errors)]
    return schedule.batch(settings, server, lambda: None)([p.model_dump_json() for p in plans])


def test_a_teacher_that_is_away_costs_the_training_no_retry(settings, server, monkeypatch):
    """Raised, the worker gives the job back and rests; returned, four tries made a dead letter."""
    with pytest.raises(TemporaryFailure):
        batched(settings, server, monkeypatch, TemporaryFailure("away"))


def test_a_finished_training_is_not_given_back_for_its_neighbours_outage(
    settings, server, monkeypatch
):
    done, failed = batched(settings, server, monkeypatch, None, TemporaryFailure("away"))
    assert done is None and isinstance(failed, TemporaryFailure)


def test_an_unforeseen_error_is_the_jobs_and_not_the_workers_end(
    settings, store, server, monkeypatch
):
    (error,) = batched(settings, server, monkeypatch, RuntimeError("CUDA out of memory"))
    assert isinstance(error, RuntimeError)
    assert store.warnings() == {"training issues": "CUDA out of memory"}
    assert batched(settings, server, monkeypatch, None, None) == [None, None]
    assert not store.warnings()


def test_one_tasks_success_does_not_lift_anothers_warning(settings, store, server, monkeypatch):
    batched(settings, server, monkeypatch, Misconfigured("no labels"), None)
    assert list(store.warnings()) == ["training issues"]


def test_a_plan_of_another_version_is_the_jobs_error(settings, server):
    (error,) = schedule.batch(settings, server, lambda: None)(['{"colour": "red"}'])
    assert isinstance(error, Misconfigured) and "colour" in str(error)


def test_the_job_is_json_with_the_plan(store, server):
    store.put([make_review(0)], "backfill")
    Schedule(server, store, Plan(task="feedback"), every=1).enqueue()
    (key,) = server.keys("rq:job:train-*")
    call = json.loads(__import__("zlib").decompress(server.hget(key, "data")))
    assert call[0] == "trainer.schedule.train" and json.loads(call[2][0][0])["task"] == "feedback"


@pytest.mark.parametrize("options", [{}, {"every": 3, "cron": "* * * * *"}, {"cron": "every day"}])
def test_a_wrong_schedule_is_explained(store, server, options):
    with pytest.raises(Misconfigured, match="cron"):
        Schedule(server, store, Plan(), **options)


def test_two_machines_never_train_at_once_and_the_second_waits(server):
    entered = threading.Event()
    with exclusive(server, 20, lambda text: None):

        def second() -> None:
            with exclusive(server, 20, lambda text: None):
                entered.set()

        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(1.5)
    assert entered.wait(10)
    thread.join()


def test_a_lost_lock_stops_the_cycle_before_it_promotes(server):
    with exclusive(server, 0.4, lambda text: None) as ours:
        ours()
        server.delete(LOCK)
        assert Lock(server, LOCK, timeout=30).acquire(blocking=False), "another machine took it"

        def lost() -> bool:
            try:
                ours()
            except TemporaryFailure:
                return True
            return False

        assert wait_until(lost, 5)
