"""Reviews and issues out of the record: a page of them newest first, and one review with all that is known.

Every query takes the reader's Scope. Pages go by a cursor, so they cost the same at any depth and
stay stable while rows are inserted. It does not write (work.py does) and does not sum (summary.py).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from consumers.record.answers import IssuePage, IssueRow, ReviewDetail, ReviewPage, ReviewRow
from consumers.record.answers_people import Change, Reply
from consumers.record.conditions import (
    decided,
    moment,
    of_issues,
    of_reviews,
    page,
    write_cursor,
)
from consumers.record.filters import Filters
from consumers.record.schema import emotions, history, issue_state, issues, replies, reviews
from consumers.record.scope import Scope
from shared.review import URGENCIES

MAX_PAGE = 200
# Reviews that are tried one by one, some 30 ms, before a query starts from what it looks for.
_TRIED = 10_000
_ISSUES_WITH_STATE = select(
    issues,
    func.coalesce(issue_state.c.status, "open").label("status"),
    func.coalesce(issue_state.c.owner, "").label("owner"),
    func.coalesce(issue_state.c.note, "").label("note"),
    issue_state.c.updated_at,
    issue_state.c.updated_by,
).select_from(issues.outerjoin(issue_state, issue_state.c.issue_id == issues.c.id))
# The list needs no analyses, which are the biggest column.
_LISTED = [
    reviews.c[name]
    for name in (
        "id source business category language title text rating created_at dated excerpt analysed_at"
        " urgency emotion"
    ).split()
]


def review_page(
    connection: Connection,
    scope: Scope,
    filters: Filters,
    *,
    limit: int = 50,
    cursor: str | None = None,
) -> ReviewPage:
    """Reviews that fit, newest first; at most `limit` (1 to MAX_PAGE).

    Raises:
        InvalidRequest: the cursor is none of ours.
    """
    found = _newest(connection, scope, filters, limit + 1, cursor)
    rows = found[:limit]
    shown = _issues_of(connection, [row.id for row in rows], shown=True)
    last = rows[-1] if len(found) > limit else None
    return ReviewPage(
        reviews=tuple(ReviewRow(**_review(row), issues=shown[row.id]) for row in rows),
        next=write_cursor(last.created_at, last.id) if last is not None else None,
    )


def review_detail(connection: Connection, scope: Scope, review_id: str) -> ReviewDetail | None:
    """One review with issues, emotions, states, history and reply; None where there is none in the scope."""
    query = select(reviews).where(reviews.c.id == review_id, scope.limits(reviews.c.business))
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    felt = connection.execute(
        select(emotions.c.emotion, emotions.c.probability)
        .where(emotions.c.review_id == review_id)
        .order_by(emotions.c.probability.desc())
    )
    changes = connection.execute(
        select(history).where(history.c.review_id == review_id).order_by(history.c.number)
    )
    return ReviewDetail(
        **_review(row),
        issues=_issues_of(connection, [review_id], shown=True)[review_id],
        unsure=_issues_of(connection, [review_id], shown=False)[review_id],
        emotions={emotion: probability for emotion, probability in felt},
        external_id=row.external_id,
        url=row.url,
        author=row.author,
        version=row.version,
        urgency_reason=row.urgency_reason,
        insight_reason=row.insight_reason,
        adapter=row.adapter,
        analysis=None if row.analysis is None else json.loads(row.analysis),
        history=tuple(
            Change(what=c.what, value=c.value, at=moment(c.at), by=c.by) for c in changes
        ),
        reply=_reply(connection, review_id),
    )


def issue_page(
    connection: Connection,
    scope: Scope,
    filters: Filters,
    *,
    limit: int = 50,
    cursor: str | None = None,
) -> IssuePage:
    """Shown issues that fit, by their review's date, newest first; at most `limit` (1 to MAX_PAGE).

    Raises:
        InvalidRequest: the cursor is none of ours.
    """
    fitting = of_issues(filters, scope, connection.dialect)
    query: Select[Any] = _ISSUES_WITH_STATE.where(*fitting)
    query = page(query, (issues.c.created_at, issues.c.id), cursor)
    found = connection.execute(query.limit(limit + 1)).all()
    rows = found[:limit]
    last = rows[-1] if len(found) > limit else None
    return IssuePage(
        issues=tuple(as_issue(row) for row in rows),
        next=write_cursor(last.created_at, last.id) if last is not None else None,
    )


def issue(connection: Connection, scope: Scope, issue_id: str) -> IssueRow | None:
    """One issue, shown or not; None where there is none in the scope."""
    limits = scope.limits(issues.c.business)
    row = connection.execute(
        _ISSUES_WITH_STATE.where(issues.c.id == issue_id, limits)
    ).one_or_none()
    return None if row is None else as_issue(row)


def reply(connection: Connection, scope: Scope, review_id: str) -> Reply | None:
    """The reply to a review; None where there is none, or the review is not in the scope."""
    seen = select(reviews.c.id).where(reviews.c.id == review_id, scope.limits(reviews.c.business))
    return None if connection.execute(seen).first() is None else _reply(connection, review_id)


def as_issue(row: Row[Any]) -> IssueRow:
    """A row of `issues` beside its state."""
    return IssueRow(
        id=row.id,
        review_id=row.review_id,
        theme=row.theme,
        problem=row.problem,
        evidence=row.evidence,
        start=row.start,
        end=row.end,
        action=row.action,
        flags=tuple(row.flags.split()),
        confidence=row.confidence,
        shown=bool(row.shown),
        business=row.business or None,
        source=row.source,
        urgency=_urgency(row.urgency),
        created_at=moment(row.created_at),
        status=row.status,
        owner=row.owner,
        note=row.note,
        updated_at=moment(row.updated_at),
        updated_by=row.updated_by,
    )


def _newest(
    connection: Connection, scope: Scope, filters: Filters, limit: int, cursor: str | None
) -> Sequence[Row[Any]]:
    """The first rows after the cursor, at most `limit`: among the newest reviews if they are there, else among all."""
    newest_first = (reviews.c.created_at, reviews.c.id)
    # The sum has no index: the database sorts the few that fit, and does not walk all in order.
    sorted_after = (reviews.c.created_at + 0, reviews.c.id)

    def rows(
        keys: tuple[ColumnElement[Any], ...], *conditions: ColumnElement[bool]
    ) -> Sequence[Row[Any]]:
        query = page(select(*_LISTED).where(*conditions), keys, cursor)
        return connection.execute(query.limit(limit)).all()

    probing = of_reviews(filters, scope, connection.dialect)
    starting = of_reviews(filters, scope, connection.dialect, few=True)
    if decided(filters):
        return rows(sorted_after, *starting)
    if not filters.given() & {"theme", "topic", "emotion", "min_confidence"}:
        return rows(newest_first, *probing)
    near = Filters(business=filters.business, since=filters.since, until=filters.until)
    there = of_reviews(near, scope, connection.dialect)
    within = page(select(reviews.c.created_at).where(*there), newest_first, cursor)
    last = connection.scalar(within.offset(_TRIED).limit(1))
    if last is None:
        return rows(newest_first, *probing)  # there are not more than that
    found = rows(newest_first, *probing, reviews.c.created_at >= last)
    return found if len(found) == limit else rows(sorted_after, *starting)


def _issues_of(
    connection: Connection, ids: Sequence[str], *, shown: bool
) -> dict[str, tuple[IssueRow, ...]]:
    """Issues by review, the most important first."""
    out: dict[str, tuple[IssueRow, ...]] = defaultdict(tuple)
    if ids:
        query = _ISSUES_WITH_STATE.where(issues.c.review_id.in_(ids), issues.c.shown == int(shown))
        for row in connection.execute(query.order_by(issues.c.review_id, issues.c.position)):
            out[row.review_id] += (as_issue(row),)
    return out


def _reply(connection: Connection, review_id: str) -> Reply | None:
    query = select(replies).where(replies.c.review_id == review_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Reply(**{**row._mapping, "updated_at": moment(row.updated_at)})


def _review(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "source": row.source,
        "business": row.business or None,
        "category": row.category or None,
        "language": row.language or None,
        "title": row.title,
        "text": row.text,
        "rating": row.rating,
        "created_at": moment(row.created_at),
        "dated": bool(row.dated),
        "excerpt": bool(row.excerpt),
        "analysed_at": moment(row.analysed_at),
        "urgency": _urgency(row.urgency),
        "emotion": row.emotion or None,
    }


def _urgency(number: int | None) -> Any:
    return None if number is None else URGENCIES[number]
