"""JSON values of any origin as events: where they stand, which path holds which field.

Webhook platforms (mapping.py) and pull sources (producers/poll) are described by the same tables
`[read]` and `[fields]`; this file reads by them. It knows JSONPath, no platform and no transport.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import jsonpath
from pydantic import BaseModel, ConfigDict, Field

from producers.platforms.events import Event
from producers.platforms.values import load, moment_of, rating_of, text_of
from shared.errors import InvalidReview, Malformed, Misconfigured

_TEXTS = ("external_id", "text", "title", "business", "author", "url", "category")
_TIMES = ("created_at", "happened_at")
_NAMES = (*_TEXTS, *_TIMES, "rating")
_MISSING = object()
_MAX_NAME_CHARS = 200  # as Review.external_id


class Read(BaseModel):
    """The `[read]` table: where events stand and which of their names mean what."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    each: str = "$"
    event: str = ""
    saved: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    deleted_flag: str = Field(default="", description="path of a truth value: this one is deleted")
    packed: str = Field(default="", description="path of a text: base64 of the JSON that counts")
    named_only: bool = Field(
        default=False, description="events carry no text, only a name; `beyond poll` fetches it"
    )
    zone: str = Field(default="UTC", description="of times without one, e.g. America/Los_Angeles")
    excerpt: bool = Field(default=False, description="texts are beginnings of the reviews only")


Fields = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class _Paths:
    """The compiled paths of a description."""

    packed: Any
    each: Any
    event: Any
    deleted_flag: Any
    fields: dict[str, list[Any]]


class Reader:
    """Reads events by a description.

    Args:
        owner: who is described, for messages: "platform shop".
        source: Review.source of the events.
        read, fields: the tables of the description.
        business: for events that name none.

    Raises:
        Misconfigured: a path that is no JSONPath, an unknown zone or field, no external_id, or no
            text where events carry one.
    """

    def __init__(
        self, owner: str, source: str, read: Read, fields: Fields, business: str | None = None
    ) -> None:
        self._source, self._read, self._business = source, read, business
        self._paths = _compile(owner, read, fields)
        self._zone = _zone(owner, read.zone)

    def items(self, value: Any) -> list[dict[str, Any]]:
        """The objects of `value` that may be events, in its order.

        Raises:
            Malformed: what should be packed JSON is none.
        """
        if self._paths.packed:
            packed = _first([self._paths.packed], value)
            if packed is _MISSING or not packed:
                return []
            value = _unpacked(packed)
        return [item for item in self._paths.each.findall(value) if isinstance(item, dict)]

    def event(self, item: dict[str, Any]) -> Event | None:
        """One item's event; None where it means nothing here, or has no text to analyse.

        Raises:
            InvalidReview: it lacks what a review needs, or a value has the wrong type.
        """
        read, paths = self._read, self._paths
        name = _first([paths.event], item) if paths.event else None
        if paths.event and name not in (*read.saved, *read.deleted):
            return None
        flag = _first([paths.deleted_flag], item) if paths.deleted_flag else None
        deleted = (bool(paths.event) and name in read.deleted) or flag in (True, "true", 1)
        moment = self._moment("happened_at", item)
        fields: dict[str, Any] = {
            "source": self._source,
            "external_id": text_of(self._value("external_id", item), "external_id"),
        }
        if not fields["external_id"]:
            if read.named_only:
                return None  # about something else than a review
            raise InvalidReview("external_id: Field required")
        if deleted:
            return Event(fields, deleted=True, happened_at=moment)
        if read.named_only:
            if len(fields["external_id"]) > _MAX_NAME_CHARS:
                raise InvalidReview(f"external_id: longer than {_MAX_NAME_CHARS} characters")
            return Event(fields, wanted=True, happened_at=moment)
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
        fields["created_at"] = self._moment("created_at", item)
        fields["business"] = fields["business"] or self._business
        if self._read.excerpt:
            fields["excerpt"] = True
        return Event(fields, happened_at=moment)

    def _moment(self, name: str, item: dict[str, Any]) -> datetime | None:
        return moment_of(self._value(name, item), name, self._zone)

    def _value(self, name: str, item: dict[str, Any]) -> Any:
        found = _first(self._paths.fields.get(name, []), item)
        if found is not _MISSING:
            return found
        if name == "text":
            raise InvalidReview("text: Field required")
        return None


def _unpacked(packed: Any) -> Any:
    try:
        return load(base64.b64decode(packed, validate=True))
    except (ValueError, TypeError):
        raise Malformed("body: the packed message is no base64") from None


def _first(paths: Sequence[Any], item: Any) -> Any:
    """What the first path that leads anywhere leads to; null only where no later path has a value."""
    found: Any = _MISSING
    for path in paths:
        match = path.match(item)
        if match is not None:
            if match.obj is not None:
                return match.obj
            found = None
    return found


def compiled(owner: str, path: str) -> Any:
    """A JSONPath, or None for an empty one.

    Raises:
        Misconfigured: it is none.
    """
    try:
        return jsonpath.compile(path) if path else None
    except jsonpath.JSONPathError as error:
        raise Misconfigured(f"{owner}: {path!r} is no JSONPath: {error}") from None


def _compile(owner: str, read: Read, fields: Fields) -> _Paths:
    unknown = sorted(set(fields) - set(_NAMES))
    needed = {"external_id"} if read.named_only else {"external_id", "text"}
    if unknown or needed - set(fields):
        raise Misconfigured(
            f"{owner}: [fields] needs {' and '.join(sorted(needed))}, and knows {', '.join(_NAMES)}"
            + (f"; {unknown[0]} is none of them" if unknown else "")
        )
    paths = {
        field: [compiled(owner, p) for p in ([given] if isinstance(given, str) else given)]
        for field, given in fields.items()
    }
    return _Paths(
        compiled(owner, read.packed),
        compiled(owner, read.each),
        compiled(owner, read.event),
        compiled(owner, read.deleted_flag),
        paths,
    )


def _zone(owner: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise Misconfigured(
            f"{owner}: zone {name!r} is unknown; name it as in America/Los_Angeles"
        ) from None
