"""Platforms over HTTP: one answer for several reviews, deletions, late deliveries; real server."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from producers.webhook import create_app
from shared.errors import Misconfigured

DESCRIPTION = """
title = "Our shop"
checked = "this test"
business = "Harbour Grill"
[verify]
scheme = "hmac"
header = "x-shop-signature"
[read]
each = "$.events[*]"
event = "$.name"
saved = ["written"]
deleted = ["gone"]
[fields]
external_id = "$.id"
text = "$.words"
rating = "$.stars"
created_at = "$.day"
happened_at = "$.when"
"""


@pytest.fixture
def client(settings, server, tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "shop.toml").write_text(DESCRIPTION)
    (tmp_path / "shop.secret").write_text("new\nold\n")
    full = settings.model_copy(
        update={
            "platforms": tmp_path,
            "platform_secrets": {"trustpilot": [SecretStr("hush"), SecretStr("a/b ?")]},
        }
    )
    return TestClient(create_app(full, server), raise_server_exceptions=False)


def event(number=1, name="written", words="cold", when=1_772_366_400, **more):  # type: ignore[no-untyped-def]
    fixed = {"id": number, "name": name, "words": words, "stars": "2", "when": when}
    return {**fixed, "day": "2026-03-01", **more}


def post(client, *events, secret=b"new"):  # type: ignore[no-untyped-def]
    raw = json.dumps({"events": events}).encode()
    proof = hmac.new(secret, raw, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "x-shop-signature": proof}
    return client.post("/reviews/shop", content=raw, headers=headers)


def statuses(answer):  # type: ignore[no-untyped-def]
    return [one["status"] for one in answer.json()["reviews"]]


def test_a_platform_of_ones_own_is_ten_lines_of_toml(client, store):
    answer = post(client, event())
    assert answer.status_code == 202
    (review,) = store.reviews([answer.json()["reviews"][0]["id"]])
    assert (review.source, review.rating, review.business) == ("shop", 2, "Harbour Grill")


def test_old_and_new_secret_open_the_door_and_no_other(client):
    assert post(client, event(), secret=b"old").status_code == 202
    assert post(client, event(), secret=b"other").status_code == 401


def test_several_reviews_of_one_event_get_one_answer(client, store):
    answer = post(client, event(1), event(2), event(3))
    assert answer.status_code == 202 and statuses(answer) == ["new"] * 3
    assert post(client, event(1), event(2)).status_code == 200, "all known"


def test_one_bad_review_stores_none_of_its_event(client, store):
    answer = post(client, event(1), event(2, stars="many"))
    assert answer.status_code == 422 and "rating" in answer.json()["detail"]
    assert store.counts()["stored"] == 0


def test_an_event_without_reviews_is_204(client, store):
    assert post(client).status_code == 204
    assert post(client, event(name="liked")).status_code == 204
    assert post(client, event(words="")).status_code == 204, "stars alone: nothing to analyse"
    counted = 'beyond_reviews_in_total{outcome="ignored",source="shop"}'
    assert counted in client.get("/metrics").text


def test_an_update_supersedes_a_deletion_erases_and_a_late_update_stays_away(client, store):
    post(client, event(words="cold", when=1_772_366_400))
    assert statuses(post(client, event(words="warm", when=1_772_366_500))) == ["updated"]
    assert statuses(post(client, event(words="cold", when=1_772_366_400))) == ["stale"]
    assert statuses(post(client, event(name="gone", when=1_772_366_600))) == ["deleted"]
    assert statuses(post(client, event(words="warm", when=1_772_366_500))) == ["stale"]
    assert store.counts()["stored"] == 0


def test_of_one_review_twice_in_an_event_the_newer_is_stored(client, store):
    answer = post(client, event(words="warm", when=1_772_366_500), event(words="cold"))
    (one,) = answer.json()["reviews"]
    assert store.reviews([one["id"]])[0].text == "warm"


def test_a_missing_text_is_named_and_too_many_events_are_refused(client):
    lacking = {k: v for k, v in event().items() if k != "words"}
    assert "text" in post(client, lacking).json()["detail"]
    assert post(client, *[event(i) for i in range(101)]).status_code == 422


def test_a_secret_address_opens_its_platform_only(client):
    body = {"events": []}
    assert client.post("/reviews/trustpilot/hush", json=body).status_code == 204
    assert client.post("/reviews/trustpilot/a%2Fb%20%3F", json=body).status_code == 204
    assert client.post("/reviews/trustpilot/wrong", json=body).status_code == 401
    assert client.post("/reviews/trustpilot", json=body).status_code == 401
    assert client.post("/reviews/shop/hush", json=body).status_code == 401
    assert (
        client.post(
            "/reviews/trustpilot/hush", content=b"{", headers={"Content-Type": "application/json"}
        ).status_code
        == 400
    )


def test_a_platform_without_secret_is_not_there(client):
    answer = client.post("/reviews/judgeme", json={})
    assert answer.status_code == 404 and "beyond platforms" in answer.json()["detail"]
    assert client.post("/reviews", json={}).status_code == 404, "our own schema has no secret here"


@pytest.mark.parametrize(
    "line, says",
    [
        ('text = "$.words"', "text"),
        ('scheme = "hmac"', "scheme"),
        ('each = "$.events[*]"', "JSONPath"),
    ],
)
def test_a_wrong_description_stops_the_start_and_names_its_key(
    settings, server, tmp_path, line, says
):
    broken = DESCRIPTION.replace(line, 'each = "$.[["' if says == "JSONPath" else "")
    (tmp_path / "shop.toml").write_text(broken)
    (tmp_path / "shop.secret").write_text("new")
    with pytest.raises(Misconfigured, match=says):
        create_app(settings.model_copy(update={"platforms": tmp_path}), server)


def test_a_secret_for_no_platform_stops_the_start(settings, server):
    wrong = settings.model_copy(update={"platform_secrets": {"judgme": [SecretStr("x")]}})
    with pytest.raises(Misconfigured, match="judgme.*judgeme"):
        create_app(wrong, server)
