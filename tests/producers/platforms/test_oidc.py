"""OIDC tokens as Google Pub/Sub sends them: the vector and all others are made by google-auth, not by us."""

from __future__ import annotations

import base64
import json
import threading

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt
from google.auth import jwt as google_jwt
from pydantic import SecretStr

from producers.platforms import platforms
from producers.platforms.events import Delivery
from producers.platforms.oidc import Keys, check_token
from shared.errors import Misconfigured, TemporaryFailure, Unauthorized
from shared.settings import Settings
from tests.producers.poll.conftest import Played, reply

# google-auth 2.63: google.auth.jwt.encode(RSASigner(key, "vector-1"), CLAIMS); the key was thrown
# away, its public half is N. Claims as in Google's page on push authentication.
TOKEN = (
    "eyJ0eXAiOiAiSldUIiwgImFsZyI6ICJSUzI1NiIsICJraWQiOiAidmVjdG9yLTEifQ.eyJhdWQiOiAiaHR0cHM6L"
    "y9yZXZpZXdzLmV4YW1wbGUvcmV2aWV3cy9nb29nbGUtYnVzaW5lc3MiLCAiYXpwIjogIjExMzc3NDI2NDQ2MzAzO"
    "DMyMTk2NCIsICJlbWFpbCI6ICJwdXNoQHByb2plY3QuaWFtLmdzZXJ2aWNlYWNjb3VudC5jb20iLCAiZW1haWxfd"
    "mVyaWZpZWQiOiB0cnVlLCAiZXhwIjogMTcwMDAwMzYwMCwgImlhdCI6IDE3MDAwMDAwMDAsICJpc3MiOiAiaHR0c"
    "HM6Ly9hY2NvdW50cy5nb29nbGUuY29tIiwgInN1YiI6ICIxMTM3NzQyNjQ0NjMwMzgzMjE5NjQifQ.G_D8ppgDd2"
    "-tLhdPzjzNuNEJ-fI0_2v7eRTzcXkwpWeGdJ6BjViWMZA092UAj-"
    "bXMUUWOMI4ImjCYhW4EKO8FaKHr9TNnA1M2FoXddtG2kqOJhgYAL-"
    "HtVhzhHTOIickD8vi7oLfiScYZOHOexA3oM686_uCRH6R4rNm0zl2c2qkX1TOr1h2LutR6TYairphlpn-"
    "OnvpBs2fFNt2mLLORLefpG90m1B-_fXUjAGRTnwLFse3iIYMKyYqwud70xYn_HbknADgQG-"
    "j_lUcPsK6YW9OFSIqKEB6qqvf7w8qkwuYjVC0N7UQoBnSNjSssaUO_t5SDiJgyTEFjNZEl9XbMg"
)
N = (
    "odE7gX0oR4Dpz7lqNSfKZo5P6KdEVJPZIJJuDEPtrEoWkwh5oaETsBWz_wZJuLbvV-"
    "MfFmSf2_CZDiWgpvvTCJrOHqqzVJDzexgutryK1huFch92aAhld6nykbQB7XOlzLdDtIqLKtXZ9AZciG-qWcoFbM"
    "zW3ZeoFNtmqOz0HD7mjpbjvjDTFuAbB0LF8TOYc6GqaRBw0BMLefnPTu_9msQJGuqz7KD4TvCqFUyN9UXlIK5vUk"
    "5ylNBrSGdJXtnwpGyhivp1xugLLzwayADD5r0ahEuvIqSFyJ7Z04Q_3HOjyCwh1V4Hm0fvqfPdsHdO7MNTktwtRl"
    "v4uhpg11Mvxw"
)
VECTOR_KEYS = {
    "keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "vector-1", "e": "AQAB", "n": N}]
}
ISSUED = 1_700_000_000
EMAIL, AUDIENCE = (
    "push@project.iam.gserviceaccount.com",
    "https://reviews.example/reviews/google-business",
)
ALLOWED = f"{EMAIL} {AUDIENCE}"
ISSUERS = ("https://accounts.google.com", "accounts.google.com")
CLAIMS = {
    "aud": AUDIENCE,
    "email": EMAIL,
    "email_verified": True,
    "exp": ISSUED + 3600,
    "iat": ISSUED,
    "iss": "https://accounts.google.com",
    "sub": "113774264463038321964",
}
KEY = rsa.generate_private_key(65537, 2048)


