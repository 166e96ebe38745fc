"""What a fetched body holds, as one JSON value: JSON itself, or an RSS or Atom feed.

A feed becomes {"entries": [{id, title, text, link, author, published, updated, ...}]}: texts without
markup, times in ISO 8601 UTC, the feed's own elements under feedparser's names (im_rating). It does
not know sources or reviews.
"""

from __future__ import annotations

import calendar
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import feedparser

from producers.platforms.values import load
from shared.errors import Malformed

# These end a line of text; all other tags only vanish.
_BLOCKS = {"p", "br", "div", "li", "tr", "h1", "h2", "h3", "h4", "blockquote"}


def value_of(form: str, body: bytes, headers: Mapping[str, str]) -> Any:
    """The body's value.

    Args:
        form: "json" or "feed".
        body: as received.
        headers: the answer's, for a feed's encoding; lower-case names.

    Raises:
        Malformed: it cannot be read as that.
    """
    if form == "json":
        return load(body.removeprefix(b"\xef\xbb\xbf"))
    kept = {n: v for n, v in headers.items() if n in ("content-type", "content-language")}
    # A stream, because feedparser takes bytes and text for a file's name first.
    found = feedparser.parse(io.BytesIO(body), response_headers=kept, sanitize_html=False)
    if not found.get("version"):  # damaged feeds have one too, and are read as far as they go
        raise Malformed(f"body: no RSS or Atom feed {found.get('bozo_exception', '')}".rstrip())
    return {"entries": [_entry(entry) for entry in found.entries]}


def _entry(entry: Any) -> dict[str, Any]:
    out: dict[str, Any] = {k: v for k, v in entry.items() if isinstance(v, str | int | float)}
    whole = max((c.get("value", "") for c in entry.get("content", [])), key=len, default="")
    out["text"] = plain(whole or entry.get("summary", ""))
    out["title"] = plain(entry.get("title", ""))
    for name in ("published", "updated"):
        parsed = entry.get(f"{name}_parsed")
        out[name] = (
            datetime.fromtimestamp(calendar.timegm(parsed), UTC).isoformat() if parsed else None
        )
    return out


def plain(text: str) -> str:
    """Markup as the text a reader sees: tags gone, entities resolved, blocks on lines of their own."""
    if "<" not in text and "&" not in text:
        return text.strip()
    reader = _Text()
    reader.feed(text)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return "\n".join(line for line in lines if line)


class _Text(HTMLParser):
    """Collects what is shown; scripts and styles are not."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)
