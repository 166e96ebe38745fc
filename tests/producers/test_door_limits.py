"""What a hostile or broken sender meets: a real server on a real socket that gets bytes by hand."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from producers.connections import MOST_HEAD_BYTES, MOST_HEADERS, ConnectionLimits, door_config
from producers.limits import Networks
from producers.webhook import create_app
from shared.errors import Misconfigured
from tests.conftest import wait_until

BODY = json.dumps({"text": "cold", "external_id": "1", "created_at": "2026-03-01T00:00:00Z"})
HEAD = (
    "POST /reviews HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer secret\r\n"
    "Content-Type: application/json\r\n"
)
WHOLE = f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}"


@contextlib.contextmanager
def served(settings, server, limits: ConnectionLimits | None = None, **changed) -> Iterator[int]:  # type: ignore[no-untyped-def]
    """The port of a webhook as `beyond webhook` serves it."""
    fixed = {"webhook_token": SecretStr("secret"), "webhook_seconds": 0.5}
    full = settings.model_copy(update={**fixed, **changed})
    running = uvicorn.Server(door_config(create_app(full, server), full, "127.0.0.1", 0, limits))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        assert wait_until(lambda: running.started, 20)
        yield int(running.servers[0].sockets[0].getsockname()[1])
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture
def door(settings, server):  # type: ignore[no-untyped-def]
    with served(settings, server, webhook_max_bytes=5000) as port:
        yield port


def dialogue(port: int, pieces, pause: float = 0.0) -> tuple[str, int]:  # type: ignore[no-untyped-def]
    """(all that the server says until it closes, pieces that were sent before);"""
    heard, sent = b"", 0
    with socket.create_connection(("127.0.0.1", port), 20) as sender:
        sender.settimeout(20)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                sender.sendall(piece.encode())
                sent += 1
                sender.settimeout(pause or 0.001)
                with contextlib.suppress(TimeoutError):
                    part = sender.recv(65536)
                    if not part:
                        return heard.decode(), sent
                    heard += part
                sender.settimeout(20)
            sender.settimeout(20)
            while part := sender.recv(65536):
                heard += part
    return heard.decode(), sent


def endless(*begin: str, then: str) -> Iterator[str]:
    """More than any test waits for: where nobody closes, the test fails."""
    return itertools.chain(begin, itertools.repeat(then, 400))


@pytest.mark.parametrize(
    "pieces, status",
    [
        ([], "408"),
        (endless("POST /reviews HTTP/1.1\r\n", then="X"), "408"),
        (endless(then="\r\n"), "408"),
        (endless(HEAD + "Content-Length: 4000\r\n\r\n", then=" "), "408"),
        (endless(HEAD + "Transfer-Encoding: chunked\r\n\r\n", then="1\r\n \r\n"), "408"),
        (endless(WHOLE, then="\r\n"), "202"),  # between two requests
        (endless(WHOLE, "GET / HTTP/1.1\r\n", then="X"), "202"),
        (endless("POST /no HTTP/1.1\r\nContent-Length: 9999\r\n\r\n", then=" "), "404"),
    ],
    ids="silence head blank body chunks between second unread".split(),
)
def test_who_dribbles_is_answered_and_cut_off(door, pieces, status):
    heard, _ = dialogue(door, pieces, pause=0.03)
    assert heard.startswith(f"HTTP/1.1 {status} ")


def test_others_are_served_while_many_dribble(door, store):
    with contextlib.ExitStack() as open_ones:
        for _ in range(60):
            one = open_ones.enter_context(socket.create_connection(("127.0.0.1", door)))
            one.sendall(b"POST /reviews HT")
        heard, _ = dialogue(door, [WHOLE.replace("Host", "Connection: close\r\nHost")])
    assert heard.startswith("HTTP/1.1 202") and store.counts()["stored"] == 1


def test_a_write_may_last_longer_than_a_request_may_take_to_arrive(settings, server, store):
    server.config_set("appendfsync", "no")
    with served(settings, server, webhook_seconds=0.1, durable_seconds=20) as port:
        with socket.create_connection(("127.0.0.1", port), 20) as sender:
            sender.sendall(WHOLE.encode())
            sender.settimeout(0.4)
            with pytest.raises(TimeoutError):
                sender.recv(1)
            server.config_set("appendfsync", "everysec")
            sender.settimeout(20)
            assert sender.recv(999).startswith(b"HTTP/1.1 202")


def test_two_requests_sent_at_once_get_two_answers(door):
    heard, _ = dialogue(door, [WHOLE + WHOLE.replace("Host", "Connection: close\r\nHost")])
    assert heard.count("HTTP/1.1 202") == 1 and heard.count("HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    "pieces, status",
    [
        (endless("GET /healthz HTTP/1.1\r\nX: ", then="x" * 4096), "431"),
        (endless("GET /", then="x" * 4096), "431"),
        (endless("GET /healthz HTTP/1.1\r\n", then="X: y\r\n" * 20), "431"),
        (
            endless(HEAD + "Transfer-Encoding: chunked\r\n\r\n", then=f"FFF\r\n{' ' * 4095}\r\n"),
            "413",
        ),
        (endless(HEAD + "Transfer-Encoding: chunked\r\n\r\n1", then=";x" * 4096), ""),
        (endless(HEAD + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", then="x" * 4096), ""),
        ([HEAD + "Content-Length: 999999999999999999999\r\n\r\n"], "4"),
        ([HEAD + "Content-Length: 5001\r\n\r\n"], "413"),
    ],
    ids="header url headers body extension trailer absurd told".split(),
)
def test_what_is_too_large_is_refused_before_it_has_arrived(door, store, pieces, status):
    heard, sent = dialogue(door, pieces)
    assert heard.startswith(f"HTTP/1.1 {status}" if status else "")
    assert sent < 200 and store.counts()["stored"] == 0


def test_the_largest_headers_and_body_that_are_allowed_come_in(door, store):
    fields = json.loads(BODY) | {"text": "x" * 4000}
    more = {f"X-{i}": "y" * 100 for i in range(MOST_HEADERS - 10)}
    assert sum(map(len, more.values())) < MOST_HEAD_BYTES
    headers = {"Authorization": "Bearer secret", **more}
    answer = httpx.post(f"http://127.0.0.1:{door}/reviews", json=fields, headers=headers)
    assert answer.status_code == 202 and store.counts()["stored"] == 1


def connections(port: int, count: int) -> list[str]:
    """How each of `count` connections, open together, is answered."""
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            for _ in range(count)
        ]
        heard = []
        for one in opened:
            with contextlib.suppress(ConnectionError):
                one.sendall(b"GET /healthz HTTP/1.1\r\nHost: door\r\n\r\n")
            heard.append(one.recv(999).decode(errors="replace")[9:12])
        return heard


def test_one_address_holds_so_many_connections_and_a_proxy_any_number(settings, server):
    few = ConnectionLimits(head_seconds=5, body_bytes=9999, most_of_one_address=3)
    with served(settings, server, few) as port:
        assert connections(port, 5) == ["200"] * 3 + ["503"] * 2
        assert wait_until(lambda: connections(port, 1) == ["200"], 20), "closed ones are forgotten"
    proxied = ConnectionLimits(
        head_seconds=5,
        body_bytes=9999,
        most=6,
        most_of_one_address=3,
        proxies=Networks("127.0.0.0/8"),
    )
    with served(settings, server, proxied) as port:
        assert connections(port, 7) == ["200"] * 6 + ["503"]


def test_past_the_room_the_next_delivery_is_503_at_once_and_health_still_answers(
    settings, server, store
):
    server.config_set("appendfsync", "no")
    with served(settings, server, webhook_waiting=1, durable_seconds=20) as port:
        url = f"http://127.0.0.1:{port}"
        answers = []
        first = threading.Thread(target=lambda: answers.append(dialogue(port, [WHOLE])))
        first.start()
        assert wait_until(lambda: store.counts()["stored"] == 1, 20)
        refused = httpx.post(f"{url}/reviews", json={})
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert "BEYOND_WEBHOOK_WAITING" in refused.json()["detail"]
        assert httpx.get(f"{url}/healthz").status_code == 200
        server.config_set("appendfsync", "everysec")
        first.join()
        assert answers[0][0].startswith("HTTP/1.1 202")
        assert httpx.post(f"{url}/reviews", json={}).status_code == 401, "the room is free again"


def test_trusted_proxies_are_addresses_and_networks():
    networks = Networks(" 10.0.0.0/8, ::1 ")
    assert "10.2.3.4" in networks and "::1" in networks
    assert "11.0.0.1" not in networks and "" not in networks and "10.0.0.1" not in Networks("")
    with pytest.raises(Misconfigured, match="BEYOND_TRUSTED_PROXIES"):
        Networks("proxy.example")
