"""Our own schema: a JSON object with the fields of Review, signed by Standard Webhooks or sent with a bearer token."""

from __future__ import annotations

import hmac
import time

from pydantic import SecretStr

from producers.platforms.events import Clock, Delivery, Event
from producers.platforms.proofs import check_secret, standard_webhooks
from producers.platforms.values import load, text_of
from shared.errors import InvalidReview, Malformed, Misconfigured, Unauthorized
from shared.review import Review

FIELDS = tuple(name for name in Review.model_fields if name != "id")


class Native:
    """Verifies with whichever of secret and token is set; with both, either will do.

    Raises:
        Misconfigured: neither is set, or the secret is not `whsec_` + base64.
    """

    def __init__(
        self, secret: SecretStr | None, token: SecretStr | None, clock: Clock = time.time
    ) -> None:
        if secret is None and token is None:
            raise Misconfigured(
                "set BEYOND_WEBHOOK_SECRET (whsec_...), BEYOND_WEBHOOK_TOKEN or "
                "BEYOND_PLATFORM_SECRETS; an open door is refused"
            )
        self._token = token.get_secret_value().encode() if token else None
        self._secret, self._clock = secret.get_secret_value() if secret else None, clock
        if self._secret is not None:
            try:
                check_secret("standard-webhooks", self._secret)
            except Misconfigured as error:
                raise Misconfigured(f"BEYOND_WEBHOOK_SECRET: {error}") from None

    def verify(self, delivery: Delivery) -> None:
        """Check token or signature over the raw body, in constant time.

        Raises:
            Unauthorized: missing, malformed, wrong, or older or newer than five minutes.
        """
        given = delivery.headers.get("authorization", "")
        if self._token and given.startswith("Bearer "):
            if hmac.compare_digest(
                given.removeprefix("Bearer ").encode("latin-1", "replace"), self._token
            ):
                return
            raise Unauthorized("wrong bearer token")
        if self._secret is None:
            raise Unauthorized("send `Authorization: Bearer ...`")
        standard_webhooks(delivery, [self._secret], self._clock)

    def parse(self, delivery: Delivery) -> list[Event]:
        """One review; it carries no event time, so the order of arrival decides.

        Raises:
            Malformed: not a JSON object.
            InvalidReview: with unknown fields.
        """
        fields = load(delivery.body)
        if not isinstance(fields, dict):
            raise Malformed("body: a JSON object is expected")
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            name = unknown[0][:40].encode("utf-8", "replace").decode()
            raise InvalidReview(f"{name}: unknown field; there are {', '.join(FIELDS)}")
        texts = {n: text_of(v, n) if isinstance(v, str) else v for n, v in fields.items()}
        return [Event({"source": "webhook", **texts})]
