"""How fast one may knock: token buckets on a real server, and who pays for what."""

from __future__ import annotations

import asyncio
import json

import pytest
import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry
from starlette.testclient import TestClient

from producers.doorway import Doorway
from producers.group_commit import GroupCommit
from producers.platforms.events import Delivery
from producers.platforms.native import Native
from producers.rates import Rates
from producers.webhook import create_app
from shared.errors import RateLimited, TemporaryFailure, Unauthorized
from shared.stream.arrivals import Arrival, Arrivals, Bundle
from shared.stream.polling import Wanted
from shared.stream.rate_limit import Bucket, Refusal
from tests.conftest import free_port, make_review, wait_until

BODY = {"text": "cold", "external_id": "1", "created_at": "2026-03-01T00:00:00Z"}
GOOD, BAD = {"Authorization": "Bearer secret"}, {"Authorization": "Bearer wrong"}


def bucket(name: str, size: float = 3, per_second: float = 0.001) -> Bucket:
    return Bucket(name, per_second, size)


def take(server, requests):  # type: ignore[no-untyped-def]
    """Per request None where it could pay, else its refusal."""
    bundles = [Bundle(buckets=buckets) for buckets in requests]
    return [one or None for one in Arrivals(server, 9, 9, None).take_many(bundles, 5)]


def test_a_bucket_gives_its_size_at_once_then_tells_how_long_to_wait(server):
    answers = take(server, [[bucket("a")]] * 5)
    assert answers[:3] == [None] * 3
    assert [(a.bucket, 990 < a.seconds <= 1000) for a in answers[3:] if a] == [("a", True)] * 2


def test_it_fills_again_by_the_servers_clock(server):
    fast = bucket("a", 1, 20)
    assert take(server, [[fast], [fast]])[1] is not None
    assert wait_until(lambda: take(server, [[fast]]) == [None], 20)


def test_a_request_takes_from_all_its_buckets_or_from_none(server):
    small, large = bucket("small", 1), bucket("large", 2)
    answers = take(server, [[small, large], [small, large], [large], [large]])
    assert answers[0] is answers[2] is None, "the refused second left `large` as it was"
    assert answers[1] and answers[1].bucket == "small"
    assert answers[3] and answers[3].bucket == "large"
    assert take(server, []) == []


def test_a_full_bucket_leaves_nothing_behind(server):
    take(server, [[bucket("a", 1, 20)]])
    assert wait_until(lambda: not server.keys("b:door:*"), 20)


@pytest.fixture
def client(settings, server):  # type: ignore[no-untyped-def]
    def make(peer: str = "198.51.100.7", **changed: object) -> TestClient:
        fixed = {"webhook_token": SecretStr("secret"), "webhook_source_rate": 0}
        full = settings.model_copy(update={**fixed, **changed})
        return TestClient(create_app(full, server), client=(peer, 1))

    return make


def codes(client: TestClient, count: int, **headers: str) -> list[int]:
    return [client.post("/reviews", json=BODY, headers=headers).status_code for _ in range(count)]


def test_an_address_that_knocks_too_fast_gets_429_and_when_to_come_again(client, server):
    slow = client(webhook_address_rate=0.2)  # two at once
    assert codes(slow, 3, **GOOD) == [202, 200, 429]
    before = server.info("commandstats")["cmdstat_eval"]["calls"]
    answer = slow.post("/reviews", json=BODY, headers=GOOD)
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 5
    assert "198.51.100.7" in answer.json()["detail"] and "ADDRESS_RATE" in answer.json()["detail"]
    assert server.info("commandstats")["cmdstat_eval"]["calls"] == before, "refused at no cost"
    assert codes(client("198.51.100.8", webhook_address_rate=0.2), 1, **GOOD) == [200], "others are"


def test_a_stranger_uses_up_his_own_address_and_not_the_platforms_bucket(client):
    strangers = client(webhook_address_rate=0.3, webhook_source_rate=0.2)
    assert codes(strangers, 5, **BAD) == [401, 401, 401, 429, 429]
    genuine = client("203.0.113.9", webhook_address_rate=100, webhook_source_rate=0.2)
    assert codes(genuine, 3, **GOOD) == [202, 200, 429]
    answer = genuine.post("/reviews", json=BODY, headers=GOOD)
    assert "BEYOND_WEBHOOK_SOURCE_RATE" in answer.json()["detail"]


