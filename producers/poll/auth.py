"""Credentials of a pull source: what a secret becomes in a request. It knows no source and sends nothing itself.

A Google credential needs an access token first; `fetch` is given for that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from google.auth import exceptions as google_errors
from google.auth import load_credentials_from_dict
from google.auth import transport as google_transport
from pydantic import BaseModel, ConfigDict, Field

from producers.platforms.events import Clock
from shared.errors import Misconfigured, TemporaryFailure

# App Store Connect refuses tokens that live longer than 20 minutes.
_TOKEN_SECONDS = 15 * 60
# (method, address, headers, body) -> (status, headers, body)
Send = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, Mapping[str, str], bytes]]


class Auth(BaseModel):
    """The `[auth]` table of a source's description."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    by: Literal["none", "header", "query", "es256", "google"] = "none"
    header: str = "authorization"
    prefix: str = Field(default="Bearer ", description="text before the secret")
    param: str = Field(default="key", description="query: the parameter that carries the secret")
    issuer: str = Field(default="", description="es256: whose key it is; a place of `values`")
    key_id: str = Field(default="", description="es256: which key; a place of `values`")
    audience: str = Field(default="", description="es256: who reads the token")
    scopes: tuple[str, ...] = Field(default=(), description="google: what the token may do")


@dataclass
class Credentials:
    """One source's secret, ready for requests; tokens are kept until shortly before they end.

    Raises:
        Misconfigured: no secret where one is needed, or one of the wrong form.
    """

    auth: Auth
    secret: str
    send: Send
    clock: Clock = time.time
    _google: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.auth.by != "none" and not self.secret:
            raise Misconfigured(
                "it has no secret: name a secret_file, or set BEYOND_SOURCE_SECRETS"
            )
        if self.auth.by == "es256":
            self._signed()
        if self.auth.by == "google":
            self._google = _google(self.secret, self.auth.scopes)

    def headers(self) -> dict[str, str]:
        """Headers that prove who asks.

        Raises:
            Misconfigured, TemporaryFailure: a token was refused, or could not be had now.
        """
        by = self.auth.by
        if by == "header":
            return {self.auth.header: self.auth.prefix + self.secret}
        if by == "es256":
            return {"authorization": f"Bearer {self._signed()}"}
        if by == "google":
            return {"authorization": f"Bearer {self._google_token()}"}
        return {}

    def query(self) -> dict[str, str]:
        """Query parameters that prove who asks; they never become part of a stored address."""
        return {self.auth.param: self.secret} if self.auth.by == "query" else {}

    def _signed(self) -> str:
        now = int(self.clock())
        claims = {
            "iss": self.auth.issuer,
            "iat": now,
            "exp": now + _TOKEN_SECONDS,
            "aud": self.auth.audience,
        }
        try:
            return jwt.encode(claims, self.secret, "ES256", headers={"kid": self.auth.key_id})
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Misconfigured("its secret is no EC private key in PEM (.p8)") from None

    def _google_token(self) -> str:
        if not self._google.valid:
            try:
                self._google.refresh(_Transport(self.send))
            except google_errors.TransportError as error:
                raise TemporaryFailure(f"Google gave no access token: {error}") from None
            except google_errors.GoogleAuthError as error:
                if getattr(error, "retryable", False):
                    raise TemporaryFailure(f"Google gave no access token: {error}") from None
                raise Misconfigured(f"Google refused the credentials: {error}") from None
        return str(self._google.token)


def _google(secret: str, scopes: tuple[str, ...]) -> Any:
    try:
        found, _ = load_credentials_from_dict(json.loads(secret), scopes=list(scopes))
    except (google_errors.GoogleAuthError, ValueError, TypeError, AttributeError) as error:
        raise Misconfigured(
            "its secret is no Google credential: the JSON file of a service account, or of an "
            f"authorised user: {type(error).__name__}"
        ) from None
    return found


class _Transport(google_transport.Request):  # type: ignore[misc]
    """google-auth's requests through our own, bounded client."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def __call__(
        self, url: str, method: str = "GET", body: Any = None, headers: Any = None, **_: Any
    ) -> Any:
        raw = body.encode() if isinstance(body, str) else body
        try:
            status, given, data = self._send(method, url, headers or {}, raw)
        except TemporaryFailure as error:
            raise google_errors.TransportError(str(error)) from None
        return _Response(status, given, data)


@dataclass(frozen=True)
class _Response:
    """What google.auth.transport.Response asks for."""

    status: int
    headers: Mapping[str, str]
    data: bytes
