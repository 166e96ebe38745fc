"""A platform that a TOML file describes: how its deliveries are proved, where their events stand.

The built-in platforms are such files beside this one; a user's own has the same form. It knows
JSONPath and the tables below, no platform.

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
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonpath
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from producers.platforms.events import Delivery, Event
from producers.platforms.proofs import Clock, Proof, check_secret
from producers.platforms.values import load, moment_of, rating_of, text_of
from shared.errors import InvalidReview, Malformed, Misconfigured

# More events than any platform documents for one delivery; a job of the live queue holds them all.
MAX_EVENTS = 100
_TEXTS = ("external_id", "text", "title", "business", "author", "url")
_TIMES = ("created_at", "happened_at")
_NAMES = (*_TEXTS, *_TIMES, "rating")
_MISSING = object()


class Read(BaseModel):
    """The `[read]` table: where events stand and which of their names mean what."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    each: str = "$"
    event: str = ""
    saved: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    deleted_flag: str = Field(default="", description="path of a truth value: this one is deleted")


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


@dataclass(frozen=True)
class _Paths:
    """The compiled paths of a description."""

    each: Any
    event: Any
    deleted_flag: Any
    fields: dict[str, list[Any]]


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
        self._name, self._secrets, self._clock = name, tuple(secrets), clock
        self._paths = _compile(name, description)

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
        found = self._paths.each.findall(value)
        if len(found) > MAX_EVENTS:
            raise InvalidReview(f"body: {len(found)} events in one delivery; at most {MAX_EVENTS}")
        events = [self._event(item) for item in found if isinstance(item, dict)]
        return [event for event in events if event is not None]

    def _event(self, item: dict[str, Any]) -> Event | None:
        read, paths = self.description.read, self._paths
        name = _first([paths.event], item) if paths.event else None
        known = not paths.event or name in (*read.saved, *read.deleted)
        if not known:
            return None
        flag = _first([paths.deleted_flag], item) if paths.deleted_flag else None
        deleted = (bool(paths.event) and name in read.deleted) or flag in (True, "true", 1)
        moment = moment_of(self._value("happened_at", item), "happened_at")
        fields: dict[str, Any] = {
            "source": self._name,
            "external_id": text_of(self._value("external_id", item), "external_id"),
        }
        if not fields["external_id"]:
            raise InvalidReview("external_id: Field required")
        if deleted:
            return Event(fields, deleted=True, happened_at=moment)
        return self._saved(fields, item, moment)

    def _saved(
        self, fields: dict[str, Any], item: dict[str, Any], moment: datetime | None
    ) -> Event | None:
        text = self._value("text", item)
        if text is None or (isinstance(text, str) and not text.strip()):
            return None
        for name in _TEXTS[1:]:
            value = self._value(name, item)
            fields[name] = None if value is _MISSING else text_of(value, name)
        rating = self._value("rating", item)
        fields["rating"] = None if rating is _MISSING else rating_of(rating)
        fields["created_at"] = moment_of(self._value("created_at", item), "created_at")
        fields["business"] = fields["business"] or self.description.business
        return Event(fields, happened_at=moment)

    def _value(self, name: str, item: dict[str, Any]) -> Any:
        found = _first(self._paths.fields.get(name, []), item)
        if found is not _MISSING:
            return found
        if name == "text":
            raise InvalidReview("text: Field required")
        return None


def _first(paths: Sequence[Any], item: Any) -> Any:
    """What the first path that leads anywhere leads to.

    Null only where no later path has a value.
    """
    found: Any = _MISSING
    for path in paths:
        match = path.match(item)
        if match is not None:
            if match.obj is not None:
                return match.obj
            found = None
    return found


def _compile(name: str, description: Description) -> _Paths:
    unknown = sorted(set(description.fields) - set(_NAMES))
    missing = {"external_id", "text"} - set(description.fields)
    if unknown or missing:
        raise Misconfigured(
            f"platform {name}: [fields] needs external_id and text, and knows {', '.join(_NAMES)}"
            + (f"; {unknown[0]} is none of them" if unknown else "")
        )

    def compiled(path: str) -> Any:
        try:
            return jsonpath.compile(path) if path else None
        except jsonpath.JSONPathError as error:
            raise Misconfigured(f"platform {name}: {path!r} is no JSONPath: {error}") from None

    fields = {
        field: [compiled(p) for p in ([paths] if isinstance(paths, str) else paths)]
        for field, paths in description.fields.items()
    }
    read = description.read
    return _Paths(compiled(read.each), compiled(read.event), compiled(read.deleted_flag), fields)


def read_description(path: Path) -> Description:
    """The description in a TOML file.

    Raises:
        Misconfigured: no such file, no TOML, or a table of the wrong form; the text names file and key.
    """
    try:
        return Description.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Misconfigured(f"{path.name}: {where}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path.name}: cannot be read: {error}") from None
