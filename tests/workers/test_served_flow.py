"""A real worker, a real queue, and a server that is slow, busy, broken or away: whose fault is what."""

from __future__ import annotations

import threading

import pytest

from shared.stream.names import BACKFILL, LIVE, MAX_RETRIES
from shared.stream.recovery import dead_letters, load
from tests.conftest import make_review, wait_until
from tests.served_stand_in import StandIn

QUEUES = (LIVE, BACKFILL)


@pytest.fixture
def stand_in():  # type: ignore[no-untyped-def]
    found = StandIn()
    yield found
    found.stop()


@pytest.fixture
def start(processes, stand_in):  # type: ignore[no-untyped-def]
    def start(**more: str):  # type: ignore[no-untyped-def]
        more = {"BEYOND_OPENAI_URL": stand_in.url, "BEYOND_OPENAI_ROUTE": "completions", **more}
        return processes.worker("tests.fakes.ServedWorker", **more)

    return start


def fill(store, texts, queue=LIVE):  # type: ignore[no-untyped-def]
    reviews = [make_review(i, text, 1) for i, text in enumerate(texts)]
    for review in reviews:
        store.put([review], queue=queue)
    return reviews


def analysed(store, reviews):  # type: ignore[no-untyped-def]
    return [a is not None for a in store.analyses([r.id for r in reviews])]


def test_each_review_is_settled_by_its_own_answer_and_others_follow(store, server, stand_in, start):
    """One answer never comes, until the test lets it: all others are settled, more than ever fit at once."""
    gate = stand_in.gates["WAITS"] = threading.Event()
    fill(store, ["WAITS for ever.", *(f"The soup was cold, {i} times." for i in range(30))])
    start(BEYOND_GENERATE_BATCH="4")
    assert wait_until(lambda: store.counts()["analysed"] == 30)
    assert wait_until(lambda: load(server, QUEUES)[LIVE] == (0, 1, 0)), "the slow one is in flight"
    assert 2 <= stand_in.most_flying <= 4
    gate.set()
    assert wait_until(lambda: load(server, QUEUES)[LIVE] == (0, 0, 0))
    assert store.counts()["analysed"] == 31
    assert not server.keys("rq:job:*")


def test_a_slow_healthy_server_costs_no_worker_its_life(store, stand_in, start):
    """Twice the watchdog's time for all, a third of it for each: before, the worker was killed and began anew."""
    stand_in.slow_seconds = 1.0
    fill(store, [f"SLOW service, {i} times." for i in range(7)])
    worker = start(BEYOND_GENERATE_BATCH="1", BEYOND_HANG_SECONDS="3")
    assert wait_until(lambda: store.counts()["analysed"] == 7)
    assert worker.poll() is None
    asked = [a for a in stand_in.asked if "SLOW" in a.get("prompt", "")]
    assert len(asked) == 7, "none was begun twice"


def test_a_request_that_fails_costs_its_review_a_retry_and_no_other(store, server, stand_in, start):
    """HTTP 500, 400 or a connection that drops, for these alone: a harmless question is answered."""
    bad = ["BREAKS it.", "HUGE one.", "DROPS it."]
    good = [f"The soup was cold, {i} times." for i in range(12)]
    reviews = fill(store, [*bad, *good])
    worker = start()
    assert wait_until(lambda: len(dead_letters(server, QUEUES)) == 3)
    assert analysed(store, reviews) == [False] * 3 + [True] * 12
    assert all("Refused" in letter.reason for letter in dead_letters(server, QUEUES))
    for word, times in (("BREAKS", MAX_RETRIES + 1), ("cold, 3", 1)):
        first_tries = [
            a for a in stand_in.asked if word in a.get("prompt", "") and a["temperature"] == 0
        ]
        assert len(first_tries) == times, word
    assert worker.poll() is None


def test_a_chunk_ends_with_a_job_for_each_review_that_failed(store, server, stand_in, start):
    reviews = [make_review(i, t, 1) for i, t in enumerate(["BREAKS it.", *["Cold soup."] * 5])]
    store.put(reviews, queue=BACKFILL)
    start()
    assert wait_until(lambda: len(dead_letters(server, QUEUES)) == 1)
    assert dead_letters(server, QUEUES)[0].review_ids == (reviews[0].id,)
    assert analysed(store, reviews) == [False] + [True] * 5
    assert load(server, QUEUES)[BACKFILL] == (0, 0, 1)


@pytest.mark.parametrize("how", ["refuses connections", "answers 500 to all", "answers 400 to all"])
def test_a_server_that_is_away_costs_no_retry(store, server, stand_in, start, how):
    """400 to everything is what `transformers serve` says to a wrong BEYOND_OPENAI_MODEL."""
    reviews = fill(store, [f"The soup was cold, {i} times." for i in range(6)])
    if how == "refuses connections":
        port = stand_in.server_address[1]
        stand_in.stop()
    else:
        stand_in.broken = 400 if "400" in how else 500
    worker = start(BEYOND_OPENAI_GRAMMAR="none")
    assert wait_until(lambda: any("outage" in kind for kind in store.warnings()))
    assert any("insight server" in text for text in store.warnings().values())
    left = {int(server.hget(k, "retries_left")) for k in server.keys("rq:job:*")}
    assert left == {MAX_RETRIES} and not dead_letters(server, QUEUES)
    if how == "refuses connections":
        again = StandIn(port)
    else:
        again, stand_in.broken = None, 0
    assert wait_until(lambda: all(analysed(store, reviews)))
    assert wait_until(lambda: not store.warnings()) and worker.poll() is None
    if again:
        again.stop()


def test_a_busy_server_is_waited_for_as_long_as_it_says(store, server, stand_in, start):
    """429 for six requests: no retry, no outage; every one is asked again."""
    stand_in.busy = 6
    reviews = fill(store, [f"The soup was cold, {i} times." for i in range(6)])
    start(BEYOND_OPENAI_GRAMMAR="none", BEYOND_GENERATE_BATCH="2")
    assert wait_until(lambda: all(analysed(store, reviews)))
    assert not store.warnings() and not dead_letters(server, QUEUES)


def test_a_live_review_overtakes_a_backfill_that_is_in_flight(store, server, stand_in, start):
    gate = stand_in.gates["WAITS"] = threading.Event()
    chunk = [make_review(i, f"WAITS {i}.", 1) for i in range(8)]
    for one in chunk:
        store.put([one], queue=BACKFILL)
    start(BEYOND_GENERATE_BATCH="2")
    assert wait_until(lambda: stand_in.flying == 2)
    stand_in.gates["LATER"] = gate
    late = make_review(99, "Cold soup.", 1)
    store.put([late])
    gate.set()
    assert wait_until(lambda: analysed(store, [late, *chunk]) == [True] * 9)
    prompts = [a["prompt"] for a in stand_in.asked if "Review:" in a.get("prompt", "")]
    assert "Cold soup" in "".join(prompts[2:4]), "as soon as there was room"
