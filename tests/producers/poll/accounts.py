"""Keys and accounts of the platforms that connectors ask, and the servers' side of them."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.producers.poll.conftest import reply


def pem(key) -> str:  # type: ignore[no-untyped-def]
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*forms, serialization.NoEncryption()).decode()


def public(key) -> bytes:  # type: ignore[no-untyped-def]
    forms = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(*forms)


EC, RSA = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)


def account(played, **more) -> str:  # type: ignore[no-untyped-def]
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "poller@example.iam.gserviceaccount.com",
            "private_key": pem(RSA),
            "private_key_id": "k1",
            "token_uri": f"{played.url}/token",
            **more,
        }
    )


def with_token(played, answer):  # type: ignore[no-untyped-def]
    """A server that gives access tokens to whoever signs for them, and asks for one."""

    def play(path, query, headers):  # type: ignore[no-untyped-def]
        if path == "/token":
            sent = dict(parse_qsl(played.bodies[-1].decode()))
            claims = jwt.decode(
                sent["assertion"],
                public(RSA),
                ["RS256"],
                audience="https://oauth2.googleapis.com/token",
            )
            played.scope = claims["scope"]
            return reply({"access_token": "opened", "expires_in": 3600, "token_type": "Bearer"})
        if headers.get("authorization") != "Bearer opened":
            return reply({}, 401)
        return answer(path, query, headers)

    return play


PLACE = "accounts/1/locations/2/reviews/"


def business_review(name: str, text: str, updated: str = "2026-03-01T12:00:00.045123456Z") -> dict:  # type: ignore[type-arg]
    return {
        "name": name,
        "reviewId": name.rpartition("/")[2],
        "reviewer": {"displayName": "Ann", "isAnonymous": False},
        "starRating": "TWO",
        "comment": text,
        "createTime": "2026-03-01T12:00:00.045123456Z",
        "updateTime": updated,
    }
