"""The webhook as a platform sees it: over real HTTP semantics, against a real server."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from producers.webhook import create_app
from shared.errors import Misconfigured

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
BODY = {
    "text": "The soup was cold.",
    "external_id": "1",
    "created_at": "2026-03-01T00:00:00Z",
    "rating": 2,
    "author": "Jo",
}


@pytest.fixture
def client(settings, server):  # type: ignore[no-untyped-def]
    full = settings.model_copy(
        update={
            "webhook_token": SecretStr("secret"),
            "webhook_secret": SecretStr(SECRET),
            "webhook_max_bytes": 5000,
        }
    )
    return TestClient(create_app(full, server))


def send(client, body=BODY, **headers):  # type: ignore[no-untyped-def]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(
        "/reviews",
        content=raw,
        headers={"Content-Type": "application/json", "Authorization": "Bearer secret", **headers},
    )


def signed(body: bytes, when: datetime | None = None, ident: str = "msg_1") -> dict[str, str]:
    when = when or datetime.now(UTC)
    return {
        "webhook-id": ident,
        "webhook-timestamp": str(int(when.timestamp())),
        "Authorization": "",
        "webhook-signature": Webhook(SECRET).sign(ident, when, body.decode()),
    }


def test_a_new_review_gets_202_and_its_id_and_a_repeat_200(client, store):
    first, again = send(client), send(client)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == {"id": again.json()["id"], "status": "new"}
    review = store.reviews([first.json()["id"]])[0]
    assert review is not None and review.text == BODY["text"] and review.author != "Jo"


def test_an_update_is_accepted_as_such(client):
    send(client)
    assert send(client, {**BODY, "text": "Warm after all."}).json()["status"] == "updated"


def test_a_standard_webhooks_signature_opens_the_door(client):
    raw = json.dumps(BODY).encode()
    assert send(client, raw, **signed(raw)).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic abc"},
        {"Authorization": ""},
        {
            "Authorization": "",
            "webhook-id": "1",
            "webhook-timestamp": "x",
            "webhook-signature": "v1,abc",
        },
        {
            "Authorization": "",
            "webhook-id": "1",
            "webhook-timestamp": "99999999999999999999",
            "webhook-signature": "v1,abc",
        },
        {
            "Authorization": "",
            "webhook-id": "1",
            "webhook-timestamp": "1",
            "webhook-signature": "nonsense",
        },
        {
            "Authorization": "",
            "webhook-id": "1",
            "webhook-timestamp": "1",
            "webhook-signature": "v1,!!!!",
        },
    ],
)
def test_a_wrong_or_malformed_proof_is_401(client, store, headers):
    answer = send(client, **headers)
    assert answer.status_code == 401 and "www-authenticate" in answer.headers
    assert store.counts()["stored"] == 0


def test_a_changed_body_or_an_old_signature_is_401(client):
    raw = json.dumps(BODY).encode()
    assert send(client, raw + b" ", **signed(raw)).status_code == 401
    assert (
        send(client, raw, **signed(raw, datetime.now(UTC) - timedelta(minutes=6))).status_code
        == 401
    )


@pytest.mark.parametrize(
    "body, status, says",
    [
        (b"{oops", 400, "JSON"),
        (b"[1]", 400, "object"),
        (b"\xff\xfe", 400, "JSON"),
        (b"[" * 4000, 400, "body"),
        ({**BODY, "text": ""}, 422, "text"),
        ({**BODY, "rating": 7}, 422, "rating"),
        ({**BODY, "typo": 1}, 422, "typo"),
        ({k: v for k, v in BODY.items() if k != "created_at"}, 422, "created_at"),
        ({**BODY, "created_at": "soon"}, 422, "created_at"),
        (b'{"text": "' + b"x" * 6000 + b'"}', 413, "5000"),
    ],
)
def test_bad_bodies_get_a_problem_that_names_the_field(client, store, body, status, says):
    answer = send(client, body)
    assert (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
    )
    problem = answer.json()
    assert problem["status"] == status and says in problem["detail"] and problem["title"]
    assert store.counts()["stored"] == 0


def test_another_media_type_is_415_and_unknown_paths_are_problems(client):
    assert send(client, **{"Content-Type": "text/plain"}).status_code == 415
    assert (
        client.get("/nowhere").json()["status"] == 404
        and client.get("/reviews").json()["status"] == 405
    )


def test_health_readiness_metrics_and_docs(client, server):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    send(client)
    assert 'beyond_queue_jobs{queue="live"} 1.0' in client.get("/metrics").text
    schema = client.get("/openapi.json").json()
    assert "Harbour Grill" in json.dumps(schema) and set(
        schema["paths"]["/reviews"]["post"]["responses"]
    ) >= {
        "200",
        "202",
        "401",
        "503",
    }
    (parameter,) = schema["paths"]["/reviews/{platform}"]["post"]["parameters"]
    assert parameter["name"] == "platform"
    server.config_set("appendonly", "no")
    assert client.get("/readyz").status_code == 503
    assert send(client, {**BODY, "external_id": "2"}).status_code == 503, "a 202 without a disk"


def test_an_open_door_is_refused(settings, server):
    with pytest.raises(Misconfigured, match="BEYOND_WEBHOOK"):
        create_app(settings, server)
    with pytest.raises(Misconfigured, match="base64"):
        create_app(settings.model_copy(update={"webhook_secret": SecretStr("whsec_!")}), server)
