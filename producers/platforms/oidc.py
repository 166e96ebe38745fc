"""OpenID Connect tokens as proof that a delivery is genuine (Google Pub/Sub push): keys and claims.

The signer's keys come from a file or an address and are kept; an unknown key makes them be fetched
again, at most once a minute, so that nobody can make us ask without end. It does not know platforms.
https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
"""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jwt

from producers.fetch import Limits, send
from producers.platforms.events import Clock
from shared.errors import BeyondError, Misconfigured, TemporaryFailure, Unauthorized

# Google changes its keys about daily and announces new ones before their use.
_KEEP_SECONDS = 3600
_AGAIN_SECONDS = 60
_LIMITS = Limits(max_bytes=1 << 20, total_seconds=5)
# Clocks may differ so much; the same as for other schemes (proofs.py: WINDOW_SECONDS).
_SKEW_SECONDS = 300


class Keys:
    """A key set (JWKS) at an address or in a file; a file is read again when it changes. Thread-safe.

    Args:
        place: address or path.
        elapsed: a monotonic clock, seconds.
    """

    def __init__(self, place: str, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._place, self._elapsed = place, elapsed
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._asked: float | None = None
        self._stamp: object = None

    def find(self, name: str) -> Any | None:
        """The public key of that `kid`, or None.

        Raises:
            TemporaryFailure: there are no keys at all, and they cannot be had now.
        """
        with self._lock:
            if "://" in self._place:
                self._refresh(name)
            else:
                self._reread()
            return self._keys.get(name)

    def _refresh(self, name: str) -> None:
        age = None if self._asked is None else self._elapsed() - self._asked
        patience = _KEEP_SECONDS if name in self._keys else _AGAIN_SECONDS
        if age is not None and age < patience:
            if not self._keys:
                raise TemporaryFailure("the keys of the signer cannot be fetched; see the log")
            return
        self._asked = self._elapsed()
        try:
            answer = send("GET", self._place, {}, limits=_LIMITS)
            if answer.status != 200:
                raise TemporaryFailure(f"{self._place}: answers {answer.status}")
            self._keys = _read(answer.body, self._place)
        except BeyondError as error:
            if not self._keys:  # old keys are better than none
                raise TemporaryFailure(
                    f"the keys of the signer cannot be fetched: {error}"
                ) from None

    def _reread(self) -> None:
        path = Path(self._place)
        try:
            stamp = path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._keys = _read(path.read_bytes(), self._place)
                self._stamp = stamp
        except (OSError, Misconfigured) as error:
            raise TemporaryFailure(f"{path.name}: the keys cannot be read: {error}") from None


def _read(body: bytes, place: str) -> dict[str, Any]:
    try:
        found = jwt.PyJWKSet.from_dict(json.loads(body))
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
        raise Misconfigured(f"{place}: no key set (JWKS): {error}") from None
    return {key.key_id: key for key in found.keys if key.key_id}


@functools.cache
def keys_at(place: str) -> Keys:
    """The one Keys of a place, shared by all deliveries."""
    return Keys(place)


def check_token(
    header: str, keys: Keys, issuers: Sequence[str], allowed: Sequence[str], clock: Clock
) -> None:
    """Return if a bearer token is signed by one of `keys`, in time, and for us.

    Args:
        header: value of Authorization.
        keys: of the signer.
        issuers: who may have issued it.
        allowed: `EMAIL AUDIENCE`, any number: the account it must speak for, and for whom it was made.
        clock: seconds since 1970.

    Raises:
        Unauthorized: it is not; the text says which claim, never what was expected.
        TemporaryFailure: the keys cannot be had now.
    """
    kind, _, token = header.partition(" ")
    if kind != "Bearer" or not token:
        raise Unauthorized("token refused: send `Authorization: Bearer ...`")
    try:
        name = jwt.get_unverified_header(token).get("kid")
        key = keys.find(str(name))
        if key is None:
            raise Unauthorized("token refused: signed by a key that is not known")
        # Times are judged below, by our clock; the audience together with the e-mail.
        options: Any = {f"verify_{claim}": False for claim in ("exp", "iat", "nbf", "aud")}
        claims = jwt.decode(token, key, algorithms=["RS256"], options=options)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise Unauthorized(f"token refused: {type(error).__name__}") from None
    _check_claims(claims, issuers, allowed, clock())


def _check_claims(
    claims: dict[str, Any], issuers: Sequence[str], allowed: Sequence[str], now: float
) -> None:
    begun, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(begun, int | float) or not isinstance(ends, int | float):
        raise Unauthorized("token refused: it has no time")
    if ends + _SKEW_SECONDS < now or begun - _SKEW_SECONDS > now:
        raise Unauthorized("token refused: it is out of date")
    if claims.get("iss") not in issuers:
        raise Unauthorized("token refused: its issuer is not one of ours")
    if claims.get("email_verified") is not True:
        raise Unauthorized("token refused: its e-mail is not verified")
    if f"{claims.get('email')} {claims.get('aud')}" not in [" ".join(a.split()) for a in allowed]:
        raise Unauthorized("token refused: it is for another audience or from another account")
