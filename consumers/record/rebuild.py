"""What a rebuild does beside refreshing every review: finds what the store has no longer, counts days again.

The counts are made by SQL here and by differences in project.py: the tests hold one against the
other. It does not know the feed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import redis
from sqlalchemy import (
    ColumnElement,
    Engine,
    Select,
    Table,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy import String as SqlString
from sqlalchemy import cast as sql_cast

from consumers.record.database import writing
from consumers.record.schema import emotions, issues, reviews, rollups
from shared.stream.calls import call

_PAGE = 1000
_SPAN_REVIEWS = 10_000
_NAMES = ["day", "business", "source", "category", "kind", "value", "amount", "rated", "total"]


def missing(engine: Engine, server: redis.Redis) -> Iterator[list[str]]:
    """Ids that the record has and the store has not, a page of the record at a time."""
    after = 0
    while True:
        page = select(reviews.c.number, reviews.c.id).where(reviews.c.number > after)
        with engine.connect() as connection:
            rows = connection.execute(page.order_by(reviews.c.number).limit(_PAGE)).all()
        if not rows:
            return
        after = rows[-1].number
        pipe = server.pipeline(transaction=False)
        for row in rows:
            pipe.exists(f"b:r:{row.id}")
        there = call(pipe.execute)
        if gone := [row.id for row, exists in zip(rows, there, strict=True) if not exists]:
            yield gone


def count_again(engine: Engine) -> None:
    """Make the daily counts from the rows, remove rows that belong to no review, and index all texts.

    A transaction for some days, so nobody waits for long.
    """
    with engine.connect() as connection:
        kept = connection.scalars(select(rollups.c.day).distinct()).all()
        counted = connection.execute(select(reviews.c.day, func.count()).group_by(reviews.c.day))
        sizes = dict.fromkeys(kept, 0) | {day: size for day, size in counted}
    for first, last in _spans(sizes):
        with writing(engine, alone=True) as connection:
            connection.execute(delete(rollups).where(rollups.c.day.between(first, last)))
            for rows in _counts(first, last):
                connection.execute(insert(rollups).from_select(_NAMES, rows))
    with writing(engine, alone=True) as connection:
        for table in (issues, emotions):
            connection.execute(delete(table).where(table.c.review_id.not_in(select(reviews.c.id))))
        if connection.dialect.name == "sqlite":
            connection.execute(text("INSERT INTO reviews_text(reviews_text) VALUES ('rebuild')"))


def _spans(sizes: dict[int, int]) -> Iterator[tuple[int, int]]:
    """(first, last) day of runs that have about _SPAN_REVIEWS together; `sizes`: reviews a day."""
    first, reviews_in = None, 0
    for day in sorted(sizes):
        first = day if first is None else first
        last, reviews_in = day, reviews_in + sizes[day]
        if reviews_in >= _SPAN_REVIEWS:
            yield first, last
            first, reviews_in = None, 0
    if first is not None:
        yield first, last


def _counts(first: int, last: int) -> Iterator[Select[tuple[object, ...]]]:
    """The rows of `rollups` of some days, a query each kind."""
    # By the time, which has an index; the day follows from it.
    of_days = and_(reviews.c.created_at >= first * 86400, reviews.c.created_at < (last + 1) * 86400)
    one = literal("")
    yield _grouped(
        reviews, "review", one, of_days, func.count(reviews.c.rating), func.sum(reviews.c.rating)
    )
    halves = [x + 0.5 for x in range(6)]
    stars = case(
        *((reviews.c.rating < top, str(i)) for i, (_, top) in enumerate(pairwise(halves), 1))
    )
    yield _grouped(reviews, "rating", stars, and_(of_days, reviews.c.rating.is_not(None)))
    yield _grouped(reviews, "waiting", one, and_(of_days, reviews.c.analysed_at.is_(None)))
    urgency = sql_cast(reviews.c.urgency, SqlString)
    yield _grouped(reviews, "urgency", urgency, and_(of_days, reviews.c.urgency.is_not(None)))
    shown = and_(issues.c.shown == 1, issues.c.day.between(first, last))
    yield _grouped(issues, "theme", issues.c.theme, shown)
    felt = _grouped(reviews, "emotion", emotions.c.emotion, of_days)
    yield felt.join_from(reviews, emotions, emotions.c.review_id == reviews.c.id)


def _grouped(
    source: Table,
    kind: str,
    value: ColumnElement[str],
    condition: ColumnElement[bool],
    rated: ColumnElement[int] | None = None,
    total: ColumnElement[float] | None = None,
) -> Select[tuple[object, ...]]:
    where = [source.c[name] for name in ("day", "business", "source", "category")]
    return (
        select(
            *where,
            literal(kind).label("kind"),
            value.label("value"),
            func.count(),
            literal(0) if rated is None else rated,
            literal(0.0) if total is None else func.coalesce(total, 0.0),
        )
        .where(condition)
        .group_by(*where, value.label("value"))
    )
