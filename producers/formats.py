r"""What the columns of known review files mean: rows to the fields of a Review.

It knows names, not files, and leaves ratings and dates as the file writes them (ratings.py,
dates.py).

Yelp Open Dataset and Kaggle's yelp.csv (review_id, stars, text, date, business_id, user_id);
yelp_review_full (label 0-4 in Parquet, 1-5 in CSV, text with literal \n and \"); Amazon 2023
(rating, title, text, asin, timestamp in ms); our own field names; or any by an explicit map.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from producers import suggest
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


def detect(row: Fields, file: str) -> Callable[[Fields], Fields]:
    """The reader of rows like this one.

    Raises:
        Misconfigured: no known format has these columns; the text lists them and gives the likely
            command with --map for `file`.
    """
    names = set(row)
    if {"text", "stars"} <= names and names & {"review_id", "business_id"}:
        return yelp
    if {"label", "text"} <= names:
        return yelp_review_full
    if {"rating", "text"} <= names and names & {"asin", "parent_asin"}:
        return amazon
    if "text" in names and names <= OWN | {"id", "analysis"}:
        return own
    listed = ", ".join(sorted(map(str, names))[:20])
    raise Misconfigured(
        f"unknown format with the columns {listed}; say what they mean, probably so:\n"
        f"  {suggest.command(map(str, row), file)}"
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
        return {"source": source, **out}

    return read


def own(row: Fields) -> Fields:
    """Rows that use the field names of Review, e.g. our samples and `beyond export --format jsonl`."""
    return {
        "source": "file",
        **{k: v for k, v in row.items() if k in OWN},
    }


def yelp(row: Fields) -> Fields:
    """Yelp Open Dataset JSON lines and Kaggle's yelp.csv."""
    return {
        "source": "yelp",
        "external_id": row.get("review_id"),
        "text": row["text"],
        "rating": row["stars"],
        "business": row.get("business_id"),
        "author": row.get("user_id"),
        "created_at": row.get("date"),
    }


def yelp_review_full(row: Fields) -> Fields:
    """yelp_review_full: labels 0-4 (Parquet, JSON) or 1-5 (its CSV, which has no header)."""
    try:
        label = float(row["label"])
    except (TypeError, ValueError):
        shown = str(row["label"])[:40]
        raise InvalidReview(f"label: {shown!r} is not a number; 0-4, in CSV 1-5") from None
    rating = label if row.get("_csv_labels") else label + 1
    return {
        "source": "yelp_review_full",
        "text": unescape(str(row["text"])),
        "rating": rating,
        "created_at": None,
    }


def amazon(row: Fields) -> Fields:
    """Amazon Reviews 2023 JSON lines (https://amazon-reviews-2023.github.io).

    It has no review id.
    """
    key = f"{row.get('user_id')}-{row.get('asin')}-{row.get('timestamp')}"
    return {
        "source": "amazon",
        "external_id": key,
        "text": row["text"],
        "title": row.get("title"),
        "rating": row["rating"],
        "business": row.get("parent_asin") or row.get("asin"),
        "author": row.get("user_id"),
        "created_at": row.get("timestamp"),
    }
