"""Each scheme against a vector that an independent tool computed, named beside it."""

from __future__ import annotations

import base64

import pytest

from producers.platforms.events import Delivery
from producers.platforms.proofs import Proof, check_secret
from shared.errors import Misconfigured, Unauthorized

BODY = b'{"review":{"id":7,"body":"cold"}}'
WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
SIGNED_AT = 1_700_000_000
# printf '%s' "$BODY" | openssl dgst -sha256 -hmac hush -hex        (OpenSSL 3)
HEX = "2ca6d996cd9c3e497d37c9be203c58d872dacf519a04d61414ac75af37b4c9ce"
# ... -binary | base64
BASE64 = "LKbZls2cPkl9N8m+IDxY2HLaz1GaBNYUFKx1rze0yc4="
# printf '%s' "1700000000.$BODY" | openssl dgst -sha512 -hmac hush -hex
STAMPED = (
    "5abb46958b3c11e865362fdc6e58abf582808789aae7640c7079987c81cfd4b7"
    "2e626c18a3cef7ef3e6be5cb4d9688d92d39fc2aaeb5b2f1a15e613fe3c6850b"
)
# svix 2.9.1: Webhook(WHSEC).sign("msg_1", <SIGNED_AT>, BODY)
SVIX = "v1,gmu/MFMttqSie8+5SMtYgxe9sWsYh377PGA8VJ616Eg="

SCHEMES = {
    "hmac hex": (Proof(scheme="hmac", header="x-sig"), "hush", {"x-sig": HEX}),
    "hmac base64": (
        Proof(scheme="hmac", header="x-sig", encoding="base64"),
        "hush",
        {"x-sig": BASE64},
    ),
    "hmac with prefix": (
        Proof(scheme="hmac", header="x-sig", prefix="sha256="),
        "hush",
        {"x-sig": "sha256=" + HEX},
    ),
    "hmac with timestamp": (
        Proof(
            scheme="hmac",
            header="x-sig",
            algorithm="sha512",
            signed="{timestamp}.{body}",
            timestamp_header="x-time",
        ),
        "hush",
        {"x-sig": STAMPED, "x-time": str(SIGNED_AT)},
    ),
    "standard webhooks": (
        Proof(scheme="standard-webhooks"),
        WHSEC,
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(SIGNED_AT),
            "webhook-signature": "v1,AAAA " + SVIX,
        },
    ),
    "svix": (
        Proof(scheme="standard-webhooks", header="svix-"),
        WHSEC,
        {"svix-id": "msg_1", "svix-timestamp": str(SIGNED_AT), "svix-signature": SVIX},
    ),
    "secret header": (Proof(scheme="secret-header", header="x-key"), "hush", {"x-key": "hush"}),
    # printf 'me:hush' | base64
    "basic": (Proof(scheme="basic"), "me:hush", {"authorization": "Basic bWU6aHVzaA=="}),
    "secret path": (Proof(scheme="secret-path"), "hush", {"key": "hush"}),
}
OTHER = {"standard webhooks": "whsec_" + base64.b64encode(b"x" * 24).decode()}
OTHER["svix"] = OTHER["standard webhooks"]


def check(scheme: str, secrets: list[str], now: float = SIGNED_AT, body=BODY, **changed) -> None:  # type: ignore[no-untyped-def]
    proof, _, headers = SCHEMES[scheme]
    headers = {**headers, **changed}
    proof.check(Delivery(headers, body, headers.get("key", "")), secrets, lambda: now)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_independent_vector_is_accepted(scheme):
    check(scheme, [SCHEMES[scheme][1]])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_while_a_secret_is_replaced_old_and_new_are_valid(scheme):
    other, right = OTHER.get(scheme, "other"), SCHEMES[scheme][1]
    check(scheme, [other, right])
    check(scheme, [right, other])
    with pytest.raises(Unauthorized):
        check(scheme, [other])


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if "secret" not in s and s != "basic"])
def test_a_signature_is_of_the_raw_body(scheme):
    with pytest.raises(Unauthorized):
        check(scheme, [SCHEMES[scheme][1]], body=BODY + b" ")


@pytest.mark.parametrize("scheme", ["hmac with timestamp", "standard webhooks", "svix"])
@pytest.mark.parametrize("seconds, accepted", [(-301, 0), (-299, 1), (299, 1), (301, 0)])
def test_a_replay_outside_five_minutes_is_refused(scheme, seconds, accepted):
    secret = [SCHEMES[scheme][1]]
    if accepted:
        return check(scheme, secret, SIGNED_AT + seconds)
    with pytest.raises(Unauthorized, match="300 s"):
        check(scheme, secret, SIGNED_AT + seconds)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("value", ["", "é", "\udcff", "=", "v1", "9" * 400, "-1", "²", "Basic é"])
def test_malformed_headers_are_refused_and_never_an_error(scheme, value):
    for name in SCHEMES[scheme][2]:
        with pytest.raises(Unauthorized):
            check(scheme, [SCHEMES[scheme][1]], **{name: value})


def test_a_body_that_is_no_utf8_is_refused_where_text_is_signed():
    with pytest.raises(Unauthorized, match="UTF-8"):
        check("svix", [WHSEC], body=b"\xff")


def test_a_secret_that_could_prove_nothing_stops_the_start():
    with pytest.raises(Misconfigured, match="empty"):
        check_secret("hmac", "")
    with pytest.raises(Misconfigured, match="base64"):
        check_secret("standard-webhooks", "whsec_!")
