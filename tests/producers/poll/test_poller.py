"""The generic JSON poller against a real HTTP server and a real store."""

from __future__ import annotations

import json

import pytest

from shared.errors import Malformed, Misconfigured, Overloaded, TemporaryFailure
from shared.stream.store import store_of
from tests.producers.poll.conftest import item, reply


def test_reviews_are_stored_with_the_sources_name_and_a_repeat_changes_nothing(
    polled, config, played, store
):  # type: ignore[no-untyped-def]
    played.answer = lambda *_: reply({"reviews": [item(1), item(2, "The staff were rude.")]})
    path = config()
    assert polled.turn(path).counts.outcomes == {"new": 2}
    review = next(iter(store.all()))[0]
    assert (review.source, review.external_id, review.rating) == ("blog", "1", 2)
    assert polled.turn(path).counts.outcomes == {"same": 2}


def test_an_update_supersedes_and_an_older_one_that_comes_late_does_not(polled, config, played):
    text = {"now": "first", "changed": "2026-03-01T12:00:00Z"}
    played.answer = lambda *_: reply({"reviews": [item(1, text["now"], changed=text["changed"])]})
    path = config()
    polled.turn(path)
    text.update(now="second", changed="2026-03-02T12:00:00Z")
    assert polled.turn(path).counts.outcomes == {"updated": 1}
    text.update(now="first", changed="2026-03-01T12:00:00Z")
    assert polled.turn(path).counts.outcomes == {"stale": 1}
    assert polled.texts() == ["second"]


def test_a_page_is_stored_as_a_whole_or_not_at_all(polled, config, played, settings, server):
    settings.max_queued = 1
    played.answer = lambda *_: reply({"reviews": [item(n) for n in range(3)]})
    path = config()
    assert polled.turn(path).counts.outcomes == {"new": 3}
    played.answer = lambda *_: reply({"reviews": [item(n) for n in range(3, 6)]})
    turn = polled.turn(path)
    assert isinstance(turn.error, Overloaded) and len(polled.texts()) == 3
    settings.max_queued = 100
    server.hset("b:poll:blog", "hold", 0)
    assert polled.turn(path).counts.outcomes == {"new": 3}


