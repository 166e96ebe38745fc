"""A secret of one business writes that business's reviews and no other's, on every route."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from producers.platforms import descriptions, platforms
from producers.platforms.mapping import read_description
from producers.webhook import create_app
from shared.errors import Misconfigured
from shared.settings import Settings, load_settings
from tests.producers.platforms.test_contract import NAMED, SAMPLES

TENANTS = ("Harbour Grill", "Fern & Thread")
SHOP = """
title = "A shop of the Harbour Grill"
checked = "this test"
business = "Harbour Grill"
[verify]
scheme = "secret-header"
header = "x-secret"
[fields]
external_id = "$.id"
text = "$.words"
created_at = "$.day"
"""


def secret_of(business: str, name: str) -> str:
    digest = hashlib.sha256(f"{business} {name}".encode()).digest()
    return "whsec_" + base64.b64encode(digest).decode() if name != "token" else digest.hex()


def proof(name: str, secret: str, body: bytes) -> tuple[dict[str, str], str]:
    """Headers and the end of the address that prove a body, by the platform's scheme."""
    if name == "token":
        return {"Authorization": f"Bearer {secret}"}, ""
    rule = None if name == "webhook" else read_description(descriptions(Settings())[name]).verify
    if rule is None or rule.scheme == "standard-webhooks":
        prefix, now = (rule.header if rule else "") or "webhook-", datetime.now(UTC)
        return {
            f"{prefix}id": "m1",
            f"{prefix}timestamp": str(int(now.timestamp())),
            f"{prefix}signature": Webhook(secret).sign("m1", now, body.decode()),
        }, ""
    if rule.scheme == "secret-path":
        return {}, "/" + secret.replace("/", "%2F")
    if rule.scheme == "basic":
        return {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}, ""
    if rule.scheme == "secret-header":
        return {rule.header: secret}, ""
    stamp = str(int(time.time()))
    signed = rule.signed.replace("{timestamp}", stamp).encode().replace(b"{body}", body)
    digest = hmac.new(secret.encode(), signed, rule.algorithm).digest()
    told = digest.hex() if rule.encoding == "hex" else base64.b64encode(digest).decode()
    stamps = {rule.timestamp_header: stamp} if rule.timestamp_header else {}
    return {rule.header: rule.prefix + told, **stamps}, ""


@pytest.fixture
def client(settings, server, tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "shop.toml").write_text(SHOP)
    names = ["token", "webhook", *(set(descriptions(settings)) - set(NAMED)), "shop"]
    tenants = {b: {n: [SecretStr(secret_of(b, n))] for n in names} for b in TENANTS}
    full = settings.model_copy(
        update={"tenants": tenants, "webhook_token": SecretStr("all"), "platforms": tmp_path}
    )
    return TestClient(create_app(full, server))


def send(client, name, business, payload=None, secret=""):  # type: ignore[no-untyped-def]
    own = name in ("token", "webhook")
    body = json.dumps(SAMPLES["" if own else name] if payload is None else payload).encode()
    headers, end = proof(name, secret or secret_of(business, name), body)
    address = "/reviews" if own else f"/reviews/{name}{end}"
    return client.post(
        address, content=body, headers={"Content-Type": "application/json", **headers}
    )


def ids(answer):  # type: ignore[no-untyped-def]
    assert answer.status_code == 202, answer.text
    told = answer.json()
    return [one["id"] for one in told.get("reviews", [told])]


ROUTES = pytest.mark.parametrize("name", ["token", "webhook", *sorted({*SAMPLES} - {"", *NAMED})])


@ROUTES
def test_on_every_route_the_secret_decides_whose_review_it_is(client, store, name):
    """The very same delivery from two tenants becomes two reviews, each its sender's."""
    found = {business: ids(send(client, name, business)) for business in TENANTS}
    for business, (identity,) in found.items():
        (review,) = store.reviews([identity])
        assert review.business == business
    assert len({identity for (identity,) in found.values()}) == 2


@ROUTES
def test_on_every_route_another_secret_opens_nothing(client, store, name):
    assert send(client, name, "Nobody").status_code == 401
    other = secret_of(TENANTS[0], "token" if name != "token" else "webhook")
    assert send(client, name, "", secret=other).status_code == 401 or name == "webhook"
    assert store.counts()["stored"] == 0


@pytest.mark.parametrize("name", ["token", "webhook"])
def test_naming_another_business_is_403_and_stores_nothing(client, store, name):
    review = {**SAMPLES[""], "business": TENANTS[1]}
    answer = send(client, name, TENANTS[0], review)
    assert answer.status_code == 403 and TENANTS[0] in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert store.counts()["stored"] == 0
    assert ids(send(client, name, TENANTS[1], review)), "its own it may name"