def test_a_bad_body_of_a_genuine_sender_counts_too(client):
    genuine = client(webhook_address_rate=0, webhook_source_rate=0.1)
    assert genuine.post("/reviews", json={}, headers=GOOD).status_code == 422
    assert genuine.post("/reviews", json={}, headers=GOOD).status_code == 429


def test_who_cannot_pay_stores_nothing_and_harms_no_other_of_the_write(server, store):
    bundles = [Bundle([Arrival(r.id, r)], [bucket("a", 1)]) for r in map(make_review, range(2))]
    other = make_review(2)
    outcomes = Arrivals(server, 9, 9, None).take_many(
        [*bundles, Bundle([Arrival(other.id, other)])], 5
    )
    assert outcomes[0] == outcomes[2] == ["new"] and isinstance(outcomes[1], Refusal)
    assert store.counts()["stored"] == 2


def test_paying_alone_waits_for_no_disk(server):
    take(server, [[bucket("a")]])
    assert "cmdstat_waitaof" not in server.info("commandstats")


def test_zero_is_no_limit(client, server):
    assert set(codes(client(webhook_address_rate=0), 30, **GOOD)) == {202, 200}
    assert not server.keys("b:door:*")


def forwarded(client: TestClient, *chains: str) -> list[int]:
    return [codes(client, 1, **GOOD, **{"X-Forwarded-For": chain})[0] for chain in chains]


def test_only_a_trusted_proxy_may_say_for_whom_it_speaks(client):
    proxied = client("10.0.0.5", webhook_address_rate=0.1, trusted_proxies="10.0.0.0/8")
    assert forwarded(proxied, "1.1.1.1", "2.2.2.2", "1.1.1.1") == [202, 200, 429]
    chains = ("9.9.9.9, 3.3.3.3, 10.0.0.6", "8.8.8.8, 3.3.3.3")
    assert forwarded(proxied, *chains) == [200, 429], "what stands before 3.3.3.3 he wrote himself"
    stranger = client("4.4.4.4", webhook_address_rate=0.1, trusted_proxies="10.0.0.0/8")
    assert forwarded(stranger, "5.5.5.5", "6.6.6.6") == [200, 429]
    assert forwarded(client("7.7.7.7", webhook_address_rate=0.1), "5.5.5.5", "6.6.6.6") == [
        200,
        429,
    ]


def test_one_customer_of_ipv6_is_one_sender_and_mapped_addresses_are_ipv4(client):
    limited = {"webhook_address_rate": 0.1, "trusted_proxies": "::1"}
    chains = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1")
    assert forwarded(client("::1", **limited), *chains) == [202, 429, 200]
    assert forwarded(client("::1", **limited), "::ffff:1.2.3.4", "1.2.3.4") == [200, 429]
    assert forwarded(client("::1", **limited), "x" * 900, "x" * 800) == [200, 429]


def test_without_a_server_the_rates_refuse_nobody():
    away = redis.Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    commit, rates = GroupCommit(Arrivals(away, 9, 9, None), 1), Rates(1, 1)
    doorway = Doorway({"": Native([], ["secret"])}, commit, rates, Wanted(away), b"key", 1)
    for _ in range(20):
        with pytest.raises(Unauthorized):
            asyncio.run(doorway.take("", Delivery({}, b"{}"), "1.1.1.1"))
    genuine = Delivery({"authorization": "Bearer secret"}, json.dumps(BODY).encode())
    with pytest.raises(TemporaryFailure, match="lost"):
        asyncio.run(doorway.take("", genuine, "1.1.1.1"))
    commit.close()


def test_a_refusal_is_remembered_until_its_time_has_come():
    now = [0.0]
    rates = Rates(0.1, 0, clock=lambda: now[0])
    (bucket_of,) = rates.buckets("1.1.1.1", None)
    told = rates.refused(Refusal(bucket_of.name, 7.5))
    assert told.retry_after_seconds == 8
    with pytest.raises(RateLimited):
        rates.check("1.1.1.1")
    rates.check("2.2.2.2")
    now[0] += told.retry_after_seconds
    rates.check("1.1.1.1")
