"""What a pull source is: its TOML description, built in (connectors/) or the user's own.

    [sources.blog]                          # its name, and the source of its reviews
    url = "https://shop.example/reviews.json"
    every_seconds = 3600
    [sources.blog.auth]
    by = "header"                           # the secret: BEYOND_SOURCE_SECRETS or secret_file
    header = "authorization"
    prefix = "Bearer "
    [sources.blog.paging]
    by = "cursor"
    cursor = "$.next"
    param = "after"
    [sources.blog.read]                     # as for webhook platforms: producers/platforms/reading.py
    each = "$.reviews[*]"
    [sources.blog.fields]
    external_id = "$.id"
    text = "$.body"
    created_at = "$.date"

    [sources.our-app]                       # a connector needs only what it cannot know
    connector = "app-store"
    values = {app_id = "123456789", country = "us"}

It reads and checks files; it does not connect to anything.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from producers.platforms.reading import Read
from producers.poll.auth import Auth
from shared.errors import Misconfigured

_CONNECTORS = Path(__file__).parent / "connectors"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_PLACE = re.compile(r"\{(\w+)\}")
# Places that are filled while polling, not from `values`.
_LATER = {"page", "name"}
# What feeds.py makes of an entry, where a feed's description says nothing else.
_FEED_FIELDS: dict[str, str | list[str]] = {
    "external_id": ["$.id", "$.link"],
    "text": "$.text",
    "title": "$.title",
    "author": "$.author",
    "url": "$.link",
    "created_at": ["$.published", "$.updated"],
    "happened_at": ["$.updated", "$.published"],
}


class Paging(BaseModel):
    """The `[paging]` table: how to come from a page to the next."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    by: Literal["none", "link", "page", "cursor"] = "none"
    next: str = Field(default="", description="link: its path in the body; empty: the Link header")
    cursor: str = Field(default="", description="cursor: its path in the body")
    param: str = Field(
        default="page", description="page, cursor: query parameter; or {page} in url"
    )
    first: int = Field(default=1, description="number of the first page")
    last: int | None = Field(default=None, description="the source has no page after this")
    newest_first: bool = Field(
        default=False,
        description="then a page of known reviews ends the poll: all after it is known",
    )


class Since(BaseModel):
    """The `[since]` table: a parameter that asks only for what is newer than what was seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    param: str
    form: Literal["iso", "seconds", "milliseconds"] = "iso"
    overlap_seconds: int = Field(
        default=300, ge=0, description="asked for again: sources publish a little out of order"
    )


class Description(BaseModel):
    """A source. Durations in seconds; `url`, `query`, `business` and the like may hold {places} of `values`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str = ""
    needs: str = Field(default="", description="what a person must give it")
    checked: str = Field(default="", description="what was verified against what")
    url: str
    one_url: str = Field(default="", description="one review by {name}, for notifications")
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    values: dict[str, str] = {}
    format: Literal["json", "feed"] = "json"
    source: str | None = Field(default=None, description="Review.source; default: the name")
    every_seconds: int = Field(default=3600, ge=1)
    longest_seconds: int | None = Field(
        default=None, description="the source forgets: poll as often"
    )
    forgets_seconds: int | None = Field(default=None, description="older reviews are never given")
    secret_file: Path | None = None
    auth: Auth = Auth()
    paging: Paging = Paging()
    since: Since | None = None
    read: Read = Read()
    one: Read = Field(default=Read(), description="how one review stands in the answer of one_url")
    fields: dict[str, str | list[str]] = {}
    business: str | None = None


def connectors() -> dict[str, Path]:
    """Name to file of the descriptions that come with the program."""
    return {path.stem: path for path in sorted(_CONNECTORS.glob("*.toml"))}


def read_sources(path: Path) -> dict[str, Description]:
    """Every source of a file, by name.

    Raises:
        Misconfigured: no such file, or an entry is wrong; the text names entry, key and remedy.
    """
    if not path.exists():
        raise Misconfigured(
            f"{path}: there is no such file; describe your sources in it ([sources.our-app], see "
            "`beyond poll connectors`), or name another by --config or BEYOND_SOURCES"
        )
    tables = _load(path).get("sources")
    if not isinstance(tables, dict) or not tables:
        raise Misconfigured(f"{path}: describe at least one source, e.g. [sources.our-app]")
    return {name: _source(path, name, table) for name, table in tables.items()}


def _source(path: Path, name: str, table: Any) -> Description:
    where = f"{path.name}: sources.{name}"
    if not _NAME.fullmatch(name):
        raise Misconfigured(f"{where}: name it in a-z, 0-9, _, . and -")
    if not isinstance(table, dict):
        raise Misconfigured(f"{where}: must be a table")
    own = dict(table)
    base: dict[str, Any] = {}
    if connector := own.pop("connector", None):
        known = connectors()
        if connector not in known:
            raise Misconfigured(
                f"{where}: there is no connector {connector!r}; there are {', '.join(known)}"
            )
        base = _load(known[connector])
    merged = {**base, **{k: _merged(base.get(k), v) for k, v in own.items()}}
    if merged.get("format") == "feed":
        merged["fields"] = {**_FEED_FIELDS, **merged.get("fields", {})}
        merged.setdefault("read", {}).setdefault("each", "$.entries[*]")
    try:
        found = Description.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        raise Misconfigured(f"{where}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    _check(where, found)
    if found.secret_file and not found.secret_file.is_absolute():
        return found.model_copy(update={"secret_file": path.parent / found.secret_file})
    return found


def _merged(base: Any, own: Any) -> Any:
    return {**base, **own} if isinstance(base, dict) and isinstance(own, dict) else own


def _check(where: str, found: Description) -> None:
    texts = (
        found.url,
        found.one_url,
        found.auth.issuer,
        found.auth.key_id,
        found.business or "",
        *found.query.values(),
    )
    needed = {place for text in texts for place in _PLACE.findall(text)}
    if missing := sorted(needed - _LATER - set(found.values)):
        raise Misconfigured(f'{where}: set values = {{{missing[0]} = "..."}}')
    if found.longest_seconds and found.every_seconds > found.longest_seconds:
        days = (found.forgets_seconds or 0) // 86400
        raise Misconfigured(
            f"{where}.every_seconds: at most {found.longest_seconds}: the source gives only the reviews "
            f"of the last {days} days, and what is not fetched in time is lost"
        )


def filled(template: str, values: dict[str, str]) -> str:
    """A template with the places filled that `values` knows; others stay."""
    return _PLACE.sub(lambda m: values.get(m[1], m[0]), template)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path}: cannot be read: {error}") from None
