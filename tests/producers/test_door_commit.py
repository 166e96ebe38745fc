"""Group commit: many deliveries in one write, each with its own outcome, and the event loop free."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import httpx
import pytest
import redis
from pydantic import SecretStr

from producers.group_commit import GroupCommit
from producers.webhook import create_app
from shared.errors import Overloaded, TemporaryFailure
from shared.stream.arrivals import Arrival, Arrivals, Bundle
from tests.conftest import EPOCH, free_port, make_review, wait_until


def arrival(number: int, text: str = "cold", minutes: int | None = None, gone: bool = False):  # type: ignore[no-untyped-def]
    review = make_review(number, text)
    moment = None if minutes is None else EPOCH + timedelta(minutes=minutes)
    return Arrival(review.id, None if gone else review, moment)


def calls(server, command: str) -> int:  # type: ignore[no-untyped-def]
    return int(server.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


def together(arrivals, *deliveries):  # type: ignore[no-untyped-def]
    return arrivals.take_many([Bundle(d) for d in deliveries], 5)


@pytest.fixture
def arrivals(server):  # type: ignore[no-untyped-def]
    return Arrivals(server, 1000, 64, None)


@pytest.fixture
def slow_disk(server):  # type: ignore[no-untyped-def]
    """The disk confirms nothing until the returned function is called."""
    server.config_set("appendfsync", "no")
    yield lambda: server.config_set("appendfsync", "everysec")
    server.config_set("appendfsync", "everysec")


def test_what_waits_for_the_disk_goes_together_in_the_next_write(
    server, store, arrivals, slow_disk
):
    commit = GroupCommit(arrivals, 20)

    async def send() -> list[list[str]]:
        tasks = [asyncio.create_task(commit.take(Bundle([arrival(i)]))) for i in range(40)]
        while calls(server, "eval") == 0:  # the first is under way, alone or with a few
            await asyncio.sleep(0.01)
        slow_disk()
        return list(await asyncio.gather(*tasks))

    before = calls(server, "waitaof")
    assert asyncio.run(send()) == [["new"]] * 40
    assert store.counts()["stored"] == 40
    assert calls(server, "waitaof") - before <= 3


def test_a_lone_write_is_nudged_until_the_disk_confirms(server, arrivals, slow_disk):
    commit = GroupCommit(arrivals, 20)

    async def send() -> list[str]:
        task = asyncio.create_task(commit.take(Bundle([arrival(1)])))
        while calls(server, "ping") < 3:
            await asyncio.sleep(0.01)
        assert not task.done()
        slow_disk()
        return await task

    assert asyncio.run(send()) == ["new"]


def test_a_nudge_that_is_refused_leaves_no_answer_behind_on_the_connection(server, slow_disk):
    rights = {"keys": ["*"], "commands": ["+@all", "-ping"]}
    server.acl_setuser("mute", enabled=True, passwords=["+hush"], **rights)
    path = server.connection_pool.connection_kwargs["path"]
    one = redis.Redis(unix_socket_path=path, username="mute", password="hush")
    with pytest.raises(redis.exceptions.NoPermissionError):
        one.ping()
    with pytest.raises(TemporaryFailure, match="disk did not confirm"):
        Arrivals(one, 1000, 64, None).take([arrival(1)], 0.1)
    assert one.info("memory")["used_memory"] > 0, "and not WAITAOF's [0, 0]"
    slow_disk()
    assert Arrivals(one, 1000, 64, None).take([arrival(2)], 5) == ["new"]


def test_each_delivery_of_a_write_has_its_own_outcome(store, arrivals):
    arrivals.take([arrival(1, minutes=5), arrival(2)], 5)
    outcomes = together(
        arrivals,
        [arrival(1, "warm", minutes=6)],
        [arrival(1, "late", minutes=4), arrival(3)],  # the other of its delivery is stored
        [arrival(1, "late", minutes=4)],
        [],
        [arrival(2), arrival(1, minutes=7, gone=True)],
        [arrival(1, "late", minutes=6)],  # older than the deletion before it
    )
    wanted = [["updated"], ["stale", "new"], ["stale"], [], ["same", "deleted"], ["stale"]]
    assert outcomes == wanted
    assert store.counts()["stored"] == 2


def test_a_full_queue_refuses_only_what_does_not_fit(server, store):
    arrivals = Arrivals(server, 2, 64, None)
    outcomes = together(arrivals, [arrival(1)], [arrival(2)], [arrival(3)], [arrival(1)])
    assert outcomes[:2] == [["new"], ["new"]] and outcomes[3] == ["same"]
    assert isinstance(outcomes[2], Overloaded)
    assert store.counts()["stored"] == 2


def test_a_delivery_that_the_server_cannot_take_harms_no_other(server, store, arrivals):
    bad = arrival(2, minutes=1)
    server.rpush(f"b:event:{bad.review_id}", "not a time")
    outcomes = together(arrivals, [arrival(1)], [bad], [arrival(3)], [arrival(4)])
    assert isinstance(outcomes[1], TemporaryFailure) and "WRONGTYPE" in str(outcomes[1])
    assert [o for o in outcomes if isinstance(o, list) and o[0] in ("new", "same")] == [
        outcomes[0],
        *outcomes[2:],
    ]
    assert store.counts()["stored"] == 3 == store.counts()["live"]


def test_what_was_given_up_is_not_written_and_service_goes_on(server, store, arrivals, slow_disk):
    commit = GroupCommit(arrivals, 0.2)

    async def send() -> None:
        first = asyncio.create_task(commit.take(Bundle([arrival(1)])))
        while store.counts()["stored"] == 0:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(commit.take(Bundle([arrival(2)])))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(TemporaryFailure, match="disk did not confirm"):
            await first
        slow_disk()
        assert await commit.take(Bundle([arrival(4)])) == ["new"]

    asyncio.run(send())
    assert store.counts()["stored"] == 2, "the first, unconfirmed, and the fourth"


def test_a_fault_in_one_write_is_told_to_its_senders_and_the_next_goes_on(server, arrivals):
    commit = GroupCommit(arrivals, 5)

    async def send() -> None:
        with pytest.raises(AttributeError):
            await commit.take(Bundle([None]))  # type: ignore[list-item]
        assert await commit.take(Bundle([arrival(1)])) == ["new"]

    asyncio.run(send())


def test_closing_writes_what_waits_and_ends_the_threads(server, store, arrivals):
    before = threading.active_count()
    commit = GroupCommit(arrivals, 5)

    async def send() -> None:
        tasks = [asyncio.create_task(commit.take(Bundle([arrival(i)]))) for i in range(5)]
        await asyncio.sleep(0)
        commit.close()
        assert await asyncio.gather(*tasks) == [["new"]] * 5

    asyncio.run(send())
    assert wait_until(lambda: threading.active_count() == before, 20)


def test_others_are_answered_while_a_write_waits_for_the_disk(settings, server, store, slow_disk):
    full = settings.model_copy(
        update={"webhook_token": SecretStr("secret"), "durable_seconds": 20.0}
    )
    body = {"text": "cold", "external_id": "1", "created_at": "2026-03-01T00:00:00Z"}

    async def send() -> None:
        transport = httpx.ASGITransport(create_app(full, server))
        headers = {"Authorization": "Bearer secret"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://door", headers=headers
        ) as client:
            waiting = asyncio.create_task(client.post("/reviews", json=body))
            while store.counts()["stored"] == 0:
                await asyncio.sleep(0.01)
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.post("/reviews", json={})).status_code == 422
            assert not waiting.done()
            slow_disk()
            assert (await waiting).status_code == 202

    asyncio.run(send())


def test_a_webhook_told_to_stop_answers_what_it_has_taken(store, processes, slow_disk):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    running = processes.beyond("webhook", "--port", str(port))
    assert wait_until(lambda: answers(f"{url}/healthz"), 30)
    body = {"text": "cold", "external_id": "1", "created_at": "2026-03-01T00:00:00Z"}
    told: list[int] = []

    def post() -> None:
        headers = {"Authorization": "Bearer secret"}
        told.append(
            httpx.post(f"{url}/reviews", json=body, headers=headers, timeout=30).status_code
        )

    sender = threading.Thread(target=post)
    sender.start()
    assert wait_until(lambda: store.counts()["stored"] == 1, 20)
    running.terminate()
    assert wait_until(lambda: not answers(f"{url}/healthz"), 20), "nobody new comes in"
    slow_disk()
    sender.join()
    assert told == [202] and running.wait(20) is not None


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
