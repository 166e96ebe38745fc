"""An event's own time decides, whatever order the deliveries come in; against a real server."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from shared.errors import Overloaded
from shared.stream.arrivals import Arrival, Arrivals
from tests.conftest import EPOCH, make_review


@pytest.fixture
def arrivals(server):  # type: ignore[no-untyped-def]
    return Arrivals(server, 1000, 64, None)


def saved(minute: int, text: str) -> Arrival:
    review = make_review(1, text)
    return Arrival(review.id, review, EPOCH + timedelta(minutes=minute))


CREATED, UPDATED = saved(0, "cold"), saved(1, "warm")
DELETED = Arrival(CREATED.review_id, None, EPOCH + timedelta(minutes=2))


@pytest.mark.parametrize("order", itertools.permutations([CREATED, UPDATED, DELETED]))
def test_in_any_order_a_deleted_review_stays_deleted(arrivals, store, order):
    for arrival in order:
        arrivals.take([arrival], 5)
    assert store.reviews([CREATED.review_id]) == [None] and store.counts()["stored"] == 0


def test_an_older_text_never_replaces_a_newer_one(arrivals, store):
    assert arrivals.take([UPDATED], 5) == ["new"]
    assert arrivals.take([CREATED], 5) == ["stale"]
    assert arrivals.take([UPDATED], 5) == ["same"]
    assert store.reviews([CREATED.review_id])[0].text == "warm"


def test_a_review_written_again_after_its_deletion_is_new(arrivals, store):
    arrivals.take([DELETED], 5)
    assert arrivals.take([saved(3, "again")], 5) == ["new"]


def test_events_without_a_time_are_taken_in_the_order_of_arrival(arrivals, store):
    arrivals.take([Arrival(UPDATED.review_id, UPDATED.review)], 5)
    assert arrivals.take([Arrival(CREATED.review_id, CREATED.review)], 5) == ["updated"]


def test_a_stale_event_does_not_hold_up_its_neighbours(arrivals, store):
    arrivals.take([UPDATED], 5)
    other = make_review(2, "fine")
    out = arrivals.take([CREATED, Arrival(other.id, other), Arrival("gone", None)], 5)
    assert out == ["stale", "new", "deleted"] and store.counts()["stored"] == 2


def test_several_reviews_of_one_delivery_are_stored_all_or_none(server, store):
    full = Arrivals(server, 1, 64, None)
    pair = [Arrival(r.id, r) for r in (make_review(1), make_review(2))]
    assert full.take(pair, 5) == ["new", "new"]
    assert store.counts()["stored"] == 2 and store.counts()["live"] == 1, "one job for both"
    third = make_review(3)
    with pytest.raises(Overloaded):
        full.take([Arrival(third.id, third, EPOCH), Arrival(pair[0].review_id, None, EPOCH)], 5)
    assert store.counts()["stored"] == 2, "neither stored nor deleted"
    assert not list(server.scan_iter("b:event:*")), "nor remembered: the repeat is not stale"
