"""Topics in the record: the issues they are made of, the topics of the run before, and the new ones. No arithmetic."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, delete, func, insert, select

from consumers.record.schema import issues, topic_issues, topics
from consumers.topics.embed import Told

_ROWS = 4096


@dataclass(frozen=True)
class IssueText:
    """One shown issue, as far as topics go."""

    id: str
    day: int
    told: Told


@dataclass(frozen=True)
class Topic:
    """A recurring pain point. `centre` is a unit vector; `words` best first; days since 1970."""

    id: str
    name: str
    words: tuple[str, ...]
    size: int
    first_day: int
    last_day: int
    centre: np.ndarray


def newest_day(connection: Connection) -> int | None:
    """The last day that has a shown issue."""
    found = connection.scalar(select(func.max(issues.c.day)).where(issues.c.shown == 1))
    return None if found is None else int(found)


def sample(connection: Connection, since_day: int, limit: int) -> list[IssueText]:
    """At most `limit` shown issues from that day on: ids are hashes, so the first of them are a fair draw."""
    query = _texts(since_day).order_by(issues.c.id).limit(limit)
    return [_issue(row) for row in connection.execute(query)]


def walk(connection: Connection, since_day: int) -> Iterator[list[IssueText]]:
    """All shown issues from that day on in order of their ids, some thousand at a time."""
    last = ""
    while True:
        query = _texts(since_day).where(issues.c.id > last).order_by(issues.c.id).limit(_ROWS)
        some = [_issue(row) for row in connection.execute(query)]
        if not some:
            return
        yield some
        last = some[-1].id


def kept(connection: Connection) -> list[Topic]:
    """The topics of the last run, largest first."""
    return [
        Topic(
            row.id,
            row.name,
            tuple(row.words.split()),
            row.size,
            row.first_day,
            row.last_day,
            np.frombuffer(base64.b64decode(row.centroid), dtype=np.float32),
        )
        for row in connection.execute(select(topics).order_by(topics.c.size.desc(), topics.c.id))
    ]


def replace(
    connection: Connection,
    found: Sequence[Topic],
    links: Iterator[tuple[str, str]],
    now: int,
) -> None:
    """Write a run's topics and links (topic id, issue id) in place of those of the run before."""
    connection.execute(delete(topic_issues))
    connection.execute(delete(topics))
    for topic in found:
        connection.execute(
            insert(topics).values(
                id=topic.id,
                name=topic.name,
                words=" ".join(topic.words),
                centroid=base64.b64encode(topic.centre.astype(np.float32).tobytes()).decode(),
                size=topic.size,
                first_day=topic.first_day,
                last_day=topic.last_day,
                updated_at=now,
            )
        )
    batch: list[dict[str, str]] = []
    for topic_id, issue_id in links:
        batch.append({"topic_id": topic_id, "issue_id": issue_id})
        if len(batch) == _ROWS:
            connection.execute(insert(topic_issues), batch)
            batch = []
    if batch:
        connection.execute(insert(topic_issues), batch)


def _texts(since_day: int) -> Select[Any]:
    row = issues.c
    return select(row.id, row.day, row.problem, row.evidence).where(
        row.shown == 1, row.day >= since_day
    )


def _issue(row: Any) -> IssueText:
    return IssueText(row.id, int(row.day), Told(row.problem, row.evidence))
