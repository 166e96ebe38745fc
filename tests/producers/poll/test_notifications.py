"""A platform that only names its reviews: from its notification to the stored text, over real HTTP and server."""

from __future__ import annotations

import base64
import json

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from producers.platforms.oidc import keys_at
from producers.webhook import create_app
from shared.errors import Overloaded, TemporaryFailure
from shared.stream import polling
from shared.stream.polling import Wanted
from tests.conftest import wait_until
from tests.producers.platforms.test_oidc import ALLOWED, CLAIMS, OWN, key_set, token
from tests.producers.poll.accounts import PLACE, account, business_review, with_token
from tests.producers.poll.conftest import reply

# printf '%s' "$BODY" | openssl dgst -sha256 -hmac hush -hex            (OpenSSL 3)
APPLE = (
    b'{"data":{"type":"betaFeedbackScreenshotSubmissionCreated","id":"e1","version":1,"attributes":'
    b'{"timestamp":"2026-03-01T12:00:00Z"},"relationships":{"instance":{"data":{"type":'
    b'"betaFeedbackScreenshotSubmissions","id":"f1"}}}}}'
)
APPLE_PROOF = "36d17c0c60bf782a8092eb01bbd73db7356a4147224ddc96da891a0ade566809"
YEXT = (
    b'{"meta":{"eventType":"REVIEW_CREATED","timestamp":1772366400000},"review":{"id":7,"content":'
    b'"cold","rating":2,"publisherDate":1772366400000}}'
)
YEXT_PROOF = "15a9e2de788103f762c7ab3198fbc58fab5cdde56922fadae65751afac33cc6a"


@pytest.fixture
def client(settings, server, tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "google-business.toml").write_text(OWN)
    (tmp_path / "keys.json").write_text(json.dumps(key_set("k1")))
    secrets = {
        "google-business": [SecretStr(ALLOWED)],
        "app-store-feedback": [SecretStr("hush")],
        "yext": [SecretStr("hush")],
    }
    full = settings.model_copy(update={"platforms": tmp_path, "platform_secrets": secrets})
    with TestClient(create_app(full, server), raise_server_exceptions=False) as found:
        yield found


def notify(client, *names: str):  # type: ignore[no-untyped-def]
    import time

    now = int(time.time())
    headers = {"Authorization": f"Bearer {token(iat=now, exp=now + 3600)}"}
    for name in names:
        data = base64.b64encode(json.dumps({"reviewName": name}).encode()).decode()
        answer = client.post(
            "/reviews/google-business", json={"message": {"data": data}}, headers=headers
        )
    return answer


@pytest.fixture
def business(tmp_path, played):  # type: ignore[no-untyped-def]
    path = tmp_path / "sources.toml"
    path.write_text(
        f'[sources.google-business]\nconnector = "google-business"\nsecret_file = "account"\n'
        f'values = {{base = "{played.url}", account_id = "1", location_id = "2"}}\n'
    )
    (tmp_path / "account").write_text(account(played))
    return path


def named_only(played, texts: dict[str, str]):  # type: ignore[no-untyped-def]
    """Google with an empty list, whose reviews can be fetched by their names."""

    def answer(path, *_):  # type: ignore[no-untyped-def]
        name = path.removeprefix("/v4/")
        if name in texts:
            return reply(business_review(name, texts[name]))
        return reply({}, 200 if path.endswith("/reviews") else 404)

    return with_token(played, answer)


def test_a_named_review_is_fetched_with_credentials_and_stored(client, polled, played, business, store):  # fmt: skip
    answer = notify(client, PLACE + "a")
    assert answer.status_code == 202 and answer.json()["reviews"][0]["status"] == "named"
    assert store.counts()["stored"] == 0
    played.answer = named_only(played, {PLACE + "a": "Waited an hour."})
    turn = polled.turn(business)
    assert turn.fetched == 1 and not turn.error
    review = next(iter(store.all()))[0]
    assert review.text == "Waited an hour." and review.id == answer.json()["reviews"][0]["id"]
    assert polled.turn(business).fetched == 0


def test_reviews_fetched_by_name_do_not_hide_older_ones_that_no_notification_named(client, polled, played, business, store):  # fmt: skip
    """A list from new to old is left at the first page of known reviews, but not for those."""
    texts = {PLACE + str(n): f"Text {n}" for n in range(6)}
    known = 2  # reviews there are; later ones stand first

    def answer(path, query, _):  # type: ignore[no-untyped-def]
        if not path.endswith("/locations/2/reviews"):
            name = path.removeprefix("/v4/")
            return reply(
                business_review(name, texts[name], f"2026-03-0{1 + int(name[-1])}T00:00:00Z")
            )
        at = known - 1 - int(query.get("pageToken", 0))
        name = PLACE + str(at)
        more = {"nextPageToken": str(known - at)} if at else {}
        day = f"2026-03-0{1 + at}T00:00:00Z"
        return reply({"reviews": [business_review(name, texts[name], day)], **more})

    played.answer = with_token(played, answer)
    assert polled.turn(business).counts.pages == 2
    known = 5
    notify(client, PLACE + "4")
    turn = polled.turn(business)
    assert (turn.fetched, turn.counts.outcomes) == (1, {"new": 2, "same": 2}), turn.error
    assert store.counts()["stored"] == 5
    assert turn.counts.pages == 4, "and at the last one of before it stops"


