"""No input gives a 500: any method, path, headers and body, to each platform, genuine or not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from producers.platforms import descriptions
from producers.platforms.mapping import read_description
from producers.webhook import create_app
from shared.settings import Settings
from tests.producers.platforms.test_contract import JSON, SAMPLES, changed, paths_in
from tests.producers.platforms.test_oidc import ALLOWED, OWN, key_set, token
from tests.producers.test_door_limits import WHOLE, served

WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
PROOFS = {name: read_description(path).verify for name, path in descriptions(Settings()).items()}
OPEN = {
    "webhook_token": SecretStr("secret"),
    "platform_secrets": {n: [SecretStr(WHSEC)] for n, p in PROOFS.items() if p.scheme != "oidc"},
    "webhook_address_rate": 0,
    "webhook_source_rate": 0,
}
ANY = bounded(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def client(settings, server, tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "google-business.toml").write_text(OWN)
    (tmp_path / "google-business.secret").write_text(ALLOWED)
    (tmp_path / "keys.json").write_text(json.dumps(key_set("k1")))
    app = create_app(settings.model_copy(update={**OPEN, "platforms": tmp_path}), server)
    return TestClient(app, raise_server_exceptions=False)


def genuine(name: str, body: bytes) -> tuple[str, dict[str, str]]:
    """Address and headers by which a body is accepted as the platform's."""
    if not name:
        return "/reviews", {"Authorization": "Bearer secret"}
    proof, path = PROOFS[name], f"/reviews/{name}"
    if proof.scheme == "oidc":
        now = int(datetime.now(UTC).timestamp())
        return path, {"Authorization": f"Bearer {token(iat=now, exp=now + 3600)}"}
    if proof.scheme == "secret-path":
        return f"{path}/{WHSEC}", {}
    if proof.scheme == "secret-header":
        return path, {proof.header: WHSEC}
    if proof.scheme == "basic":
        return path, {"Authorization": f"Basic {base64.b64encode(WHSEC.encode()).decode()}"}
    if proof.scheme == "hmac":
        digest = hmac.new(WHSEC.encode(), body, getattr(hashlib, proof.algorithm)).digest()
        text = digest.hex() if proof.encoding == "hex" else base64.b64encode(digest).decode()
        return path, {proof.header: proof.prefix + text}
    now, prefix = datetime.now(UTC), proof.header or "webhook-"
    stamped = {f"{prefix}id": "1", f"{prefix}timestamp": str(int(now.timestamp()))}
    signature = Webhook(WHSEC).sign("1", now, body.decode("utf-8", "replace"))
    return path, {**stamped, f"{prefix}signature": signature}


def post(client: TestClient, name: str, body: bytes) -> int:
    path, headers = genuine(name, body)
    sent = {"Content-Type": "application/json", **headers}
    return int(client.post(path, content=body, headers=sent).status_code)


BY_NAME = pytest.mark.parametrize("name", sorted(SAMPLES))


@BY_NAME
def test_the_proofs_of_this_test_are_accepted(client, name):
    assert post(client, name, json.dumps(SAMPLES[name]).encode()) == 202


@BY_NAME
@ANY
@given(data=st.data())
def test_any_value_in_a_genuine_delivery(client, name, data):
    path = data.draw(st.sampled_from(list(paths_in(SAMPLES[name]))))
    payload = changed(SAMPLES[name], path, data.draw(JSON))
    assert post(client, name, json.dumps(payload).encode()) in {200, 202, 204, 400, 422}


@BY_NAME
@ANY
@given(body=st.binary())
def test_any_bytes_in_a_genuine_delivery(client, name, body):
    assert post(client, name, body) in {204, 400, 401, 422}


METHODS = st.sampled_from("GET POST PUT PATCH DELETE HEAD OPTIONS TRACE X".split())
NAMES = st.sampled_from(
    "content-type authorization content-length x-forwarded-for expect host cookie range origin "
    "webhook-id webhook-timestamp webhook-signature svix-signature judgeme-hmac-sha256".split()
)
VALUES = st.binary(max_size=40) | st.sampled_from([b"application/json", b"-1", b"9" * 30])
PLACES = st.sampled_from(["", "reviews", "reviews/", "healthz", "docs", *PROOFS])


@ANY
@given(
    method=METHODS,
    begin=PLACES,
    rest=st.text(max_size=20),
    headers=st.dictionaries(NAMES, VALUES),
    body=st.binary(max_size=200),
)
def test_any_request(client, method, begin, rest, headers, body):
    path = "/" + "".join(c for c in begin + rest if c.isprintable() and c not in "?#%[]:@")
    answer = client.request(method, f"http://door{path}", headers=headers, content=body)
    assert answer.status_code < 500


def test_any_bytes_on_the_wire(settings, server):
    """Random bytes, and a good request with a piece replaced: answered or cut off, never with a 5xx."""
    pieces = st.binary(max_size=60) | st.sampled_from(
        [b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Upgrade: websocket\r\n", b"%zz", b"\x00"]
    )
    changed = {**OPEN, "webhook_seconds": 0.05}

    with served(settings, server, **changed) as port:

        @bounded(max_examples=150, deadline=None)
        @given(
            at=st.integers(0, len(WHOLE)), cut=st.integers(0, 40), piece=pieces, alone=st.booleans()
        )
        def knock(at: int, cut: int, piece: bytes, alone: bool) -> None:
            good = WHOLE.encode()
            sent = piece if alone else good[:at] + piece + good[at + cut :]
            heard = b""
            with socket.create_connection(("127.0.0.1", port), 20) as sender:
                sender.sendall(sent)
                while b"\r\n\r\n" not in heard and (part := sender.recv(65536)):
                    heard += part
            assert not heard or heard.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4"))

        knock()