def test_a_bad_item_is_kept_aside_once_and_the_others_are_stored(polled, config, played, settings):
    played.answer = lambda *_: reply({"reviews": [item(1), item(2, stars="many")]})
    path = config()
    assert polled.turn(path).counts.rejected == 1
    assert polled.turn(path).counts.rejected == 0
    (line,) = (settings.home / "rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["file"] == "source blog" and "rating" in json.loads(line)["reason"]


def test_a_page_of_which_nothing_can_be_read_moves_no_cursor(polled, config, played):
    played.answer = lambda *_: reply({"reviews": [{"id": 1, "words": "renamed"}]})
    turn = polled.turn(config())
    assert isinstance(turn.error, Malformed) and "text: Field required" in str(turn.error)


@pytest.mark.parametrize("kind", ["link", "header", "cursor", "page", "place"])
def test_pages_are_followed_to_the_end(polled, config, played, kind):
    pages = {1: [item(1)], 2: [item(2)], 3: [item(3)]}

    def answer(path, query, headers):  # type: ignore[no-untyped-def]
        number = int(query.get("page", path.rpartition("/")[2] if "/p/" in path else 1))
        there = number < 3
        value = {"reviews": pages.get(number, [])}
        if kind == "link" and there:
            value["links"] = {"next": f"/reviews?page={number + 1}"}
        if kind == "cursor" and there:
            value["after"] = number + 1
        link = f'<{played.url}/reviews?page={number + 1}>; rel="next"'
        return reply(value, **({"link": link} if kind == "header" and there else {}))

    played.answer = answer
    paging = {
        "link": 'by = "link"\nnext = "$.links.next"',
        "header": 'by = "link"',
        "cursor": 'by = "cursor"\ncursor = "$.after"',
        "page": 'by = "page"',
        "place": 'by = "page"\nlast = 3',
    }[kind]
    path = config(f"[sources.blog.paging]\n{paging}")
    if kind == "place":
        path.write_text(path.read_text().replace("/reviews", "/p/{page}"))
    turn = polled.turn(path)
    assert turn.counts.outcomes == {"new": 3} and turn.counts.finished, turn.error


def test_a_next_page_on_another_server_is_not_followed(polled, config, played):
    played.answer = lambda *_: reply({"reviews": [item(1)], "next": "https://elsewhere.example/"})
    turn = polled.turn(config('[sources.blog.paging]\nby = "link"\nnext = "$.next"'))
    assert isinstance(turn.error, Malformed) and "another server" in str(turn.error)


def test_pages_that_lead_in_a_circle_end(polled, config, played):
    played.answer = lambda _, query, __: reply(
        {"reviews": [item(1)], "next": f"/reviews?p={(int(query.get('p', 0)) + 1) % 2}"}
    )
    turn = polled.turn(config('[sources.blog.paging]\nby = "link"\nnext = "$.next"'))
    assert "circle" in str(turn.error)


NEWEST_FIRST = '[sources.blog.paging]\nby = "page"\nnewest_first = true'


def test_a_page_of_known_reviews_ends_a_poll_that_goes_from_new_to_old(polled, config, played):
    reviews = [item(n) for n in range(6)]

    def answer(_, query, __):  # type: ignore[no-untyped-def]
        first = 2 * (int(query["page"]) - 1)
        return reply({"reviews": reviews[first : first + 2]})

    played.answer, path = answer, config(NEWEST_FIRST)
    assert polled.turn(path).counts.pages == 4
    reviews.insert(0, item(99, "A new one."))
    turn = polled.turn(path)
    assert (turn.counts.pages, turn.counts.outcomes) == (2, {"new": 1, "same": 3})


def test_a_poll_that_was_cut_off_goes_on_where_it_stopped_and_misses_nothing(
    polled, config, played, server
):
    """Without its place, the next poll would stop at the first page, which it knows already."""
    broken = {"page": "2"}

    def answer(_, query, __):  # type: ignore[no-untyped-def]
        if query["page"] == broken["page"]:
            return reply({}, 500)
        number = int(query["page"])
        return reply({"reviews": [item(number)] if number < 4 else []})

    played.answer, path = answer, config(NEWEST_FIRST)
    turn = polled.turn(path)
    assert isinstance(turn.error, TemporaryFailure) and turn.counts.outcomes == {}
    assert len(polled.texts()) == 1
    broken["page"] = ""
    assert polled.turn(path).counts.finished
    assert sorted(q["page"] for _, q, _ in played.asked) == ["1", "2", "2", "3", "4"]
    assert len(polled.texts()) == 3


def test_a_place_that_has_run_out_starts_over_and_reads_past_known_pages(polled, config, played):
    state = {"fail": True, "prefix": "a"}

    def answer(_, query, __):  # type: ignore[no-untyped-def]
        token = query.get("token", "")
        if state["fail"] and token:
            return reply({}, 503)
        if token and not token.startswith(state["prefix"]):
            return reply({}, 400)
        number = int(token[1:] or 0) if token else 0
        following = {"next": f"{state['prefix']}{number + 1}"} if number < 3 else {}
        return reply({"reviews": [item(number)], **following})

    played.answer = answer
    path = config(
        '[sources.blog.paging]\nby = "cursor"\ncursor = "$.next"\nparam = "token"\nnewest_first = true'
    )
    assert polled.turn(path).error
    state.update(fail=False, prefix="b")
    turn = polled.turn(path)
    assert turn.counts.finished and len(polled.texts()) == 4, turn.error


def test_only_what_is_newer_is_asked_for(polled, config, played):
    played.answer = lambda *_: reply({"reviews": [item(1, day=9)]})
    path = config('[sources.blog.since]\nparam = "after"\noverlap_seconds = 60')
    polled.turn(path)
    polled.turn(path)
    assert [q.get("after") for _, q, _ in played.asked] == [None, "2026-03-09T11:59:00Z"]


def test_an_unchanged_source_says_so_and_sends_nothing(polled, config, played):
    def answer(_, __, headers):  # type: ignore[no-untyped-def]
        if headers.get("if-none-match") == '"v1"':
            assert headers["if-modified-since"] == "Sun, 01 Mar 2026 12:00:00 GMT"
            return reply(b"", 304)
        return reply(
            {"reviews": [item(1)]}, ETag='"v1"', Last_Modified="Sun, 01 Mar 2026 12:00:00 GMT"
        )

    played.answer, path = answer, config()
    assert not polled.turn(path).counts.unchanged
    assert polled.turn(path).counts.unchanged


def test_a_poll_that_was_cut_off_is_not_taken_for_unchanged(polled, config, played):
    """The first page's ETag counts only once the pages behind it were read."""
    fail = {"second": True}

    def answer(_, query, headers):  # type: ignore[no-untyped-def]
        if query["page"] == "2":
            return reply({}, 500) if fail["second"] else reply({"reviews": []})
        assert "if-none-match" not in headers
        return reply({"reviews": [item(1)]}, ETag='"v1"')

    played.answer, path = answer, config(NEWEST_FIRST)
    assert polled.turn(path).error
    fail["second"] = False
    assert polled.turn(path).counts.finished


def test_the_secret_goes_into_the_header_and_into_no_stored_address(
    polled, config, played, settings, server
):
    from pydantic import SecretStr

    settings.source_secrets = {"blog": SecretStr("hush-hush")}
    played.answer = lambda _, query, __: reply(
        {"reviews": [item(int(query.get("p", 1)))], "next": "/reviews?p=2&key=hush-hush"}
        if "p" not in query
        else {}, 200 if "p" not in query else 500
    )  # fmt: skip
    polled.turn(
        config(
            '[sources.blog.auth]\nby = "query"\n[sources.blog.paging]\nby = "link"\nnext = "$.next"'
        )
    )
    assert [q["key"] for _, q, _ in played.asked] == ["hush-hush"] * 2
    kept = server.hget("b:poll:blog", "state")
    assert b"p=2" in kept and b"hush" not in kept
    polled.turn(config('[sources.blog.auth]\nby = "header"\nheader = "x-token"\nprefix = ""'))
    assert played.asked[-1][2]["x-token"] == "hush-hush"


def test_a_source_without_its_secret_is_refused(polled, config):
    with pytest.raises(Misconfigured, match="source blog: it has no secret"):
        polled.prepared(config('[sources.blog.auth]\nby = "header"'))


def test_the_schedule_is_kept_and_a_failure_backs_off_up_to_it(polled, config, played, server):
    played.answer = lambda *_: reply({"reviews": []})
    path = config()
    assert polled.turn(path, now=False).due_seconds == 600
    assert 590 < polled.turn(path, now=False) <= 600
    played.answer = lambda *_: reply({}, 500)
    waits = [polled.turn(path).due_seconds for _ in range(8)]
    assert waits[:3] == [15, 30, 60] and waits[-1] == 600


def test_a_source_that_fails_is_shown_until_it_works(polled, config, played, settings, server):
    store, path = store_of(settings, server), config()
    played.answer = lambda *_: reply({}, 403)
    polled.turn(path)
    assert "answers 403" in store.warnings()["poll blog"]
    played.answer = lambda *_: reply({"reviews": []})
    polled.turn(path)
    assert store.warnings() == {}
