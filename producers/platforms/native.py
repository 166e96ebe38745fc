"""Our own schema: a JSON object with the fields of Review, signed by Standard Webhooks or sent with a bearer token."""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence

from producers.platforms.events import Clock, Delivery, Event
from producers.platforms.proofs import check_secret, standard_webhooks
from producers.platforms.values import load, text_of
from shared.errors import InvalidReview, Malformed, Misconfigured, Unauthorized
from shared.review import Review

FIELDS = tuple(name for name in Review.model_fields if name != "id")


class Native:
    """Any of `secrets` by a signature, or any of `tokens` as a bearer token, opens the door.

    Raises:
        Misconfigured: a secret is not `whsec_` + base64, or a token is empty.
    """

    def __init__(
        self, secrets: Sequence[str], tokens: Sequence[str], clock: Clock = time.time
    ) -> None:
        self._secrets, self._clock = tuple(secrets), clock
        self._tokens = [token.encode() for token in tokens]
        for secret in secrets:
            _checked("standard-webhooks", secret, "BEYOND_WEBHOOK_SECRET")
        for token in tokens:
            _checked("secret-header", token, "BEYOND_WEBHOOK_TOKEN")

    may_wait = False

    def verify(self, delivery: Delivery) -> None:
        """Check token or signature over the raw body, in constant time.

        Raises:
            Unauthorized: missing, malformed, wrong, or older or newer than five minutes.
        """
        given = delivery.headers.get("authorization", "")
        if self._tokens and given.startswith("Bearer "):
            sent = given.removeprefix("Bearer ").encode("latin-1", "replace")
            if any([hmac.compare_digest(sent, token) for token in self._tokens]):
                return
            raise Unauthorized("wrong bearer token")
        if not self._secrets:
            raise Unauthorized("send `Authorization: Bearer ...`")
        standard_webhooks(delivery, self._secrets, self._clock)

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


def _checked(scheme: str, secret: str, setting: str) -> None:
    try:
        check_secret(scheme, secret)
    except Misconfigured as error:
        raise Misconfigured(f"{setting} or webhook.secret: {error}") from None