def encoded(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_set(*names: str, key=KEY) -> dict:  # type: ignore[no-untyped-def,type-arg]
    numbers = key.public_key().public_numbers()
    fixed = {
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "e": encoded(numbers.e),
        "n": encoded(numbers.n),
    }
    return {"keys": [{**fixed, "kid": name} for name in names]}


def pem(key) -> bytes:  # type: ignore[no-untyped-def]
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*forms, serialization.NoEncryption())


def token(name: str = "k1", key=KEY, **changed) -> str:  # type: ignore[no-untyped-def]
    claims = {k: v for k, v in {**CLAIMS, **changed}.items() if v is not None}
    return google_jwt.encode(crypt.RSASigner.from_string(pem(key), name), claims).decode()


@pytest.fixture
def keys(tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "keys.json").write_text(json.dumps(key_set("k1")))
    return Keys(str(tmp_path / "keys.json"))


def check(
    given: str, keys: Keys, now: float = ISSUED + 60, allowed: tuple[str, ...] = (ALLOWED,)
) -> None:
    check_token(f"Bearer {given}", keys, ISSUERS, allowed, lambda: now)


def test_the_independent_vector_is_accepted(tmp_path):
    (tmp_path / "keys.json").write_text(json.dumps(VECTOR_KEYS))
    check(TOKEN, Keys(str(tmp_path / "keys.json")))


def test_a_token_of_another_key_of_the_same_name_is_refused(keys):
    with pytest.raises(Unauthorized, match="InvalidSignature"):
        check(token(key=rsa.generate_private_key(65537, 2048)), keys)


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"aud": "https://other.example/"}, "audience"),
        ({"aud": [AUDIENCE]}, "audience"),
        ({"aud": None}, "audience"),
        ({"email": "else@project.iam.gserviceaccount.com"}, "audience"),
        ({"email_verified": False}, "e-mail"),
        ({"email_verified": "true"}, "e-mail"),
        ({"iss": "https://accounts.example"}, "issuer"),
        ({"iss": ["https://accounts.google.com"]}, "token refused"),
        ({"exp": None}, "time"),
        ({"exp": "1e99"}, "time"),
        ({"exp": ISSUED - 600}, "out of date"),
        ({"iat": ISSUED + 600}, "out of date"),
    ],
)
def test_each_claim_is_judged(keys, changed, reason):
    check(token(), keys)
    with pytest.raises(Unauthorized, match=reason):
        check(token(**changed), keys)


@pytest.mark.parametrize("now, accepted", [(-301, 0), (-299, 1), (3600 + 299, 1), (3600 + 301, 0)])
def test_a_token_is_valid_from_its_issue_to_its_end_by_our_clock(keys, now, accepted):
    if accepted:
        return check(token(), keys, ISSUED + now)
    with pytest.raises(Unauthorized, match="out of date"):
        check(token(), keys, ISSUED + now)


def test_a_token_must_not_choose_how_it_is_verified(keys):
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for forged in (
        jwt.encode(CLAIMS, None, "none", headers={"kid": "k1"}),
        # The public key as an HMAC secret; by hand, because libraries refuse to make it.
        _hmac_signed(public),
    ):
        with pytest.raises(Unauthorized):
            check(forged, keys)


def _hmac_signed(secret: bytes) -> str:
    import hashlib
    import hmac

    parts = [json.dumps(p).encode() for p in ({"alg": "HS256", "kid": "k1"}, CLAIMS)]
    message = b".".join(base64.urlsafe_b64encode(p).rstrip(b"=") for p in parts)
    proof = hmac.new(secret, message, hashlib.sha256).digest()
    return (message + b"." + base64.urlsafe_b64encode(proof).rstrip(b"=")).decode()


