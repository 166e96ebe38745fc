"""Our own schema: a JSON object with the fields of Review, signed by Standard Webhooks or sent with a bearer token.

Signature:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import binascii
import hmac
import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from shared.errors import InvalidReview, Misconfigured, Unauthorized
from shared.review import Review

FIELDS = tuple(name for name in Review.model_fields if name != "id")


class Native:
    """Verifies with whichever of secret and token is set; with both, either will do.

    Raises:
        Misconfigured: neither is set, or the secret is not `whsec_` + base64.
    """

    def __init__(self, secret: SecretStr | None, token: SecretStr | None) -> None:
        if secret is None and token is None:
            raise Misconfigured(
                "set BEYOND_WEBHOOK_SECRET (whsec_...) or BEYOND_WEBHOOK_TOKEN; an open door is refused"
            )
        self._token = token.get_secret_value().encode() if token else None
        try:
            self._webhook = Webhook(secret.get_secret_value()) if secret else None
        except (
            Exception
        ) as error:  # the library raises unrelated types: binascii.Error, RuntimeError, its own
            raise Misconfigured(
                f"BEYOND_WEBHOOK_SECRET is not `whsec_` followed by base64: {error}"
            ) from None

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check token or signature over the raw body, in constant time.

        Raises:
            Unauthorized: missing, malformed, wrong, or older or newer than five minutes.
        """
        given = headers.get("authorization", "")
        if self._token and given.startswith("Bearer "):
            if hmac.compare_digest(
                given.removeprefix("Bearer ").encode("latin-1", "replace"), self._token
            ):
                return
            raise Unauthorized("wrong bearer token")
        if self._webhook is None:
            raise Unauthorized("send `Authorization: Bearer ...`")
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError, binascii.Error, OverflowError) as error:
            # The library lets ValueErrors of malformed headers through.
            raise Unauthorized(f"signature refused: {error}") from None

    def parse(self, body: bytes) -> list[dict[str, Any]]:
        """One review.

        Raises:
            InvalidReview: not a JSON object, or with unknown fields.
        """
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidReview(f"body: not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise InvalidReview("body: a JSON object is expected")
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise InvalidReview(f"{unknown[0]}: unknown field; there are {', '.join(FIELDS)}")
        return [{"source": "webhook", **fields}]
