"""Writing reviews into the record: their rows, and the difference they make to the daily counts.

Each call replaces whatever the record had of these reviews, so it may be repeated; nothing is
written where nothing changed. The caller's transaction holds the write lock (`writing`). It does
not know the feed or the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from consumers.record.rows import Counts, Row, Rows, rows_of
from consumers.record.schema import emotions, issues, reviews, rollups
from shared.review import Analysis, Review

# Ids in one statement: SQLite takes 32,766 variables, but each length is a statement of its own.
_IDS = 500
_COLUMNS = [c for c in reviews.c if c.name != "number"]
_KEY = ["day", "business", "source", "category", "kind", "value"]


def apply(
    connection: Connection,
    pairs: Iterable[tuple[Review, Analysis | None]],
    gone: Sequence[str] = (),
    *,
    anew: bool = False,
) -> int:
    """Make the record's rows of these reviews what they are now; ids of `gone` have none any more.

    Args:
        connection: in a transaction of `writing`.
        pairs: reviews with their analyses; ids must differ.
        gone: ids that are not in the store.
        anew: write also what looks the same, for a record that may be damaged.

    Returns:
        How many reviews were added, changed or removed.
    """
    new = {review.id: rows_of(review, analysis) for review, analysis in pairs}
    old = _kept(connection, [*new, *gone])
    if not anew:
        new = {i: rows for i, rows in new.items() if old.get(i) != rows.review}
    away = set(gone)
    out = {i: row for i, row in old.items() if i in new or i in away}
    counts = Counts()
    if out:
        _take_off(connection, counts, out)
    if anew:  # also what belongs to no review, or to a wrong one
        for some in _parts([*new, *gone]):
            _clear(connection, some)
        for some in _parts([row["id"] for rows in new.values() for row in rows.issues]):
            connection.execute(delete(issues).where(issues.c.id.in_(some)))
    _write(connection, new, out)
    for rows in new.values():
        shown = [issue["theme"] for issue in rows.issues if issue["shown"]]
        counts.add(rows.review, shown, [e["emotion"] for e in rows.emotions], by=1)
    _count(connection, counts)
    return len(new.keys() | out.keys())


def _kept(connection: Connection, ids: Sequence[str]) -> dict[str, Row]:
    """The record's rows of `reviews`, less their number, by id."""
    return {
        row["id"]: dict(row)
        for some in _parts(ids)
        for row in connection.execute(select(*_COLUMNS).where(reviews.c.id.in_(some))).mappings()
    }


def _take_off(connection: Connection, counts: Counts, out: dict[str, Row]) -> None:
    """Remove the issues and emotions of these reviews, and all that they counted for."""
    themes: dict[str, list[str]] = {}
    felt: dict[str, list[str]] = {}
    for some in _parts([i for i, row in out.items() if row["analysed_at"] is not None]):
        shown = select(issues.c.review_id, issues.c.theme).where(
            issues.c.review_id.in_(some), issues.c.shown == 1
        )
        for review_id, theme in connection.execute(shown):
            themes.setdefault(review_id, []).append(theme)
        present = select(emotions.c.review_id, emotions.c.emotion).where(
            emotions.c.review_id.in_(some)
        )
        for review_id, emotion in connection.execute(present):
            felt.setdefault(review_id, []).append(emotion)
        _clear(connection, some)
    for i, row in out.items():
        counts.add(row, themes.get(i, ()), felt.get(i, ()), by=-1)


def _clear(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(delete(issues).where(issues.c.review_id.in_(ids)))
    connection.execute(delete(emotions).where(emotions.c.review_id.in_(ids)))


_UPDATE = (
    update(reviews)
    .where(reviews.c.id == bindparam("its_id"))
    .values({c.name: bindparam(c.name) for c in _COLUMNS if c.name != "id"})
)


def _write(connection: Connection, new: dict[str, Rows], out: dict[str, Row]) -> None:
    fresh = [rows.review for i, rows in new.items() if i not in out]
    changed = [{**rows.review, "its_id": i} for i, rows in new.items() if i in out]
    for some in _parts([i for i in out if i not in new]):
        connection.execute(delete(reviews).where(reviews.c.id.in_(some)))
    for statement, values in (
        (insert(reviews), fresh),
        (_UPDATE, changed),
        (insert(issues), [row for rows in new.values() for row in rows.issues]),
        (insert(emotions), [row for rows in new.values() for row in rows.emotions]),
    ):
        _execute(connection, statement, values)


def _count(connection: Connection, counts: Counts) -> None:
    """Add the differences; a count of nothing has no row, as after a rebuild."""
    rows = counts.rows()  # in one order, whoever writes
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(rollups)
    added = {name: rollups.c[name] + adding.excluded[name] for name in ("amount", "rated", "total")}
    _execute(connection, adding.on_conflict_do_update(index_elements=_KEY, set_=added), rows)
    if fewer := {row["day"] for row in rows if row["amount"] < 0}:
        connection.execute(
            delete(rollups).where(rollups.c.day.in_(sorted(fewer)), rollups.c.amount == 0)
        )


def _execute(connection: Connection, statement: ClauseElement, rows: Sequence[Row]) -> None:
    """A statement for many rows of the same columns, none of which needs a conversion.

    SQLAlchemy writes the statement and the driver takes the rows: half the time of giving both to
    SQLAlchemy, which looks at each value.
    """
    if not rows:
        return
    compiled: Any = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
    names = compiled.positiontup
    values: Any = [tuple(map(row.__getitem__, names)) for row in rows] if names else rows
    connection.exec_driver_sql(str(compiled), values)


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), _IDS):
        yield ids[first : first + _IDS]
