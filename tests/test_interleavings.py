"""Any order of put, update, delete, ask, claim, read, save, settle, fail, give back, sweep and kill: no review falls between.

The invariant: a stored review is analysed, or a job that names it waits, is in flight or is a dead
letter; and a job is in exactly one of these places, once, with the status of that place. The same of
a reply that somebody wants: it is of the stored version, and a job of its own kind names it.
More steps by hand: BEYOND_STEPS=200000 python -m pytest tests/test_interleavings.py -s
"""

from __future__ import annotations

import os

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.review import Analysis
from shared.stream import leases
from shared.stream.access import prepare
from shared.stream.leases import Settled
from shared.stream.names import BACKFILL, LIVE, flight_key
from shared.stream.queues import job_fields
from shared.stream.recovery import DeadLetter, _review_ids, dead_letters, requeue, sweep
from shared.stream.replies import Replies, Request
from shared.stream.store import Store
from tests.conftest import EPOCH, make_review
from tests.fakes import ANGRY
from tests.invariant import QUEUES, check, places

STEPS = int(os.environ.get("BEYOND_STEPS", 6000))
STEPS_A_RUN = 60
TEXTS = ("The soup was cold.", "The soup was warm after all.", "The soup was cold again.")


class Hand:
    """A batch in a worker's hands."""

    def __init__(self, queue: str, held: list[leases.Lease]) -> None:
        self.queue, self.held = queue, held
        self.ids = {x.job_id: list(_review_ids(x.fields[b"data"])) for x in held}
        self.read: list = []  # type: ignore[type-arg]
        self.requests: list[Request] = []

    def answering(self) -> list[str]:
        """Reviews that a job of the kind `reply` names."""
        return [i for name, ids in self.ids.items() if "-reply-" in name for i in ids]

    def analysing(self) -> list[str]:
        return [i for name, ids in self.ids.items() if "-reply-" not in name for i in ids]


class Stream(RuleBasedStateMachine):
    """Three reviews, up to three workers, one real server for all runs."""

    server: redis.Redis
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.store, self.hands, self.number = Store(self.server), [], 0

    @initialize()
    def empty(self) -> None:
        self.server.flushall()

    reviews = st.integers(0, 2)
    some_hand = st.integers(0, 2)

    def hand(self, index: int) -> Hand:
        found: Hand = self.hands[index % len(self.hands)]
        return found

    def busy(self) -> bool:
        return bool(self.hands)

    @rule(number=reviews, text=st.sampled_from(TEXTS))
    def put(self, number: int, text: str) -> None:
        self.store.put([make_review(number, text)])

    @rule(text=st.sampled_from(TEXTS), many=st.integers(1, 3))
    def backfill(self, text: str, many: int) -> None:
        self.store.put([make_review(i, text) for i in range(many)], BACKFILL)

    @rule(number=reviews)
    def delete(self, number: int) -> None:
        self.store.delete([make_review(number).id])

    @rule(number=reviews, text=st.none() | st.sampled_from(TEXTS), by=st.sampled_from("ab"))
    def ask(self, number: int, text: str | None, by: str) -> None:
        """Somebody wants a reply to the stored version, or to one that may have been stored."""
        review = make_review(number, text or TEXTS[0])
        stored = self.store.reviews([review.id])[0] if text is None else None
        version = (stored or review).version
        Replies(self.server).ask(Request(review.id, version, "warm", "", by))

    @precondition(lambda self: len(self.hands) < 3)
    @rule(queue=st.sampled_from(QUEUES))
    def work_off(self, queue: str) -> None:
        """A worker that nothing happens to: without it few reviews get as far as a reply."""
        before = len(self.hands)
        self.claim(queue, 3)
        if len(self.hands) > before:
            self.settle(len(self.hands) - 1)

    @rule()
    def bring(self) -> None:
        """The record takes the drafts."""
        Replies(self.server).taken(Replies(self.server).drafts())

    @rule()
    def prepare(self) -> None:
        prepare(self.server)

    @precondition(lambda self: len(self.hands) < 3)
    @rule(queue=st.sampled_from(QUEUES), limit=st.integers(1, 3))
    def claim(self, queue: str, limit: int) -> None:
        self.number += 1
        held = leases.claim(
            self.server, queue, limit, execution=f"e{self.number}", lease_seconds=3600
        )
        if held:
            self.hands.append(Hand(queue, held))

    @precondition(busy)
    @rule(index=some_hand)
    def read(self, index: int) -> None:
        hand = self.hand(index)
        hand.read = self.store.pending(hand.analysing())
        asked = Replies(self.server).requests(hand.answering())
        hand.requests = [request for request in asked if request]

    @precondition(busy)
    @rule(index=some_hand)
    def save(self, index: int) -> None:
        self.store.save(
            (r, Analysis(review_id=r.id, emotions=ANGRY, insight_reason="t", analysed_at=EPOCH))
            for r in self.hand(index).read
        )
        for request in self.hand(index).requests:
            Replies(self.server).write(request, "Thank you.", "test")

    @precondition(busy)
    @rule(index=some_hand)
    def settle(self, index: int) -> None:
        """A worker settles what it has read and saved.

        Reviews it could not analyse get a job each.
        """
        hand = self.hand(index)
        self.read(index)
        self.save(index)
        done = [Settled(x.job_id, x.entry) for x in hand.held]
        for _ in range(2):  # its answer was lost: it is sent again
            leases.settle(self.server, hand.queue, done)
        self.hands.remove(hand)

    @precondition(busy)
    @rule(index=some_hand)
    def split(self, index: int) -> None:
        hand = self.hand(index)
        for x in hand.held:
            if "-reply-" in x.job_id:  # names one review: it fails instead
                leases.fail(self.server, hand.queue, x.job_id, x.entry, "reason")
                continue
            follow = [
                (f"{i}-{hand.queue}", job_fields(self.server, [i], hand.queue, tried=1))
                for i in hand.ids[x.job_id]
            ]
            leases.settle(self.server, hand.queue, [Settled(x.job_id, x.entry, follow)])
        self.hands.remove(hand)

    @precondition(busy)
    @rule(index=some_hand, final=st.booleans())
    def fail(self, index: int, final: bool) -> None:
        hand = self.hand(index)
        for x in hand.held:
            leases.fail(self.server, hand.queue, x.job_id, x.entry, "reason", final=final)
        self.hands.remove(hand)

    @precondition(busy)
    @rule(index=some_hand)
    def give_back(self, index: int) -> None:
        hand = self.hand(index)
        leases.release(self.server, hand.queue, [(x.job_id, x.entry) for x in hand.held])
        self.hands.remove(hand)

    @precondition(busy)
    @rule(index=some_hand)
    def kill(self, index: int) -> None:
        """Its leases run out.

        Sometimes the worker was only asleep and goes on (it stays in hands).
        """
        hand = self.hand(index)
        for x in hand.held:
            self.server.zadd(flight_key(hand.queue), {x.entry: 1}, xx=True)
        if index == 0:
            self.hands.remove(hand)

    @rule(limit=st.integers(1, 5))
    def sweep(self, limit: int) -> None:
        sweep(self.server, QUEUES, grace_seconds=1e9, limit_jobs=limit)

    @rule()
    def retry(self) -> None:
        letters: list[DeadLetter] = dead_letters(self.server, QUEUES)
        if letters:
            requeue(self.server, letters[0])

    @invariant()
    def nothing_falls_between(self) -> None:
        Stream.steps += 1
        check(self.server, self.store)


