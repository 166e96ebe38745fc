"""Proofs that a delivery is genuine: each scheme a function over the raw body, in constant time.

Every function takes all secrets that are valid at the moment: while one is replaced, old and new
both open the door. It does not know which platform uses which scheme (the .toml files do).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from standardwebhooks import Webhook

from producers.platforms.events import Clock, Delivery
from producers.platforms.oidc import check_token, keys_at
from shared.errors import Misconfigured, Unauthorized

# Standard Webhooks and Svix allow a clock to be five minutes off, either way; we use it for all.
WINDOW_SECONDS = 300


class Proof(BaseModel):
    """The `[verify]` table of a platform's description."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    scheme: Literal["hmac", "standard-webhooks", "secret-header", "secret-path", "basic", "oidc"]
    header: str = Field(default="", description="header of signature or secret, lower case")
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = Field(default="", description="text before the signature, e.g. sha256=")
    signed: str = Field(default="{body}", description="what is signed: {body} and {timestamp}")
    timestamp_header: str = Field(default="", description="Unix seconds; checked against replay")
    keys: str = Field(default="", description="oidc: address or file of the signer's keys (JWKS)")
    issuers: tuple[str, ...] = Field(default=(), description="oidc: who may have issued a token")

    def check(self, delivery: Delivery, secrets: Sequence[str], clock: Clock) -> None:
        """Return if one of `secrets` proves the delivery.

        Raises:
            Unauthorized: none does; the text names the header, never what was expected in it.
            TemporaryFailure: the signer's keys cannot be had now.
        """
        if self.scheme == "hmac":
            _hmac(self, delivery, secrets, clock)
        elif self.scheme == "standard-webhooks":
            standard_webhooks(delivery, secrets, clock, self.header or "webhook-")
        elif self.scheme == "secret-header":
            _among(delivery.headers.get(self.header, ""), secrets, f"header {self.header}")
        elif self.scheme == "basic":
            _among(_basic_password(delivery), secrets, "Authorization: Basic")
        elif self.scheme == "oidc":
            token = delivery.headers.get("authorization", "")
            check_token(token, keys_at(self.keys), self.issuers, secrets, clock)
        else:
            _among(delivery.key, secrets, "the last part of the address")


def check_secret(scheme: str, secret: str) -> None:
    """Refuse a secret that could never prove anything, when the program starts.

    Raises:
        Misconfigured: empty; for standard-webhooks not `whsec_` + base64; for oidc not two words.
    """
    if not secret:
        raise Misconfigured("an empty secret would open the door to everyone")
    if scheme == "oidc" and len(secret.split()) != 2:
        raise Misconfigured(
            "not `EMAIL AUDIENCE`: who signs the tokens, and for whom they are made"
        )
    if scheme == "standard-webhooks":
        try:
            Webhook(secret)
        except Exception as error:  # the library raises binascii.Error, RuntimeError and its own
            raise Misconfigured(f"not `whsec_` followed by base64: {error}") from None


def standard_webhooks(
    delivery: Delivery, secrets: Sequence[str], clock: Clock, prefix: str = "webhook-"
) -> None:
    """Standard Webhooks 1.0, and Svix, its origin, under the prefix `svix-`.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

    Raises:
        Unauthorized: a header is missing or malformed, the time is off, or no signature fits.
    """
    headers = delivery.headers
    identity, given = headers.get(prefix + "id", ""), headers.get(prefix + "signature", "")
    seconds = _fresh(headers.get(prefix + "timestamp", ""), prefix + "timestamp", clock)
    try:
        text = delivery.body.decode()
        expected = [
            Webhook(secret).sign(identity, datetime.fromtimestamp(seconds, UTC), text)
            for secret in secrets
        ]
    except UnicodeError:  # of the body, or of an id that cannot be encoded
        raise Unauthorized("signature refused: the body or the id is not UTF-8") from None
    fits = [_equal(one, wanted) for one in given.split(" ") for wanted in expected]
    if not identity or not any(fits):
        raise Unauthorized(f"signature refused: no {prefix}signature fits")


def _hmac(proof: Proof, delivery: Delivery, secrets: Sequence[str], clock: Clock) -> None:
    given = delivery.headers.get(proof.header, "").strip()
    if not given.startswith(proof.prefix):
        raise Unauthorized(f"signature refused: {proof.header} must begin with {proof.prefix}")
    signed = proof.signed.encode()
    if proof.timestamp_header:
        stamp = delivery.headers.get(proof.timestamp_header, "")
        _fresh(stamp, proof.timestamp_header, clock)
        signed = signed.replace(b"{timestamp}", stamp.encode())
    before, _, after = signed.partition(b"{body}")
    message = before + delivery.body + after
    given = given.removeprefix(proof.prefix)
    found = [_equal(given, _digest(proof, secret, message)) for secret in secrets]
    if not any(found):
        raise Unauthorized(f"signature refused: {proof.header} missing or wrong")


def _digest(proof: Proof, secret: str, message: bytes) -> str:
    raw = hmac.new(secret.encode(), message, getattr(hashlib, proof.algorithm)).digest()
    return raw.hex() if proof.encoding == "hex" else base64.b64encode(raw).decode()


def _fresh(stamp: str, name: str, clock: Clock) -> int:
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 11:
        raise Unauthorized(f"signature refused: {name} is not a Unix time in seconds")
    if abs(clock() - int(stamp)) > WINDOW_SECONDS:
        raise Unauthorized(f"signature refused: {name} is more than {WINDOW_SECONDS} s off")
    return int(stamp)


def _basic_password(delivery: Delivery) -> str:
    kind, _, encoded = delivery.headers.get("authorization", "").partition(" ")
    try:
        pair = base64.b64decode(encoded, validate=True).decode() if kind == "Basic" else ""
    except (binascii.Error, ValueError):
        return ""
    return pair  # `user:password` as a whole is the secret


def _among(given: str, secrets: Sequence[str], where: str) -> None:
    if not any([_equal(given, secret) for secret in secrets]):
        raise Unauthorized(f"secret refused: {where} missing or wrong")


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
