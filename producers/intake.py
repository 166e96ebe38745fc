"""Intake: validate, redact, dedupe, store, enqueue. Both producers end here.

It does not know HTTP or files. Redaction happens before storage: e-mail addresses, phone and card
numbers never reach the disk, and an author's name only as a hash keyed with this installation's
secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from shared.errors import InvalidReview
from shared.language import language_of
from shared.privacy import author_hash, redact
from shared.review import Review
from shared.stream.names import BACKFILL
from shared.stream.store import Outcome, Store
from shared.trades import trade_of


def make_review(
    fields: dict[str, Any], author_key: bytes, categories: Mapping[str, str] | None = None
) -> Review:
    """A Review from a producer's fields (those of Review, less `id`; `author` as the platform gives it).

    Args:
        fields: what the producer read.
        author_key: authors are stored as hashes keyed with it.
        categories: the trade of a source's reviews, where they do not name their own.

    Raises:
        InvalidReview: a field is missing or wrong; the text names each field and what is expected.
    """
    values = {k: v for k, v in fields.items() if v is not None and v != ""}
    if isinstance(values.get("author"), str):
        values["author"] = author_hash(values["author"], author_key)
    values.setdefault("category", (categories or {}).get(str(values.get("source", ""))))
    if isinstance(values.get("category"), str):  # in a platform's words; unknown ones say nothing
        values["category"] = trade_of(values["category"])
    for name in ("text", "title"):
        if isinstance(values.get(name), str):
            values[name] = redact(values[name])
    if isinstance(values.get("text"), str):
        values["language"] = language_of(values["text"], values.get("language"))
    try:
        return Review.model_validate(values)
    except (ValidationError, ValueError) as error:
        raise InvalidReview(_explain(error)) from None


def _explain(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    parts = []
    for item in error.errors(include_url=False, include_context=False):
        field = ".".join(map(str, item["loc"])) or "review"
        if field == "id" and item["type"] == "missing":
            continue  # follows from a missing text or created_at, which is named itself
        if (
            field == "review" and item["type"] == "value_error"
        ):  # the id could not be made: the date cannot be read
            parts.append(f"created_at: {item['msg']}; use ISO 8601, e.g. 2026-03-01T12:00:00Z")
            continue
        got = "" if item["type"] == "missing" else f" (got {str(item['input'])[:40]!r})"
        parts.append(f"{field}: {item['msg']}{got}")
    return "; ".join(parts) or "text: Field required"


class Intake:
    """Stores validated reviews and enqueues their jobs."""

    def __init__(
        self,
        store: Store,
        author_key: bytes,
        chunk_reviews: int = 64,
        categories: Mapping[str, str] | None = None,
    ) -> None:
        """`categories`: the trade of all reviews of a source, where they do not name their own."""
        self._store, self._key, self._chunk = store, author_key, chunk_reviews
        self._categories = categories

    def validate(self, fields: dict[str, Any]) -> Review:
        """The Review that `fields` make, without storing it."""
        return make_review(fields, self._key, self._categories)

    def receive_many(self, reviews: Sequence[Review]) -> dict[Outcome, int]:
        """Historical reviews: those not yet stored go in as chunks, one job each. Cost: 1 + chunks round trips.

        Raises:
            Overloaded, TemporaryFailure: some chunks may be stored; repeating the call is safe.
        """
        counts: dict[Outcome, int] = {"new": 0, "updated": 0, "same": 0}
        unique = {r.id: r for r in reviews}
        known = self._store.known(list(unique.values()))
        fresh = [r for r, k in zip(unique.values(), known, strict=True) if not k]
        counts["same"] = len(reviews) - len(fresh)
        for start in range(0, len(fresh), self._chunk):
            for outcome in self._store.put(fresh[start : start + self._chunk], BACKFILL):
                counts[outcome] += 1
        return counts
