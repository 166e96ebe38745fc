"""Filters and a Scope as SQL conditions over the record's tables, and the cursor of a page.

Conditions on issues and emotions are EXISTS: pages are read newest first, so the newest rows that fit
are found by a probe each, whatever the size of the table. Where few fit, that would try all: then
the query starts from the issues or emotions. It does not read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Select, and_, exists, or_, select, true, tuple_

from consumers.record.filters import Filters
from consumers.record.schema import emotions, issue_state, issues, reviews, topic_issues
from consumers.record.scope import Scope
from consumers.record.text_search import matching
from shared.errors import InvalidRequest
from shared.review import URGENCIES

_EPOCH_DAY = date(1970, 1, 1)
_DAY_SECONDS = 86400


def day_number(day: date) -> int:
    """Whole days since 1970, as the record counts them."""
    return (day - _EPOCH_DAY).days


def of_place(filters: Filters, scope: Scope, row: Any) -> list[ColumnElement[bool]]:
    """Conditions on business, source and category, which `row`'s table has: reviews, issues and daily counts do.

    Raises:
        Forbidden: another business than the scope's is asked for.
    """
    out: list[ColumnElement[bool]] = []
    if (business := scope.narrow(filters.business)) is not None:
        out.append(row.business == business)
    return out + _among((row.source, filters.source), (row.category, filters.category))


def _among(*asked: tuple[Any, Sequence[Any]]) -> list[ColumnElement[bool]]:
    """Each column among its wanted values, where any are; one value by `=`, for the indexes' order."""
    return [c == wanted[0] if len(wanted) == 1 else c.in_(wanted) for c, wanted in asked if wanted]


def of_reviews(
    filters: Filters, scope: Scope, dialect: Dialect, *, few: bool = False
) -> list[ColumnElement[bool]]:
    """Conditions over `reviews`; of issues only shown ones count.

    Args:
        filters: what is asked for.
        scope: what may be seen.
        dialect: of the connection that will run the query; full text differs.
        few: whether few reviews are expected to fit. Then the query starts from the issues or
            emotions that do, instead of trying each review.

    Raises:
        Forbidden: another business than the scope's is asked for.
    """
    row = reviews.c
    urgency = [URGENCIES.index(u) for u in filters.urgency]
    out: list[ColumnElement[bool]] = [true(), *of_place(filters, scope, row)]
    out += _among((row.language, filters.language), (row.urgency, urgency))
    if filters.rating:
        out.append(
            or_(*(and_(row.rating >= s - 0.5, row.rating < s + 0.5) for s in filters.rating))
        )
    if filters.rating_min is not None:
        out.append(row.rating >= filters.rating_min)
    if filters.rating_max is not None:
        out.append(row.rating <= filters.rating_max)
    out += _dates(row.created_at, filters)
    if filters.state is not None:
        analysed = filters.state == "analysed"
        out.append(row.analysed_at.is_not(None) if analysed else row.analysed_at.is_(None))
    of_issue = _issue_parts(filters)
    if of_issue:
        shown = [issues.c.shown == 1, *of_issue]
        if decided(filters):
            settled = exists().where(issues.c.id == issue_state.c.issue_id, *shown)
            out.append(row.id.in_(select(issue_state.c.review_id).where(settled)))
        elif few:
            out.append(row.id.in_(select(issues.c.review_id).where(*shown)))
        else:
            out.append(exists().where(issues.c.review_id == row.id, *shown))
    if filters.emotion:
        felt = emotions.c.emotion.in_(filters.emotion)
        if few and not of_issue:
            out.append(row.id.in_(select(emotions.c.review_id).where(felt)))
        else:
            out.append(exists().where(emotions.c.review_id == row.id, felt))
    if filters.q:
        out.append(matching(dialect, filters.q))
    return out


def of_issues(filters: Filters, scope: Scope, dialect: Dialect) -> list[ColumnElement[bool]]:
    """Conditions over `issues`, shown ones: their own columns where they have them, else their review's.

    Raises:
        Forbidden: another business than the scope's is asked for.
    """
    row = issues.c
    out = [row.shown == 1, *of_place(filters, scope, row)]
    if filters.urgency:
        out.append(row.urgency.in_([URGENCIES.index(u) for u in filters.urgency]))
    out += _dates(row.created_at, filters)
    out += _issue_parts(filters)
    kept = {"rating", "rating_min", "rating_max", "emotion", "language", "q", "state"}
    if rest := filters.given() & kept:
        of_review = Filters(**{name: getattr(filters, name) for name in rest})
        inner = of_reviews(of_review, scope, dialect)
        out.append(exists().where(reviews.c.id == row.review_id, *inner))
    return out


def decided(filters: Filters) -> bool:
    """Whether only issues are asked for that people gave a status: few beside all others."""
    return bool(filters.status) and "open" not in filters.status


def _dates(column: ColumnElement[int], filters: Filters) -> list[ColumnElement[bool]]:
    out = []
    if filters.since is not None:
        out.append(column >= day_number(filters.since) * _DAY_SECONDS)
    if filters.until is not None:
        out.append(column < (day_number(filters.until) + 1) * _DAY_SECONDS)
    return out


def _issue_parts(filters: Filters) -> list[ColumnElement[bool]]:
    out: list[ColumnElement[bool]] = []
    if filters.theme:
        out.append(issues.c.theme.in_(filters.theme))
    if filters.topic is not None:
        told = select(topic_issues.c.issue_id).where(topic_issues.c.topic_id == filters.topic)
        out.append(issues.c.id.in_(told))
    if filters.min_confidence is not None:
        out.append(issues.c.confidence >= filters.min_confidence)
    if filters.status:
        state = issue_state.alias()  # the query around it may have joined the table itself
        if not decided(filters):  # an issue that nobody touched is open and has no row
            closed = state.c.status.not_in(filters.status)
            out.append(~exists().where(state.c.issue_id == issues.c.id, closed))
        else:
            touched = select(state.c.issue_id).where(state.c.status.in_(filters.status))
            out.append(issues.c.id.in_(touched))
    return out


# -- pages, newest first --------------------------------------------------------------------------


def page(
    query: Select[tuple[object, ...]], keys: Sequence[ColumnElement[object]], cursor: str | None
) -> Select[tuple[object, ...]]:
    """The query in descending order of (seconds, id) and, with a cursor, only what comes after it.

    Raises:
        InvalidRequest: no such cursor was ever given out.
    """
    query = query.order_by(*(key.desc() for key in keys))
    return query if cursor is None else query.where(tuple_(*keys) < tuple_(*read_cursor(cursor)))


def write_cursor(seconds: int, identity: str) -> str:
    """The place after a row, opaque to readers; rows that come later do not move it."""
    return base64.urlsafe_b64encode(f"{seconds}.{identity}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """(seconds, id) of the last row that was read.

    Raises:
        InvalidRequest: no such cursor was ever given out.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        seconds, _, identity = text.partition(".")
        return int(seconds), identity
    except (ValueError, binascii.Error):
        raise InvalidRequest("cursor: take it from `next` of the page before") from None


def moment(seconds: int | None) -> datetime | None:
    """A column's seconds as an aware time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
