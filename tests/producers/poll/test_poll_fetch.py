"""Whatever the other side does, a request ends: slow, endless, unpacked, redirected, rate-limited."""

from __future__ import annotations

import gzip
import time
from email.utils import formatdate

import pytest

from producers.fetch import Limits, Refused, get
from shared.errors import Malformed, Misconfigured, Overloaded, TemporaryFailure
from tests.conftest import free_port
from tests.producers.poll.conftest import item, reply


def fetched(url, **more):  # type: ignore[no-untyped-def]
    fixed = {"headers": {}, "proof": {}, "params": {}}
    return get(url, **{**fixed, **more})


def dribble(played):  # type: ignore[no-untyped-def]
    """A body of one byte now and then, for as long as somebody listens."""

    def write(out):  # type: ignore[no-untyped-def]
        while not played.stopped.wait(0.05):
            out.write(b" ")
            out.flush()

    return 200, {}, write


def endless(played):  # type: ignore[no-untyped-def]
    def write(out):  # type: ignore[no-untyped-def]
        while not played.stopped.is_set():
            out.write(b"x" * 65536)

    return 200, {}, write


def test_a_body_that_dribbles_is_cut_off_in_time(played):
    played.answer = lambda *_: dribble(played)
    with pytest.raises(TemporaryFailure, match="within 0.5 s"):
        fetched(played.url, limits=Limits(total_seconds=0.5))


def test_headers_that_never_end_are_cut_off_in_time(played):
    def slow(*_):  # type: ignore[no-untyped-def]
        played.stopped.wait(60)
        return reply({})

    played.answer = slow
    with pytest.raises(TemporaryFailure, match=r"within 0\.3 s"):
        fetched(played.url, limits=Limits(total_seconds=0.3))


def test_an_endless_body_is_cut_off_at_its_limit(played):
    played.answer = lambda *_: endless(played)
    with pytest.raises(Malformed, match="larger than 1000000 bytes"):
        fetched(played.url, limits=Limits(max_bytes=1_000_000))


def test_a_small_body_that_unpacks_to_much_is_cut_off_too(played):
    packed = gzip.compress(b" " * 50_000_000)
    assert len(packed) < 100_000
    played.answer = lambda *_: reply(packed, Content_Encoding="gzip")
    with pytest.raises(Malformed, match="larger"):
        fetched(played.url, limits=Limits(max_bytes=1_000_000))


def test_a_body_that_cannot_be_unpacked_is_said_so(played):
    played.answer = lambda *_: reply(b"not gzip", Content_Encoding="gzip")
    with pytest.raises(Malformed, match="unpacked"):
        fetched(played.url)


def test_nobody_there_is_a_temporary_failure_and_no_address_is_not():
    with pytest.raises(TemporaryFailure, match="not reached"):
        fetched(f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(Misconfigured):
        fetched("ftp://127.0.0.1/")
    with pytest.raises(Misconfigured):
        fetched("http://127.0.0.1:99999/")


@pytest.mark.parametrize(
    "status, headers, error, wait",
    [
        (429, {"Retry-After": "120"}, Overloaded, 120),
        (503, {"Retry-After": "7"}, Overloaded, 7),
        (429, {}, Overloaded, 0),
        (429, {"Retry-After": "soon"}, Overloaded, 0),
        (429, {"Retry-After": "99999999"}, Overloaded, 86400),
        (429, {"Retry-After": formatdate(1_772_366_400 + 90, usegmt=True)}, Overloaded, 90),
        (429, {"Retry-After": formatdate(1_772_366_400 - 90, usegmt=True)}, Overloaded, 0),
        (503, {}, TemporaryFailure, None),
        (500, {}, TemporaryFailure, None),
        (408, {}, TemporaryFailure, None),
        (401, {}, Refused, None),
        (404, {}, Refused, None),
        (204, {}, Refused, None),
    ],
)
def test_a_status_means_what_the_standard_says(played, status, headers, error, wait):
    played.answer = lambda *_: (status, headers, b"")
    with pytest.raises(error) as caught:
        fetched(played.url, clock=lambda: 1_772_366_400.0)
    assert isinstance(caught.value, Overloaded) == (wait is not None)
    if wait is not None:
        assert caught.value.retry_after_seconds == wait


def test_a_redirect_is_followed_but_the_secret_stays_with_its_origin(played):
    from tests.producers.poll.conftest import Played

    other = Played()
    played.answer = lambda path, *_: (302, {"Location": f"{other.url}/there"}, b"")
    try:
        fetched(played.url, proof={"x-key": "hush"}, params={"key": "hush"}, headers={"a": "b"})
        (_, query, headers) = other.asked[0]
        assert "x-key" not in headers and query == {} and headers["a"] == "b"
    finally:
        other.stop()
    played.answer = lambda path, *_: (302, {"Location": "/again"}, b"")
    with pytest.raises(Refused, match="3 redirects"):
        fetched(played.url)
    played.answer = lambda path, *_: (302, {"Location": "file:///etc/hostname"}, b"")
    with pytest.raises(Refused, match="redirects to file"):
        fetched(played.url)


def test_a_secret_is_not_sent_in_the_clear():
    with pytest.raises(Misconfigured, match="only sent over https"):
        fetched("http://reviews.example/", proof={"x-key": "hush"})


def test_messages_name_the_place_without_its_query(played):
    played.answer = lambda *_: (404, {}, b"")
    with pytest.raises(Refused) as caught:
        fetched(f"{played.url}/a?token=hush")
    assert "/a" in str(caught.value) and "hush" not in str(caught.value)


def test_told_to_wait_a_source_is_left_alone_even_by_an_impatient_person(polled, config, played):
    played.answer = lambda *_: reply({}, 429, Retry_After="300")
    path = config()
    turn = polled.turn(path)
    assert isinstance(turn.error, Overloaded) and turn.due_seconds == 300
    assert 290 < polled.turn(path, now=True) <= 300
    assert len(played.asked) == 1


def test_an_answer_that_came_too_slowly_stores_nothing_and_is_tried_again(polled, config, played, monkeypatch):  # fmt: skip
    from producers import fetch

    monkeypatch.setattr(fetch.get, "__defaults__", (Limits(total_seconds=0.4), time.time))
    played.answer = lambda *_: dribble(played)
    path = config()
    assert isinstance(polled.turn(path).error, TemporaryFailure) and polled.texts() == []
    played.answer = lambda *_: reply({"reviews": [item(1)]})
    assert polled.turn(path).counts.outcomes == {"new": 1}
