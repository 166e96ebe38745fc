"""Recurring pain points as a reader sees them: how many issues, since when, and how many a week lately.

Found and named by `beyond topics` (consumers/topics), which this does not know.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

from sqlalchemy import Connection, func, null, select

from consumers.record import schema
from consumers.record.answers import Topic
from consumers.record.periods import EPOCH
from consumers.record.schema import issues, topic_issues
from consumers.record.scope import Scope

TREND_WEEKS = 26
_MOST = 200


def topics(connection: Connection, scope: Scope, only: str | None = None) -> tuple[Topic, ...]:
    """Recurring pain points that have a shown issue in the scope, most issues first; at most 200.

    With `only`, an id, just that one, or none. Their names and words are taken from all businesses'
    reviews. Whoever may see one business only gets one of its own sentences for a name, and no words.
    """
    row, count = schema.topics.c, func.count()
    alone = scope.business is not None
    # Sentences are long: whoever sees all businesses gets the topic's name, and reads none.
    own = func.min(func.coalesce(issues.c.problem, issues.c.evidence)) if alone else null()
    of_topic, of_issue = topic_issues.c.topic_id == row.id, issues.c.id == topic_issues.c.issue_id
    query = (
        select(
            row.id,
            row.name,
            row.words,
            own.label("own"),
            count.label("amount"),
            func.min(issues.c.day).label("first_day"),
            func.max(issues.c.day).label("last_day"),
        )
        .select_from(schema.topics.join(topic_issues, of_topic).join(issues, of_issue))
        .where(scope.limits(issues.c.business), issues.c.shown == 1)
        .group_by(row.id, row.name, row.words)
        .order_by(count.desc(), row.id)
        .limit(_MOST)
    )
    if only is not None:
        query = query.where(row.id == only)
    found = connection.execute(query).all()
    weeks = _by_week(connection, scope, only) if found else {}
    return tuple(
        Topic(
            id=one.id,
            name=one.own if alone else one.name,
            words=() if alone else tuple(one.words.split()),
            issues=one.amount,
            first_day=EPOCH + timedelta(one.first_day),
            last_day=EPOCH + timedelta(one.last_day),
            weeks=tuple(weeks.get(one.id, [0] * TREND_WEEKS)),
        )
        for one in found
    )


def _by_week(connection: Connection, scope: Scope, only: str | None) -> dict[str, list[int]]:
    """Issues in each of the TREND_WEEKS weeks up to the last day of any in the scope, oldest first, by topic."""
    out: dict[str, list[int]] = defaultdict(lambda: [0] * TREND_WEEKS)
    inside = (scope.limits(issues.c.business), issues.c.shown == 1)
    last = connection.scalar(select(func.max(issues.c.day)).where(*inside)) or 0
    ago = (last - issues.c.day) // 7
    linked = topic_issues.join(issues, topic_issues.c.issue_id == issues.c.id)
    query = (
        select(topic_issues.c.topic_id, ago, func.count())
        .select_from(linked)
        .where(*inside, issues.c.day > last - 7 * TREND_WEEKS)
        .group_by(topic_issues.c.topic_id, ago)
    )
    # All of them, without naming each: a list of ids would be tried for every issue.
    if only is not None:
        query = query.where(topic_issues.c.topic_id == only)
    for topic, weeks_ago, amount in connection.execute(query):
        out[topic][TREND_WEEKS - 1 - int(weeks_ago)] = int(amount)
    return out
