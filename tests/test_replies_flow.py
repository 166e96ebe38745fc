"""A reply is a job like any other: asked for twice it is one job, and kill, update, erasure and failure keep the invariant."""

from __future__ import annotations

import signal

import pytest

from shared.errors import TemporaryFailure
from shared.stream import leases
from shared.stream.feed import Feed
from shared.stream.names import LIVE
from shared.stream.recovery import dead_letters, load, requeue
from shared.stream.replies import Replies, Request
from tests.conftest import make_review, wait_until
from tests.consumers.replies.test_compose import analysis_of
from tests.stream_state import QUEUES, flying, settled
from workers.replies import Replier


def asking(review, by="ann", tone="warm"):  # type: ignore[no-untyped-def]
    return Request(review.id, review.version, tone, "The owner", by)


@pytest.fixture
def replies(store):
    """The stream's side, with one analysed review stored and no job."""
    return Replies(store.connection)


@pytest.fixture
def review(store, server):
    found = make_review(1)
    store.put([found])
    store.save([(found, analysis_of(found, ("quality", None)))])
    for lease in leases.claim(server, LIVE, 9, execution="before", lease_seconds=60):
        leases.settle(server, LIVE, [leases.Settled(lease.job_id, lease.entry)])
    return found


def test_asking_twice_makes_one_job_and_the_draft_is_told_of(replies, review, store, server):
    assert replies.ask(asking(review)) and replies.ask(asking(review))
    assert replies.ask(asking(review, by="bob"))
    assert load(server, [LIVE])[LIVE] == (1, 0, 0)
    (job,) = leases.claim(server, LIVE, 9, execution="e", lease_seconds=60)
    assert job.job_id == f"{review.id}-{review.version}-reply-0"
    assert replies.ask(asking(review, by="bob")), "in flight it is asked for already"
    assert load(server, [LIVE])[LIVE] == (0, 1, 0)
    place = Feed(server).last()
    assert Replier(store, replies).run([review.id]) == [None]
    leases.settle(server, LIVE, [leases.Settled(job.job_id, job.entry)])
    (told,) = Feed(server).after(place)
    assert (told.kind, told.changes[0].review_id) == ("reply", review.id)
    assert told.shown()["reviews"] == [{"id": review.id, "version": review.version}]
    (draft,) = replies.drafts()
    assert draft.text.endswith("\n\nThe owner") and draft.by == "bob"
    assert replies.wanted(review.id).state == "being written", "until the record has it"
    replies.taken([draft])
    assert replies.wanted(review.id) is None


def test_another_voice_asked_for_in_mid_flight_wins(replies, review, store, server):
    replies.ask(asking(review))
    (first,) = leases.claim(server, LIVE, 9, execution="e", lease_seconds=60)
    (read,) = replies.requests([review.id])
    replies.ask(asking(review, tone="formal"))
    assert not replies.write(read, "too late", "somebody"), "nobody wants this one any more"
    leases.settle(server, LIVE, [leases.Settled(first.job_id, first.entry)])
    (second,) = leases.claim(server, LIVE, 9, execution="f", lease_seconds=60)
    assert second.job_id.endswith("-reply-1")
    assert Replier(store, replies).run([review.id]) == [None]
    assert replies.written() == 1


@pytest.mark.parametrize("moment", ["waiting", "read", "written"])
@pytest.mark.parametrize("change", ["update", "erase"])
def test_an_updated_or_erased_review_takes_request_and_draft_along(
    replies, review, store, server, moment, change
):
    replies.ask(asking(review))
    (read,) = replies.requests([review.id])
    if moment == "written":
        assert replies.write(read, "About the old text.", "x")
    if change == "update":
        store.put([make_review(1, "The soup was warm after all.")])
    else:
        store.delete([review.id])
    if moment == "read":
        assert not replies.write(read, "About the old text.", "x")
    assert replies.wanted(review.id) is None and replies.drafts() == []
    names = [
        x.fields[b"data"] for x in leases.claim(server, LIVE, 9, execution="e", lease_seconds=60)
    ]
    assert len(names) == (2 if change == "update" else 1)
    assert Replier(store, replies).run([review.id]) == [None], "it finds nothing to do"
    assert not replies.ask(asking(review)), "that version has no analysis any more"


def test_a_worker_killed_with_a_reply_in_hand_loses_nothing(
    replies, review, store, server, processes
):
    store.put([make_review(7, "HANG, the soup.")])  # before it in the same batch
    assert replies.ask(asking(review))
    victim = processes.worker()
    assert wait_until(lambda: flying(server) == 2)
    victim.send_signal(signal.SIGKILL)
    assert replies.wanted(review.id).state == "being written"
    store.delete([make_review(7).id])
    processes.worker()
    assert wait_until(lambda: replies.written() == 1)
    assert wait_until(lambda: settled(server)) and not dead_letters(server, QUEUES)


def test_a_reply_that_cannot_be_written_is_a_dead_letter_with_its_reason(
    replies, store, server, processes
):
    """Such a request comes from a program of another version: ours does not ask for it."""
    german = make_review(1).model_copy(update={"language": "de"})
    store.put([german], "backfill")
    store.save([(german, analysis_of(german))])
    assert replies.ask(asking(german))
    worker = processes.worker()
    assert wait_until(lambda: len(dead_letters(server, [LIVE])) == 1)
    worker.terminate()  # else it may fail the job again before the test has looked
    worker.wait()
    (letter,) = dead_letters(server, [LIVE])
    assert letter.review_ids == (german.id,) and "English only" in letter.reason
    wanted = replies.wanted(german.id)
    assert wanted.state == "failed" and "English only" in wanted.reason
    assert requeue(server, letter) and replies.wanted(german.id).state == "being written"
    processes.worker()
    assert wait_until(lambda: len(dead_letters(server, [LIVE])) == 1)
    assert replies.ask(asking(german)), "asking again is another try"
    assert wait_until(lambda: len(dead_letters(server, [LIVE])) == 1)
    assert server.zcard("rq:failed:live") == 1


class Says:
    """A model that says one thing."""

    name = "says"

    def __init__(self, text: str) -> None:
        self.text = text

    def answer(self, pairs):  # type: ignore[no-untyped-def]
        if self.text == "AWAY":
            raise TemporaryFailure("the model server is away")
        return [self.text for _ in pairs]


@pytest.mark.parametrize(
    ("said", "written_by"),
    [
        (
            "Thank you for telling us; we are looking into how our kitchen sends out its soup.",
            "says",
        ),
        ("We will refund you 50 euros.", "composed-1"),
        ("", "composed-1"),
    ],
)
def test_what_a_model_says_is_a_draft_where_it_could_be_approved(
    replies, review, store, said, written_by
):
    replies.ask(asking(review))
    assert Replier(store, replies, Says(said)).run([review.id]) == [None]
    (draft,) = replies.drafts()
    assert draft.written_by == written_by and draft.text.endswith("\n\nThe owner")
    assert (draft.text == f"{said}\n\nThe owner") == (written_by == "says")


def test_a_model_that_is_away_settles_nothing(replies, review, store):
    replies.ask(asking(review))
    with pytest.raises(TemporaryFailure):
        Replier(store, replies, Says("AWAY")).run([review.id])
    assert replies.wanted(review.id).state == "being written"