def test_two_subscriptions_are_valid_at_once_and_their_halves_do_not_mix(keys):
    other = "b@project.example https://other.example/"
    check(token(), keys, allowed=(other, ALLOWED))
    with pytest.raises(Unauthorized):
        check(token(email="b@project.example"), keys, allowed=(other, ALLOWED))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic x", "Bearer a.b.c", "Bearer é", "Bearer \udcff.\ud800."])  # fmt: skip
def test_malformed_headers_are_refused_and_never_an_error(keys, header):
    with pytest.raises(Unauthorized):
        check_token(header, keys, ISSUERS, (ALLOWED,), lambda: ISSUED)


def test_a_file_of_keys_is_read_again_when_it_changes(tmp_path, keys):
    with pytest.raises(Unauthorized, match="not known"):
        check(token("k2"), keys)
    (tmp_path / "keys.json").write_text(json.dumps(key_set("k2", "k1")))
    check(token("k2"), keys)
    (tmp_path / "keys.json").write_text("damaged")
    with pytest.raises(TemporaryFailure, match="no key set"):
        check(token("k2"), keys)
    with pytest.raises(TemporaryFailure, match="cannot be read"):
        check(token(), Keys(str(tmp_path / "missing.json")))


@pytest.fixture
def played():  # type: ignore[no-untyped-def]
    found = Played()
    yield found
    found.stop()


def test_keys_at_an_address_are_kept_and_asked_for_again_when_one_is_unknown(played):
    now = [0.0]
    keys = Keys(played.url, lambda: now[0])
    played.answer = lambda *_: reply(key_set("k1"))
    for _ in range(3):
        check(token(), keys)
    assert len(played.asked) == 1
    played.answer = lambda *_: reply(key_set("k2"))
    now[0] = 59
    for _ in range(50):
        with pytest.raises(Unauthorized, match="not known"):
            check(token("k2"), keys)
    assert len(played.asked) == 1, "unknown keys do not let anybody make us ask without end"
    now[0] = 61
    check(token("k2"), keys)
    assert len(played.asked) == 2
    now[0] = 61 + 3601
    check(token("k2"), keys)
    assert len(played.asked) == 3


def test_while_the_signer_is_away_old_keys_serve_and_without_any_the_sender_is_told_to_come_back(
    played,
):
    now = [0.0]
    keys = Keys(played.url, lambda: now[0])
    played.answer = lambda *_: reply({}, 500)
    for _ in range(5):
        with pytest.raises(TemporaryFailure):
            check(token(), keys)
    assert len(played.asked) == 1
    now[0], played.answer = 61, lambda *_: reply(key_set("k1"))
    check(token(), keys)
    now[0], played.answer = 9999, lambda *_: reply(b"damaged")
    check(token(), keys)


def test_many_at_once_ask_once(played):
    keys = Keys(played.url)
    played.answer = lambda *_: reply(key_set("k1"))
    threads = [threading.Thread(target=check, args=(token(), keys)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(played.asked) == 1


OWN = """
title = "Google by our own keys"
checked = "this test"
[verify]
scheme = "oidc"
keys = "keys.json"
issuers = ["https://accounts.google.com"]
[read]
packed = "$.message.data"
named_only = true
[fields]
external_id = "$.reviewName"
"""


def test_a_description_of_ones_own_may_bring_its_own_keys(tmp_path):
    (tmp_path / "google-business.toml").write_text(OWN)
    (tmp_path / "keys.json").write_text(json.dumps(key_set("k1")))
    settings = Settings(
        platforms=tmp_path, platform_secrets={"google-business": [SecretStr(ALLOWED)]}
    )
    platform = platforms(settings, lambda: ISSUED + 60)["google-business"]
    platform.verify(Delivery({"authorization": f"Bearer {token()}"}, b"{}"))
    with pytest.raises(Unauthorized):
        platform.verify(Delivery({"authorization": f"Bearer {token(aud='x')}"}, b"{}"))


def test_a_secret_that_names_no_audience_stops_the_start():
    wrong = Settings(platform_secrets={"google-business": [SecretStr(EMAIL)]})
    with pytest.raises(Misconfigured, match="EMAIL AUDIENCE"):
        platforms(wrong)
