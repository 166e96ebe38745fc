"""The feed over HTTP: a live server, a projector, and a follower that hears what its scope allows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest
import uvicorn

from consumers.record.projector import Projector
from shared.stream.feed import Feed
from shared.stream.names import LIVE
from tests.conftest import make_review, wait_until
from tests.consumers.dashboard.conftest import open_dashboard


@contextmanager
def live(app) -> Iterator[str]:  # type: ignore[no-untyped-def]
    """The app on a port of its own; its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def fresh(settings, server):  # type: ignore[no-untyped-def]
    dashboard = open_dashboard(settings, count=0)
    with closing(dashboard.redis):
        yield dashboard
    dashboard.engine.dispose()


def events(lines) -> Iterator[tuple[str, dict[str, object]]]:  # type: ignore[no-untyped-def]
    """(id, data) of each event "news"."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        found[name] = value
        if not line:
            if found.get("event") == "news":
                yield found["id"], json.loads(found["data"])
            found = {}


def test_a_follower_hears_what_the_record_has_read_and_goes_on_where_it_was(fresh, store):
    projector = Projector(fresh.engine, store)
    projector.catch_up()
    headers = {"Authorization": f"Bearer {fresh.secret('read')}"}
    with live(fresh.app) as address, httpx.Client(base_url=address, headers=headers) as client:
        with client.stream("GET", "/v1/feed", timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            assert next(lines) == ": following"
            store.put([make_review(1)], LIVE)
            projector.catch_up()
            place, data = next(events(lines))
            assert data["reviews"] == [make_review(1).id]
        store.put([make_review(2)], LIVE)
        store.delete([make_review(1).id])
        projector.catch_up()
        again = {"Last-Event-ID": place}
        with client.stream("GET", "/v1/feed", timeout=60, headers=again) as answer:
            _, data = next(events(answer.iter_lines()))
        assert data["reviews"] == [make_review(2).id, make_review(1).id]


def test_a_scoped_follower_hears_of_its_own_reviews_only(fresh, store):
    projector = Projector(fresh.engine, store)
    projector.catch_up()
    headers = {"Authorization": f"Bearer {fresh.secret('read', 'ours')}"}
    theirs = [make_review(n) for n in range(5)]
    ours = make_review(9).model_copy(update={"business": "ours"})
    with live(fresh.app) as address, httpx.Client(base_url=address, headers=headers) as client:
        with client.stream("GET", "/v1/feed", timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            for review in theirs:
                store.put([review], LIVE)
            store.delete([theirs[0].id])
            projector.catch_up()
            store.put([ours], LIVE)
            projector.catch_up()
            _, data = next(events(lines))
    assert data == {"reviews": [ours.id], "more": 0, "missed": False}


def test_a_follower_that_was_away_for_too_long_is_told_to_read_again(fresh, store):
    projector = Projector(fresh.engine, store)
    store.put([make_review(1)], LIVE)
    projector.catch_up()
    place = projector.place()
    fresh.redis.xtrim("b:feed", maxlen=0, approximate=False)
    store.put([make_review(2)], LIVE)
    projector.catch_up()
    assert Feed(fresh.redis).last() != place
    headers = {"Authorization": f"Bearer {fresh.secret('read')}", "Last-Event-ID": place}
    with live(fresh.app) as address, httpx.Client(base_url=address, headers=headers) as client:
        with client.stream("GET", "/v1/feed", timeout=60) as answer:
            _, data = next(events(answer.iter_lines()))
    assert data["missed"] is True


def test_a_place_that_is_none_is_refused(fresh):
    answer = fresh.client("read").get("/v1/feed", headers={"Last-Event-ID": "yesterday"})
    assert answer.status_code == 422
