"""Old reviews go by the day they were written, a little at a time.

A full memory is refused before it fails.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.errors import Overloaded, TemporaryFailure
from shared.review import Analysis
from shared.stream.calls import call
from shared.stream.memory import CHECK_SECONDS, MemoryGuard
from shared.stream.names import BACKFILL, LIVE
from shared.stream.recovery import load
from shared.stream.retention import REST_SECONDS, Retention
from shared.stream.store import Store
from tests.conftest import EPOCH, make_review, wait_until
from tests.fakes import ANGRY
from tests.invariant import check


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(store, days, each=10):  # type: ignore[no-untyped-def]
    """`each` reviews on each of the last `days` days before EPOCH, all analysed."""
    reviews = [
        make_review(day * 10_000 + i).model_copy(
            update={"created_at": EPOCH - timedelta(days=day) + timedelta(minutes=i % 1440)}
        )
        for day in days
        for i in range(each)
    ]
    for start in range(0, len(reviews), 500):
        part = reviews[start : start + 500]
        store.put(part, BACKFILL)
        store.save(
            (r, Analysis(review_id=r.id, emotions=ANGRY, insight_reason="t", analysed_at=EPOCH))
            for r in part
        )
    return reviews


def noon() -> datetime:
    return EPOCH + timedelta(hours=12)


def test_what_is_older_than_the_days_kept_goes_with_its_analysis_and_index(store, server):
    fill(store, range(10))
    retention = Retention(server, 4, noon)
    removed = 0
    while step := retention.step(limit=7):
        assert step <= 7
        removed += step
    assert removed == 50
    left = [review.created_at for review, _ in store.all()]
    assert len(left) == 50 and min(left) >= EPOCH - timedelta(days=4)
    assert store.counts()["stored"] == store.counts()["analysed"] == 50
    assert len([*server.scan_iter("b:r:*")]) == len([*server.scan_iter("b:a:*")]) == 50
    assert len([*server.scan_iter("b:day:*")]) == 5


def test_by_default_everything_is_kept(store, server):
    fill(store, [5000])
    assert Retention(server, None, noon).step() == 0
    assert store.counts()["stored"] == 10


def test_a_day_of_thousands_goes_in_steps_that_never_exceed_their_limit(store, server):
    fill(store, [30], each=3000)
    retention, steps = Retention(server, 7, noon), []
    while step := retention.step(limit=200):
        steps.append(step)
    assert sum(steps) == 3000 and max(steps) <= 200
    assert not [k for p in ("b:day:*", "b:leaves:*") for k in server.scan_iter(p)]


def test_it_rests_when_nothing_is_old_enough(store, server):
    clock = Clock()
    retention = Retention(server, 7, noon, clock)
    assert retention.step() == 0
    fill(store, [30])
    assert retention.step() == 0, "it should be resting"
    clock.now = REST_SECONDS
    assert retention.step() == 10


def test_a_job_of_a_review_that_went_finds_nothing_and_ends_well(store, server, processes):
    store.put([make_review().model_copy(update={"created_at": EPOCH - timedelta(days=30)})])
    assert Retention(server, 7, noon).step() == 1
    processes.worker()
    assert wait_until(lambda: load(server, [LIVE])[LIVE] == (0, 0, 0), 60)


def test_beyond_work_lets_old_reviews_go(store, server, processes):
    fill(store, [5000], each=300)
    store.put([make_review().model_copy(update={"created_at": datetime.now(EPOCH.tzinfo)})])
    processes.beyond("work", BEYOND_KEEP_DAYS="30", BEYOND_INSIGHT_MODEL="none")
    assert wait_until(lambda: store.counts()["stored"] == 1, 60)


def test_a_full_memory_refuses_intake_with_the_remedy_and_changes_nothing(store, server):
    store.put([make_review(1)])
    before = {k: server.dump(k) for k in server.scan_iter("*")}
    server.config_set("maxmemory", 1_000_000)  # less than an empty server takes
    quick = Store(server)
    quick._memory = MemoryGuard(server, 10**12)  # the guard asleep: the server itself refuses
    for durable_seconds in (None, 5):
        with pytest.raises(Overloaded, match="BEYOND_KEEP_DAYS"):
            quick.put([make_review(2)], durable_seconds=durable_seconds)
    assert {k: server.dump(k) for k in server.scan_iter("*")} == before


def test_an_update_in_a_full_memory_is_done_wholly_or_not_at_all(store, server):
    """Its first write frees memory, which is always allowed, and the server stops no script after that."""
    old, new = make_review(1), make_review(1, "Another text.")
    store.put([old])
    server.config_set("maxmemory", 1_000_000)
    quick = Store(server)
    quick._memory = MemoryGuard(server, 10**12)
    assert quick.put([new]) == ["updated"]
    check(server, store)
    assert store.pending([new.id]) == [new] and [r for r, _ in store.all()] == [new]


def test_intake_stops_before_the_memory_is_full_and_workers_can_still_save(store, server):
    review = make_review(1)
    store.put([review])
    used = server.info("memory")["used_memory"]
    server.config_set("maxmemory", int(used / 0.95))
    guarded = Store(server)
    with pytest.raises(Overloaded, match="intake stops at") as caught:
        guarded.put([make_review(2)])
    assert caught.value.retry_after_seconds > 0 and isinstance(caught.value, TemporaryFailure)
    analysis = Analysis(review_id=review.id, emotions=ANGRY, insight_reason="t", analysed_at=EPOCH)
    assert guarded.save([(review, analysis)]) == 1
    server.config_set("maxmemory", used * 2)
    assert Store(server).put([make_review(2)]) == ["new"]


def test_a_limit_of_ones_own_holds_on_a_server_without_maxmemory(server):
    with pytest.raises(Overloaded, match="BEYOND_MAX_MEMORY"):
        Store(server, max_memory=500_000).put([make_review(1)])
    assert Store(server, max_memory=10**10).put([make_review(1)]) == ["new"]


def test_the_guard_asks_at_most_once_a_second(server):
    clock = Clock()
    guard = MemoryGuard(server, 10**12, clock)

    def asked() -> int:
        return int(server.info("commandstats")["cmdstat_info"]["calls"])

    server.info()
    before = asked()
    for _ in range(100):
        guard.check()
    assert asked() - before == 2, "one of the guard's and one of this test"
    clock.now = CHECK_SECONDS
    guard.check()
    assert asked() - before == 4


def test_other_refusals_stay_temporary_failures(server):
    with pytest.raises(TemporaryFailure) as caught:
        call(lambda: server.execute_command("NONSENSE"))
    assert not isinstance(caught.value, Overloaded)
