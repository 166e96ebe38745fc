r"""What the columns of known review files mean: rows to the fields of a Review. It knows names, not files.

Yelp Open Dataset and Kaggle's yelp.csv (review_id, stars, text, date, business_id, user_id);
yelp_review_full (label
0-4 in Parquet, 1-5 in CSV, text with literal \n and \"); Amazon 2023 (rating, title, text, asin,
timestamp in ms);
our own field names; or any by an explicit map.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from shared.errors import InvalidReview, Misconfigured
from shared.review import Review

OWN = set(Review.model_fields) - {"id"}
Fields = dict[str, Any]
_ESCAPES = re.compile(r'\\(n|r|t|"|\\)')


def unescape(text: str) -> str:
    r"""Literal \n and \" (and \r, \t, \\) to what they stand for, in one pass, so that \\n stays a backslash and n."""
    return _ESCAPES.sub(lambda m: {"n": "\n", "r": "", "t": "\t"}.get(m[1], m[1]), text)


def parse_map(text: str) -> dict[str, str]:
    """`text=body,rating=stars` to {our field: their column}.

    Raises:
        Misconfigured: not pairs, or an unknown field of ours.
    """
    pairs = [part.split("=", 1) for part in text.split(",") if part.strip()]
    wrong = [p for p in pairs if len(p) != 2 or p[0].strip() not in OWN]
    if wrong or not any(p[0].strip() == "text" for p in pairs):
        raise Misconfigured(
            f"--map wants FIELD=COLUMN,... with at least text=COLUMN; fields: {', '.join(sorted(OWN))}"
        )
    return {ours.strip(): theirs.strip() for ours, theirs in pairs}


def detect(row: Fields) -> Callable[[Fields], Fields]:
    """The reader of rows like this one.

    Raises:
        Misconfigured: no known format has these columns; the text lists them and names --map.
    """
    names = set(row)
    if {"text", "stars"} <= names and names & {"review_id", "business_id"}:
        return yelp
    if {"label", "text"} <= names:
        return yelp_review_full
    if {"rating", "text"} <= names and names & {"asin", "parent_asin"}:
        return amazon
    if "text" in names and names <= OWN | {"id"}:
        return own
    listed = ", ".join(sorted(map(str, names))[:20])
    raise Misconfigured(
        f"unknown format with the columns {listed}; say what they mean, e.g. --map text=body,rating=stars"
    )


def by_map(mapping: dict[str, str], source: str) -> Callable[[Fields], Fields]:
    """A reader for --map; a mapped column that a row lacks is an error of that row."""

    def read(row: Fields) -> Fields:
        missing = [theirs for theirs in mapping.values() if theirs not in row]
        if missing:
            raise InvalidReview(
                f"column {missing[0]!r} is missing; the row has {', '.join(map(str, list(row)[:12]))}"
            )
        out = {ours: row[theirs] for ours, theirs in mapping.items()}
        return {
            "source": source,
            **out,
            "rating": stars(out.get("rating")),
            "created_at": moment(out.get("created_at")),
        }

    return read


def own(row: Fields) -> Fields:
    """Rows that use the field names of Review, e.g. our samples and `beyond export`."""
    return {
        "source": "file",
        **{k: v for k, v in row.items() if k in OWN},
        "rating": stars(row.get("rating")),
        "created_at": moment(row.get("created_at")),
    }


def yelp(row: Fields) -> Fields:
    """Yelp Open Dataset JSON lines and Kaggle's yelp.csv."""
    return {
        "source": "yelp",
        "external_id": row.get("review_id"),
        "text": row["text"],
        "rating": stars(row["stars"]),
        "business": row.get("business_id"),
        "author": row.get("user_id"),
        "created_at": moment(row.get("date")),
    }


def yelp_review_full(row: Fields) -> Fields:
    """yelp_review_full: labels 0-4 (Parquet, JSON) or 1-5 (its CSV, which has no header)."""
    label = stars(row["label"])
    if label is None:
        raise InvalidReview("label: missing")
    rating = label if row.get("_csv_labels") else label + 1
    return {
        "source": "yelp_review_full",
        "text": unescape(str(row["text"])),
        "rating": rating,
        "created_at": None,
    }


def amazon(row: Fields) -> Fields:
    """Amazon Reviews 2023 JSON lines (https://amazon-reviews-2023.github.io); it has no review id."""
    key = f"{row.get('user_id')}-{row.get('asin')}-{row.get('timestamp')}"
    return {
        "source": "amazon",
        "external_id": key,
        "text": row["text"],
        "title": row.get("title"),
        "rating": stars(row["rating"]),
        "business": row.get("parent_asin") or row.get("asin"),
        "author": row.get("user_id"),
        "created_at": moment(row.get("timestamp")),
    }


def stars(value: Any) -> float | None:
    """A rating as a number; None for none.

    Raises:
        InvalidReview: not a number.
    """
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidReview(f"rating: {str(value)[:40]!r} is not a number") from None


def moment(value: Any) -> datetime | None:
    """A date from ISO 8601 text, `2011-01-26`, epoch seconds or epoch milliseconds; None for none; UTC if no zone.

    Raises:
        InvalidReview: none of these.
    """
    if value is None or value == "":
        return None
    try:
        if isinstance(value, datetime):
            found = value
        elif isinstance(value, int | float) or str(value).isdigit() and len(str(value)) >= 9:
            number = float(value)
            found = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        else:
            found = datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError):
        raise InvalidReview(
            f"created_at: {str(value)[:40]!r} is no date; use ISO 8601, e.g. 2026-03-01T12:00:00Z"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