def test_random_interleavings_lose_no_review_and_keep_each_job_in_one_place(server):
    Stream.server, Stream.steps = server, 0
    Stream.TestCase.settings = settings(
        max_examples=max(1, -(-STEPS // STEPS_A_RUN)),
        stateful_step_count=STEPS_A_RUN,
        deadline=None,
        database=None,
        print_blob=True,  # the seed of a failure
        suppress_health_check=list(HealthCheck),
    )
    while Stream.steps < STEPS:  # short runs count less
        Stream.TestCase().runTest()
    print(f"{Stream.steps} steps")
    assert Stream.steps >= STEPS


def test_deleted_and_sent_again_between_save_and_settle_a_review_is_analysed_again(store, server):
    review = make_review()
    store.put([review])
    (job,) = leases.claim(server, LIVE, 1, execution="e", lease_seconds=60)
    read = store.pending([review.id])
    store.save(
        (r, Analysis(review_id=r.id, emotions=ANGRY, insight_reason="t", analysed_at=EPOCH))
        for r in read
    )
    store.delete([review.id])
    store.put([review])
    leases.settle(server, LIVE, [Settled(job.job_id, job.entry)])
    check(server, store)
    (again,) = leases.claim(server, LIVE, 1, execution="f", lease_seconds=60)
    assert _review_ids(again.fields[b"data"]) == (review.id,)


def test_changed_and_changed_back_between_claim_and_settle_a_review_keeps_its_place(store, server):
    first, second = make_review(1, "first"), make_review(1, "second")
    store.put([first])
    (job,) = leases.claim(server, LIVE, 1, execution="e", lease_seconds=60)
    store.put([second])
    store.put([first])
    leases.settle(server, LIVE, [Settled(job.job_id, job.entry)])
    check(server, store)


def test_a_waiting_review_that_changes_waits_once(store, server):
    for text in TEXTS:
        store.put([make_review(1, text)])
    assert list(places(server).values()) == [["queued"]]