def test_it_does_not_wait_for_the_schedule(client, processes, played, business, store, tmp_path):
    played.answer = named_only(played, {PLACE + "a": "Waited an hour."})
    processes.beyond("poll", "--config", str(business))
    assert wait_until(lambda: any(p.endswith("/reviews") for p, _, _ in played.asked), 60)
    notify(client, PLACE + "a")
    assert wait_until(lambda: store.counts()["stored"] == 1, 60)
    assert [p for p, _, _ in played.asked].count("/v4/accounts/1/locations/2/reviews") == 1


def test_a_review_that_is_gone_is_forgotten_and_one_that_cannot_be_had_now_waits(client, polled, played, business, server):  # fmt: skip
    notify(client, PLACE + "gone")
    played.answer = named_only(played, {})
    assert polled.turn(business).fetched == 1
    notify(client, PLACE + "later")
    played.answer = with_token(played, lambda *_: reply({}, 500))
    assert isinstance(polled.turn(business).error, TemporaryFailure)
    assert [n for n, _ in Wanted(server).oldest("google-business", 9)] == [PLACE + "later"]


@pytest.mark.parametrize("status, kept", [(403, []), (500, [PLACE + "x"]), (401, [PLACE + "x"])])
def test_one_review_that_cannot_be_had_keeps_no_other_away(client, polled, played, business, server, store, status, kept):  # fmt: skip
    notify(client, PLACE + "x")

    def answer(path, *_):  # type: ignore[no-untyped-def]
        if path.endswith("/locations/2/reviews"):
            return reply({"reviews": [business_review(PLACE + "a", "Waited an hour.")]})
        return reply({}, status)

    played.answer = with_token(played, answer)
    turn = polled.turn(business)
    assert turn.counts.finished and store.counts()["stored"] == 1
    assert [n for n, _ in Wanted(server).oldest("google-business", 9)] == kept
    assert bool(turn.error) == bool(kept)


def test_one_named_again_while_it_is_fetched_is_fetched_again(server):
    wanted = Wanted(server)
    wanted.add([("s", "a"), ("s", "b")], 5)
    ((first, stamp), _) = wanted.oldest("s", 9)
    wanted.add([("s", "a")], 5)
    wanted.fetched("s", first, stamp)
    assert [n for n, _ in wanted.oldest("s", 9)] == ["b", "a"]
    for name, stamp in wanted.oldest("s", 9):
        wanted.fetched("s", name, stamp)
    assert wanted.oldest("s", 9) == []


def test_a_name_that_leads_elsewhere_is_not_followed(client, polled, played, business, server):
    notify(client, "../../v1/secrets", PLACE + "a?x=1#y")
    played.answer = named_only(played, {})
    turn = polled.turn(business)
    assert turn.fetched == 2 and not turn.error
    paths = [p for p, _, _ in played.asked if p.startswith("/v4/") and not p.endswith("/reviews")]
    assert paths == ["/v4/" + PLACE + "a%3Fx%3D1%23y"]


def test_when_nobody_fetches_the_notifier_is_told_to_come_back(client, server, monkeypatch):
    monkeypatch.setattr(polling, "MAX_WANTED", 2)
    assert notify(client, "a", "b").status_code == 202
    answer = notify(client, "c")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "60"
    assert "beyond poll" in answer.json()["detail"]
    with pytest.raises(Overloaded):
        Wanted(server).add([("other", "x"), ("google-business", "c")], 5)
    assert Wanted(server).oldest("other", 9) == [], "all or none"


def test_keys_at_an_address_are_fetched_off_the_event_loop(settings, server, tmp_path, played):
    (tmp_path / "google-business.toml").write_text(OWN.replace("keys.json", played.url))
    full = settings.model_copy(
        update={
            "platforms": tmp_path,
            "platform_secrets": {"google-business": [SecretStr(ALLOWED)]},
        }
    )
    with TestClient(create_app(full, server), raise_server_exceptions=False) as client:
        played.answer = lambda *_: reply({}, 500)
        assert notify(client, "a").status_code == 503
    keys_at.cache_clear()
    with TestClient(create_app(full, server), raise_server_exceptions=False) as client:
        played.answer = lambda *_: reply(key_set("k1"))
        assert notify(client, "a").status_code == 202


def test_a_wrong_token_names_nothing(client, server):
    headers = {"Authorization": f"Bearer {token(aud='https://else.example/')}"}
    answer = client.post("/reviews/google-business", json={}, headers=headers)
    assert answer.status_code == 401 and CLAIMS["aud"] not in answer.text
    assert server.keys("b:wanted:*") == []


def test_apples_signature_by_openssl_names_the_feedback(client, server):
    headers = {"Content-Type": "application/json", "x-apple-signature": "hmacsha256=" + APPLE_PROOF}
    answer = client.post("/reviews/app-store-feedback", content=APPLE, headers=headers)
    assert answer.status_code == 202
    assert [n for n, _ in Wanted(server).oldest("app-store-feedback", 9)] == ["f1"]
    headers["x-apple-signature"] = APPLE_PROOF
    answer = client.post("/reviews/app-store-feedback", content=APPLE, headers=headers)
    assert answer.status_code == 401 and "hmacsha256=" in answer.json()["detail"]


def test_yexts_signature_by_openssl_brings_the_review(client, store):
    headers = {"Content-Type": "application/json", "x-yext-signature": YEXT_PROOF}
    answer = client.post("/reviews/yext", content=YEXT, headers=headers)
    assert answer.status_code == 202 and answer.json()["reviews"][0]["status"] == "new"
    assert str(next(iter(store.all()))[0].created_at) == "2026-03-01 12:00:00+00:00"
