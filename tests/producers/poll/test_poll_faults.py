"""What may happen while a source is read: killed pollers, a restarting server, any body at all."""

from __future__ import annotations

import json
import os
import signal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from producers.platforms.reading import Read
from producers.poll.auth import Auth, Credentials
from producers.poll.description import Description
from producers.poll.pages import value_of
from producers.poll.walk import Walk
from shared.errors import BeyondError, Malformed
from shared.stream import broker
from shared.stream.polling import LostTurn, Turn, Turns
from tests.conftest import wait_until
from tests.producers.poll.conftest import item, reply

NEWEST_FIRST = '[sources.blog.paging]\nby = "page"\nnewest_first = true'
PAGES, PER_PAGE = 30, 20
CURSOR = (
    '[sources.blog.paging]\nby = "cursor"\ncursor = "$.next"\nparam = "after"\nnewest_first = true'
)


def test_one_poller_at_a_time_and_a_stale_one_cannot_put_the_cursor_back(server):
    turns = Turns(server)
    stale = turns.claim("s", 0.001, now=True)
    assert isinstance(stale, Turn)
    while not isinstance(fresh := turns.claim("s", 60), Turn):
        pass
    assert turns.claim("s", 60, now=True) > 50, "busy elsewhere"
    turns.save(fresh, "new", 60)
    with pytest.raises(LostTurn, match="refused"):
        turns.save(stale, "old", 60)
    with pytest.raises(LostTurn):
        turns.end(stale, "old", 0)
    assert turns.standing("s").state == "new" and turns.standing("s").busy
    turns.end(fresh, "newer", 30)
    assert 29 < turns.claim("s", 60) <= 30
    assert turns.claim("s", 60, now=True).state == "newer"


def test_a_poller_that_lost_its_source_cannot_move_the_cursor(polled, config, played, server):
    def answer(_, query, __):  # type: ignore[no-untyped-def]
        if query["page"] == "2":
            server.hincrby("b:poll:blog", "fence", 1)  # somebody else claimed during the request
        return reply({"reviews": [item(int(query["page"]))]})

    played.answer, path = answer, config(NEWEST_FIRST)
    with pytest.raises(LostTurn):
        polled.turn(path)
    assert b"page=2" in server.hget("b:poll:blog", "state")
    assert len(polled.texts()) == 2, "what it stored stays: reviews are known by their ids"


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_killed_between_a_page_and_its_cursor_the_next_poll_reads_on(polled, config, played, server, killed_at):  # fmt: skip
    """The page is known then, because we stored it: it must not pass for the end of what is new."""
    played.answer = lambda _, query, __: reply(
        {"reviews": [item(int(query["page"]))] if int(query["page"]) < 5 else []}
    )
    path = config(NEWEST_FIRST)
    poller, (source,) = polled.prepared(path)
    whole, calls = source.walk._take, []

    def dying(arrivals):  # type: ignore[no-untyped-def]
        out = whole(arrivals)
        calls.append(1)
        if len(calls) == killed_at:
            raise SystemExit
        return out

    source.walk._take = dying
    with pytest.raises(SystemExit):
        poller.turn(source, now=True)
    server.hset("b:poll:blog", "until", 0)  # the lease of the dead one runs out
    assert polled.turn(path).counts.finished
    assert len(polled.texts()) == 4


def many_pages(path, query, headers):  # type: ignore[no-untyped-def]
    number = int(query.get("after", 0))
    reviews = [item(n, f"Text {n}") for n in range(number * PER_PAGE, (number + 1) * PER_PAGE)]
    return reply({"reviews": reviews, "next": number + 1 if number + 1 < PAGES else None})


def test_killed_again_and_again_a_poller_loses_nothing_and_doubles_nothing(processes, config, played, store, server):  # fmt: skip
    """Each kill leaves a lease behind; the fence makes taking it over safe, so the test ends it."""
    played.answer, path = many_pages, str(config(CURSOR))
    for turn in range(1, 4):
        running = processes.beyond("poll", "--once", "--config", path)
        wait_until(lambda turn=turn: store.counts()["stored"] >= turn * 100, 60)
        running.send_signal(signal.SIGKILL)
        running.wait()
        server.hset("b:poll:blog", "until", 0)
    done = processes.run("poll", "--once", "--config", path)
    assert done.returncode == 0, done.stderr
    assert store.counts()["stored"] == PAGES * PER_PAGE
    assert "30 pages" not in done.stdout, "it went on, and did not begin again"


def test_a_server_that_restarts_under_a_poller_costs_nothing(processes, config, played, settings, server, store):  # fmt: skip
    path = config(CURSOR)
    path.write_text(path.read_text().replace("every_seconds = 600", "every_seconds = 1"))
    played.answer = many_pages
    processes.beyond("poll", BEYOND_SOURCES=str(path))
    assert wait_until(lambda: store.counts()["stored"] >= 100, 60)
    process = server.info("server")["process_id"]
    os.kill(process, signal.SIGKILL)

    def all_there() -> bool:
        try:
            return bool(broker.connect(settings).hget("b:stats", "stored") == b"600")
        except Exception:
            return False

    assert wait_until(all_there, 120)


def walk(form: str = "json", **read) -> Walk:  # type: ignore[no-untyped-def]
    fields = {"external_id": "$.id", "text": "$.body", "created_at": "$.date", "rating": "$.stars"}
    about = Description(url="https://x.example/", format=form, read=Read(**read), fields=fields)  # type: ignore[arg-type]
    nobody = Credentials(Auth(), "", lambda *_: (500, {}, b""))
    return Walk("s", about, nobody, b"key", {}, lambda a: [], lambda b: None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "body", "date", "stars", "reviews"]), inner)
    ),
    max_leaves=12,
)


@bounded(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON, st.sampled_from(["$", "$.reviews[*]", "$[*]", "$..*"]))
def test_any_json_page_is_read_or_refused_and_never_an_error(value, each):
    try:
        page = walk(each=each).read(value_of("json", json.dumps(value).encode(), {}))
    except BeyondError:
        return
    assert len(page.arrivals) + len(page.bad) <= page.items


FEED = (
    b'<rss version="2.0"><channel><item><guid>1</guid><description>cold</description>'
    b"<pubDate>Sun, 01 Mar 2026 12:00:00 GMT</pubDate></item></channel></rss>"
)


@bounded(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=40), st.integers(0, len(FEED)), st.integers(0, 30))
def test_any_damage_to_a_feed_is_read_or_refused_and_never_an_error(damage, place, gone):
    body = FEED[:place] + damage + FEED[place + gone :]
    try:
        walk("feed", each="$.entries[*]").read(value_of("feed", body, {}))
    except BeyondError:
        pass


def test_more_reviews_than_any_page_has_are_refused():
    with pytest.raises(Malformed, match="at most 1000"):
        walk(each="$[*]").read([item(n) for n in range(1001)])
