"""Each change is told once, in order, and a reader that missed something is told so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shared.errors import FellBehind
from shared.review import Analysis
from shared.stream import leases
from shared.stream.arrivals import Arrival, Arrivals
from shared.stream.feed import FEED, START, Change, Feed, Group
from shared.stream.names import LIVE
from tests.conftest import EPOCH, ROOT, make_review
from tests.fakes import ANGRY


def told(feed, place=START):  # type: ignore[no-untyped-def]
    return [(e.kind, [c.review_id for c in e.changes]) for e in feed.after(place)]


def analysis(review):  # type: ignore[no-untyped-def]
    return Analysis(
        review_id=review.id, emotions=ANGRY, insight_reason="no problem", analysed_at=EPOCH
    )


def test_each_change_is_told_once_with_what_it_changed(store, server):
    first, second = make_review(1), make_review(2)
    store.put([first, second], "backfill")
    store.put([first], "backfill")  # the same again
    store.put([make_review(1, "The soup was warm.")])
    store.save([(first, analysis(first)), (second, analysis(second))])  # the first is too late
    store.delete([second.id, "nobody"])
    assert told(Feed(server)) == [
        ("put", [first.id, second.id]),
        ("put", [first.id]),
        ("save", [second.id]),
        ("delete", [second.id]),
    ]
    versions = [e.changes for e in Feed(server).after(START)]
    assert versions[0] == (Change(first.id, first.version), Change(second.id, second.version))
    assert versions[3] == (Change(second.id, second.version),)


def test_a_delivery_of_events_is_told_as_well(store, server):
    kept, gone = make_review(1), make_review(2)
    store.put([gone])
    place = Feed(server).last()
    Arrivals(server, 10, 64, None).take([Arrival(kept.id, kept), Arrival(gone.id, None)], 5)
    assert told(Feed(server), place) == [("put", [kept.id]), ("delete", [gone.id])]


def test_a_dead_letter_is_told_with_its_reason(store, server):
    store.put([make_review()])
    (job,) = leases.claim(server, LIVE, 1, execution="e", lease_seconds=60)
    place = Feed(server).last()
    leases.fail(server, LIVE, job.job_id, job.entry, "the model choked", final=True)
    (entry,) = Feed(server).after(place)
    assert (entry.kind, entry.job, entry.queue) == ("dead", job.job_id, LIVE)
    assert entry.reason == "the model choked"


def test_the_feed_is_trimmed_and_a_reader_that_missed_entries_hears_of_it(store, server):
    feed = Feed(server)
    feed.keep(100)  # about: the server drops whole blocks of a hundred
    store.put([make_review(0)])
    early = feed.last()
    assert [e.id for e in feed.after(START)] == [early]
    for number in range(1, 400):
        store.put([make_review(number)])
    assert 100 <= server.xlen(FEED) < 300
    for place in (early, START):
        with pytest.raises(FellBehind):
            feed.after(place)
    left = feed.oldest(1000)
    assert [e.id for e in feed.after(left[0].id, 1000)] == [e.id for e in left[1:]]
    assert feed.after(feed.last()) == []


def test_a_server_that_lost_its_data_makes_readers_start_over(store, server):
    store.put([make_review(0)])
    place = Feed(server).last()
    server.flushall()
    with pytest.raises(FellBehind):
        Feed(server).after(place)
    assert Feed(server).after(START) == []


def test_waiting_ends_with_the_next_entry(store, server):
    feed = Feed(server)
    assert not feed.wait(feed.last(), 0.01)
    store.put([make_review(0)])
    assert feed.wait(START, 60)


def test_processes_of_a_group_share_the_entries_and_a_silent_ones_come_again(store, server):
    store.put([make_review(0)])  # before the group began
    one, other = Group(server, "g", "one"), Group(server, "g", "other", idle_seconds=0)
    for number in range(1, 5):
        store.put([make_review(number)])
    taken = one.read(limit=2)
    assert [c.review_id for e in taken for c in e.changes] == [make_review(i).id for i in (1, 2)]
    one.done(taken[:1])
    assert Group(server, "g", "one").read() == taken[1:], "restarted, it takes up what it left"
    assert other.read(limit=1) == taken[1:], "the first one has been silent"
    other.done(taken[1:])
    rest = other.read()
    assert [c.review_id for e in rest for c in e.changes] == [make_review(i).id for i in (3, 4)]
    other.done(rest)
    assert one.read(wait_seconds=0.01) == []


def test_a_group_that_missed_entries_hears_of_it_once_and_goes_on(store, server):
    group = Group(server, "g", "one")
    store.put([make_review(0)])
    group.done(group.read())
    server.xtrim(FEED, 0, approximate=False)
    store.put([make_review(1)])
    with pytest.raises(FellBehind):
        group.read()
    store.put([make_review(2)])
    (entry,) = group.read()
    assert entry.changes[0].review_id == make_review(2).id


def beyond(processes, *words):  # type: ignore[no-untyped-def]
    return subprocess.Popen(
        [sys.executable, "beyond.py", *words],
        cwd=ROOT,
        env=processes.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_command_prints_what_was_and_follows_what_comes(store, server, processes):
    store.put([make_review(0)])
    out, _ = beyond(processes, "feed").communicate(timeout=120)
    (line,) = map(json.loads, out.splitlines())
    assert line["kind"] == "put"
    assert line["reviews"] == [{"id": make_review(0).id, "version": make_review(0).version}]
    store.put([make_review(1)])
    following = beyond(processes, "feed", "--follow", "--from", line["entry"])
    try:
        assert json.loads(following.stdout.readline())["reviews"][0]["id"] == make_review(1).id
        store.delete([make_review(1).id])
        assert json.loads(following.stdout.readline())["kind"] == "delete"
    finally:
        following.kill()
        following.communicate()


def test_the_command_says_when_a_place_is_gone(store, server, processes):
    asked = subprocess.run(
        [sys.executable, "beyond.py", "feed", "--from", "5-5"],
        cwd=ROOT,
        env=processes.environment(),
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 2 and "5-5" in asked.stderr
