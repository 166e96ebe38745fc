"""JSON values of platforms as the fields of Review: numbers that come as text, and times in four forms.

It does not know platforms. Files written by people are read elsewhere (producers/dates.py), where
more forms are worth guessing; a program writes one form, and a guess would hide its change.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo
from typing import Any

from shared.errors import InvalidReview, Malformed

_WORDS = {"ONE": 1.0, "TWO": 2.0, "THREE": 3.0, "FOUR": 4.0, "FIVE": 5.0}  # Google's StarRating
# Deeper than any platform's body (six), far from what exhausts the parsers that follow.
MAX_DEPTH = 32
# From here a Unix time is in milliseconds: as seconds it would lie after the year 5000.
_MILLISECONDS_FROM = 1e11


def load(body: bytes) -> Any:
    """The JSON value of a body.

    Raises:
        Malformed: not JSON, not UTF-8, or nested deeper than MAX_DEPTH.
    """
    try:
        value = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"body: not JSON: {error}") from None
    if _deeper(value, MAX_DEPTH):
        raise Malformed(f"body: nested deeper than {MAX_DEPTH}")
    return value


def text_of(value: Any, name: str) -> str | None:
    """Text as it is, numbers as their digits; None for null.

    Raises:
        InvalidReview: a list, an object or a truth value.
    """
    if value is None:
        return None
    if isinstance(value, str):
        # A lone surrogate (`"\\ud800"` is legal JSON) can be neither hashed nor stored.
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InvalidReview(f"{name}: text is expected (got {str(value)[:40]!r})")


def rating_of(value: Any, name: str = "rating") -> float | None:
    """Stars from a number, its text or Google's word; None for null, "" and 0, which mean no rating.

    Raises:
        InvalidReview: anything else. Whether it lies in 1-5 is for Review to say.
    """
    text = (text_of(value, name) or "").strip()
    if not text:
        return None
    if text.upper() in _WORDS:
        return _WORDS[text.upper()]
    try:
        return float(text) or None
    except ValueError:
        raise InvalidReview(f"{name}: not a number (got {text[:40]!r})") from None


def moment_of(value: Any, name: str, zone: tzinfo = UTC) -> datetime | None:
    """An aware UTC time from ISO 8601, `2018-02-20 14:12:13 UTC`, or Unix seconds or milliseconds.

    `zone` is that of times which name none.

    Raises:
        InvalidReview: anything else.
    """
    text = (text_of(value, name) or "").strip()
    if not text:
        return None
    try:
        if text.replace(".", "", 1).isdecimal() and len(text.partition(".")[0]) >= 9:
            seconds = float(text)
            seconds /= 1000 if seconds >= _MILLISECONDS_FROM else 1
            return datetime.fromtimestamp(seconds, UTC)
        plain = text.removesuffix(" UTC")
        found = datetime.fromisoformat(plain)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC if plain != text else zone)
        return found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidReview(
            f"{name}: no time (got {text[:40]!r}); use ISO 8601, e.g. 2026-03-01T12:00:00Z"
        ) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)