def test_a_platform_that_belongs_to_one_business_is_closed_to_another(client, store):
    body = json.dumps({"id": 1, "words": "cold", "day": "2026-03-01"}).encode()

    def post(business: str) -> int:
        headers = {"Content-Type": "application/json", "x-secret": secret_of(business, "shop")}
        return client.post("/reviews/shop", content=body, headers=headers).status_code

    assert [post(b) for b in TENANTS] == [202, 403]


def test_a_tenant_cannot_replace_or_delete_anothers_review(client, store):
    """Neither by its external id, nor by the id as it is stored, nor by its text and date."""
    mine = {"text": "cold", "created_at": "2026-03-01"}
    (named,) = ids(send(client, "token", TENANTS[0], {**mine, "external_id": "7"}))
    (unnamed,) = ids(send(client, "token", TENANTS[0], mine))
    forged = store.reviews([named])[0].external_id
    assert forged == "Harbour Grill/7"
    for attempt in ({"external_id": "7"}, {"external_id": forged}, {}):
        ids(send(client, "token", TENANTS[1], {**mine, **attempt, "rating": 1}))
    kept = store.reviews([named, unnamed])
    assert [(r.business, r.rating) for r in kept] == [(TENANTS[0], None)] * 2


def test_a_tenants_deletion_reaches_its_own_review_alone(client, store):
    (theirs,) = ids(send(client, "okendo", TENANTS[0]))
    gone = {**SAMPLES["okendo"], "event": "review.deleted"}
    (other,) = ids(send(client, "okendo", TENANTS[1], gone))
    assert other != theirs and store.reviews([theirs])[0] is not None
    assert ids(send(client, "okendo", TENANTS[0], gone)) == [theirs]
    assert store.reviews([theirs]) == [None]


def test_a_tenants_repeat_is_recognised_and_its_update_supersedes(client, store):
    mine = {"text": "cold", "created_at": "2026-03-01"}
    assert [send(client, "token", TENANTS[0], mine).status_code for _ in range(2)] == [202, 200]
    named = {**mine, "external_id": "7"}
    ids(send(client, "token", TENANTS[0], named))
    assert send(client, "token", TENANTS[0], {**named, "rating": 2}).json()["status"] == "updated"


def test_everyones_secret_still_writes_all(client, store):
    for business in (*TENANTS, "Third"):
        review = {**SAMPLES[""], "external_id": business, "business": business}
        (identity,) = ids(send(client, "token", "", review, secret="all"))
        assert store.reviews([identity])[0].business == business


def test_a_tenants_platform_that_asks_over_the_network_never_holds_up_the_others(tmp_path):
    """Its proofs leave the event loop, whoever's secret it is."""
    rule = 'scheme = "oidc"\nkeys = "keys.json"\nissuers = ["https://accounts.example"]\n'
    secret = 'scheme = "secret-header"\nheader = "x-secret"\n'
    (tmp_path / "shop.toml").write_text(SHOP)
    (tmp_path / "asks.toml").write_text(SHOP.replace(secret, rule))
    own = {"shop": [SecretStr("x")], "asks": [SecretStr("a@b.example us")]}
    served = platforms(Settings(platforms=tmp_path, tenants={"Harbour Grill": own}))
    assert {name: platform.may_wait for name, platform in served.items()} == {
        "shop": False,
        "asks": True,
    }


def test_tenants_alone_are_enough_to_serve(settings):
    only = settings.model_copy(update={"tenants": {"B": {"token": [SecretStr("x" * 20)]}}})
    assert set(platforms(only)) == {""}


@pytest.mark.parametrize(
    "tenants, wrong",
    [
        ({"B": {"nowhere": ["x"]}}, "no platform 'nowhere'"),
        ({"B": {"token": [""]}}, "empty"),
        ({"B": {"token": ["x"]}, "C": {"token": ["x"]}}, "another's"),
        ({"": {"token": ["x"]}}, "name a business"),
        ({"B": {"webhook": ["x"]}}, "whsec_"),
        ({"B": {"app-store-feedback": ["x"]}}, "only names reviews; .* BEYOND_PLATFORM_SECRETS"),
    ],
)
def test_what_cannot_work_is_told_at_the_start(monkeypatch, tenants, wrong):
    monkeypatch.setenv("BEYOND_TENANTS", json.dumps(tenants))
    with pytest.raises(Misconfigured, match=wrong):
        platforms(load_settings())


def test_settings_show_no_tenants_secret(monkeypatch):
    monkeypatch.setenv("BEYOND_TENANTS", json.dumps({"B": {"token": ["hush-hush"]}}))
    assert "hush-hush" not in str(load_settings().shown())
