"""A review and its analysis as the record keeps them, made whole again: the reverse of rows.py.

It reads and does not filter or write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from consumers.record.schema import reviews
from consumers.record.scope import Scope
from shared.review import Analysis, Review

_SAME = ("id", "source", "external_id", "text", "rating", "title", "author", "url")
# What `whole` needs of a row.
COLUMNS = [
    reviews.c[name]
    for name in (
        *(*_SAME, "business", "category", "language"),
        *("created_at", "dated", "excerpt", "analysis"),
    )
]


def whole(row: Mapping[str, Any]) -> tuple[Review, Analysis | None]:
    """The pair of one row of `reviews` (at least COLUMNS); None while it waits.

    Times are whole seconds.
    """
    review = Review(
        **{name: row[name] for name in _SAME},
        business=row["business"] or None,
        category=row["category"] or None,
        language=row["language"] or None,
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        dated=bool(row["dated"]),
        excerpt=bool(row["excerpt"]),
    )
    kept = row["analysis"]
    return review, None if kept is None else Analysis.model_validate_json(kept)


def one(
    connection: Connection, scope: Scope, review_id: str
) -> tuple[Review, Analysis | None] | None:
    """The pair with this id; None where there is none in the scope."""
    query = select(*COLUMNS).where(reviews.c.id == review_id, scope.limits(reviews.c.business))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else whole(dict(row))
