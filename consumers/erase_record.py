"""Taking reviews out of the record: their rows, and what people wrote about them, down to the file's bytes.

It does not know the store.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, or_, select, update

from consumers.out.message import Message
from consumers.record.database import writing
from consumers.record.project import apply
from consumers.record.schema import (
    alerts,
    derived,
    history,
    issue_state,
    issues,
    outbox,
    people,
    replies,
    topic_issues,
    topics,
)
from consumers.record.schema import reviews as table

_IDS = 500


def erase_rows(engine: Engine, ids: Sequence[str]) -> dict[str, int]:
    """Remove all rows about these reviews in one transaction a batch; table -> how many."""
    out: dict[str, int] = {}
    for first in range(0, len(ids), _IDS):
        some = ids[first : first + _IDS]
        with writing(engine, alone=True) as connection:
            _overwrite(connection)
            for what, count in _erase(connection, some).items():
                out[what] = out.get(what, 0) + count
    return out


def _erase(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    out = {"topics renamed": _rename_topics(connection, ids)}
    theirs = select(issues.c.id).where(issues.c.review_id.in_(ids))
    out["links to topics"] = _count(
        connection, delete(topic_issues).where(topic_issues.c.issue_id.in_(theirs))
    )
    for name, owned in (
        ("replies", replies),
        ("entries of histories", history),
        ("statuses and notes of issues", issue_state),
    ):
        out[name] = _count(connection, delete(owned).where(owned.c.review_id.in_(ids)))
    out["alerts"] = _count(connection, delete(alerts).where(alerts.c.about.in_(ids)))
    out["messages"] = _messages(connection, ids) + _reports(connection)
    kept = select(table.c.id).where(table.c.id.in_(ids))
    out["reviews in the record, with issues, emotions and full text"] = len(
        connection.scalars(kept).all()
    )
    apply(connection, [], ids)
    return out


def _messages(connection: Connection, ids: Sequence[str]) -> int:
    """Take the reviews out of alerts that wait, were sent or are dead.

    What tells of nothing else goes.
    """
    named = or_(*(outbox.c.message.contains(i, autoescape=True) for i in ids))
    found = connection.execute(select(outbox).where(named)).all()
    for row in found:
        message = Message.model_validate_json(row.message)
        told = [one for one in message.data.get("alerts", ()) if one["about"] not in ids]
        lines = [x for x in message.text.split("\n") if not any(f"(review {i})" in x for i in ids)]
        mine = (outbox.c.message_id == row.message_id) & (outbox.c.target == row.target)
        if not told:
            connection.execute(delete(outbox).where(mine))
            continue
        changes = {"data": {**message.data, "alerts": told, "count": len(told)}}
        shorter = message.model_copy(update={"text": "\n".join(lines), **changes})
        connection.execute(update(outbox).where(mine).values(message=shorter.model_dump_json()))
    return len(found)


def _reports(connection: Connection) -> int:
    """Reports quote reviews, in files that cannot be searched: all go, also those that wait."""
    told = or_(
        *(outbox.c.message.contains(f'"kind":"{kind}"') for kind in ("alert.raised", "alert.test"))
    )
    return _count(connection, delete(outbox).where(~told))


def _rename_topics(connection: Connection, ids: Sequence[str]) -> int:
    """A topic may be named by a quote of one of the reviews: then its words must do until the next run."""
    query = (
        select(topics.c.id, topics.c.words, topics.c.name, issues.c.evidence)
        .join(topic_issues, topic_issues.c.topic_id == topics.c.id)
        .join(issues, issues.c.id == topic_issues.c.issue_id)
        .where(issues.c.review_id.in_(ids))
    )
    quoted = {
        row.id: row.words
        for row in connection.execute(query)
        if row.name.casefold().strip(" .…") in row.evidence.casefold()
        or row.evidence.casefold().strip(" .…") in row.name.casefold()
    }
    for topic, words in quoted.items():
        connection.execute(update(topics).where(topics.c.id == topic).values(name=words))
    return len(quoted)


def _count(connection: Connection, statement: object) -> int:
    return int(connection.execute(statement).rowcount)  # type: ignore[call-overload]


def _overwrite(connection: Connection) -> None:
    """SQLite leaves deleted bytes where they were, unless told otherwise."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON").close()


def scrub(engine: Engine) -> list[str]:
    """Remove what deleted rows leave on the disk; sentences on what stays."""
    if engine.dialect.name == "sqlite":
        with writing(engine) as connection:
            _overwrite(connection)
            # The full-text index notes a deletion beside the words; merged, both go. (FTS5's option
            # secure-delete would do it at once, from SQLite 3.42 on.)
            connection.exec_driver_sql("INSERT INTO reviews_text(reviews_text) VALUES ('optimize')")
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if not busy:
            return []
        return [
            "record.db-wal: somebody reads the record, so its log could not be cut; repeat the command"
        ]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for one in (*derived.sorted_tables, *people.sorted_tables):
            connection.exec_driver_sql(f'VACUUM "{one.name}"')
    return ["PostgreSQL's write-ahead log, until it is recycled, and its backups"]
