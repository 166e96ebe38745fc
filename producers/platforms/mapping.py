"""A platform that a TOML file describes: how its deliveries are proved, where their events stand.

The built-in platforms are such files beside this one; a user's own has the same form. It knows
the tables below (reading.py reads by them), no platform.

    [verify]                              # producers/platforms/proofs.py
    scheme = "hmac"
    header = "x-shop-signature"
    encoding = "base64"
    [read]
    each = "$.events[*]"                  # one event each; paths below start at its `@`
    event = "$.name"                      # optional: without it every event is a saved review
    saved = ["created", "updated"]        # other names, but `deleted`, are ignored (204)
    deleted = ["removed"]
    [fields]
    external_id = "$.id"
    text = "$.body"
    created_at = "$.date"
    happened_at = "$.changed"             # the event's own time; several paths: the first found
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from producers.platforms.events import Clock, Delivery, Event
from producers.platforms.proofs import Proof, check_secret
from producers.platforms.reading import Read, Reader
from producers.platforms.values import load
from shared.errors import InvalidReview, Malformed, Misconfigured

# More events than any platform documents for one delivery; a job of the live queue holds them all.
MAX_EVENTS = 100


class Description(BaseModel):
    """A platform's whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    checked: str = Field(
        description="what was verified against what, and what only comes from notes"
    )
    verify: Proof
    read: Read = Read()
    fields: dict[str, str | list[str]]
    business: str | None = Field(default=None, description="for events that name none")


class Mapping:
    """A Platform by description.

    Args:
        name: the source of its reviews, and the last part of its address.
        description: its file.
        secrets: all that are valid now, one or more.
        clock: seconds since 1970.

    Raises:
        Misconfigured: no secret, one of the wrong form, a path that is no JSONPath, or no external_id
            or text among the fields.
    """

    def __init__(
        self, name: str, description: Description, secrets: Sequence[str], clock: Clock
    ) -> None:
        if not secrets:
            raise Misconfigured(f"platform {name}: no secret is set; an open door is refused")
        for secret in secrets:
            try:
                check_secret(description.verify.scheme, secret)
            except Misconfigured as error:
                raise Misconfigured(f"platform {name}: {error}") from None
        self.description = description
        self._secrets, self._clock = tuple(secrets), clock
        self._reader = Reader(
            f"platform {name}", name, description.read, description.fields, description.business
        )

    @property
    def may_wait(self) -> bool:
        """See Platform.may_wait."""
        return self.description.verify.scheme == "oidc"

    def verify(self, delivery: Delivery) -> None:
        """See Platform.verify."""
        self.description.verify.check(delivery, self._secrets, self._clock)

    def parse(self, delivery: Delivery) -> list[Event]:
        """See Platform.parse.

        A review with a rating and an empty text has nothing to analyse: no event.
        """
        value = load(delivery.body)
        if not isinstance(value, dict | list):
            raise Malformed("body: a JSON object is expected")
        found = self._reader.items(value)
        if len(found) > MAX_EVENTS:
            raise InvalidReview(f"body: {len(found)} events in one delivery; at most {MAX_EVENTS}")
        events = [self._reader.event(item) for item in found]
        return [event for event in events if event is not None]


def read_description(path: Path) -> Description:
    """The description in a TOML file.

    Raises:
        Misconfigured: no such file, no TOML, or a table of the wrong form; the text names file and key.
    """
    try:
        found = Description.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Misconfigured(f"{path.name}: {where}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path.name}: cannot be read: {error}") from None
    keys = found.verify.keys
    if keys and "://" not in keys:  # a file beside the description
        proof = found.verify.model_copy(update={"keys": str(path.parent / keys)})
        return found.model_copy(update={"verify": proof})
    return found
