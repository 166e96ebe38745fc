"""What people do: an issue's status, owner and note; saved views; alerts acknowledged. Each with its history.

All in the people's tables, which a rebuild does not touch. The caller's transaction holds the write
lock (`writing`). It does not know HTTP or roles, only the Scope that limits what can be reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from consumers.record.answers import IssueRow
from consumers.record.answers_people import Alert, View
from consumers.record.conditions import moment
from consumers.record.filters import Status
from consumers.record.queries import issue
from consumers.record.schema import alerts, history, issue_state, reviews, views
from consumers.record.scope import Scope
from shared.errors import InvalidRequest, NotFound
from shared.stream.verdicts import Verdict

_MAX_VIEWS = 100
# The largest number that the column holds on PostgreSQL; past SQLite's the driver itself gives up.
_LAST_NUMBER = 2**31 - 1


def change_issue(
    connection: Connection,
    scope: Scope,
    issue_id: str,
    now: float,
    *,
    status: Status | None = None,
    owner: str | None = None,
    note: str | None = None,
) -> IssueRow:
    """Set what is given and keep the rest; what really changed goes into the review's history.

    Raises:
        NotFound: there is no such issue in the scope.
    """
    before = issue(connection, scope, issue_id)
    if before is None:
        raise NotFound(f"no issue {issue_id}")
    given = {"status": status, "owner": owner, "note": note}
    changes = {
        what: value
        for what, value in given.items()
        if value is not None and value != getattr(before, what)
    }
    if not changes:
        return before
    state = {what: getattr(before, what) for what in given} | changes
    _upsert_state(
        connection,
        {
            "issue_id": issue_id,
            "review_id": before.review_id,
            **state,
            "updated_at": int(now),
            "updated_by": scope.name,
        },
    )
    for what, value in changes.items():
        remember(connection, scope, before.review_id, what, value, now)
    after = issue(connection, scope, issue_id)
    assert after is not None
    return after


def remember(
    connection: Connection, scope: Scope, review_id: str, what: str, value: str, now: float
) -> None:
    """One line of a review's history."""
    row = {"review_id": review_id, "what": what, "value": value, "at": int(now), "by": scope.name}
    connection.execute(insert(history).values(row))


def verdict_of(connection: Connection, found: IssueRow) -> Verdict | None:
    """What the issue's status says to the trainer; None where nobody judged it."""
    if found.status == "open":
        return None
    version = connection.scalar(select(reviews.c.version).where(reviews.c.id == found.review_id))
    return Verdict(
        review_id=found.review_id,
        version=version or "",
        start=found.start,
        end=found.end,
        theme=found.theme,
        is_issue=found.status != "not an issue",
    )


# -- saved views ----------------------------------------------------------------------------------


def list_views(connection: Connection, scope: Scope) -> tuple[View, ...]:
    """The reader's own, by name."""
    query = select(views).where(views.c.token_id == scope.token_id)
    rows = connection.execute(query.order_by(views.c.name, views.c.number))
    return tuple(View(number=row.number, name=row.name, query=row.query) for row in rows)


def save_view(connection: Connection, scope: Scope, name: str, query: str) -> View:
    """Keep a page's query string under a name; the same name again replaces it.

    Raises:
        InvalidRequest: there are too many.
    """
    own = list_views(connection, scope)
    same = [view.number for view in own if view.name == name]
    if len(own) - len(same) >= _MAX_VIEWS:
        raise InvalidRequest(f"name: you have {_MAX_VIEWS} views; remove one first")
    connection.execute(delete(views).where(views.c.number.in_(same)))
    added = insert(views).values(name=name, query=query, token_id=scope.token_id)
    number = connection.execute(added.returning(views.c.number)).scalar_one()
    return View(number=number, name=name, query=query)


def remove_view(connection: Connection, scope: Scope, number: int) -> None:
    """Forget one of the reader's own.

    Raises:
        NotFound: the reader has no such view.
    """
    own = (views.c.number == number) & (views.c.token_id == scope.token_id)
    if number > _LAST_NUMBER or not connection.execute(delete(views).where(own)).rowcount:
        raise NotFound(f"you have no view {number}")


# -- alerts ---------------------------------------------------------------------------------------


def list_alerts(connection: Connection, scope: Scope, *, waiting: bool) -> tuple[Alert, ...]:
    """The newest 200; `waiting`: only those that nobody acknowledged."""
    query = select(alerts).where(scope.limits(alerts.c.business))
    if waiting:
        query = query.where(alerts.c.acknowledged_at.is_(None))
    newest = query.order_by(alerts.c.raised_at.desc(), alerts.c.id).limit(200)
    return tuple(_alert(row) for row in connection.execute(newest))


def acknowledge(connection: Connection, scope: Scope, alert_id: str, now: float) -> Alert:
    """Note who saw an alert; who saw it first stays.

    Raises:
        NotFound: there is no such alert in the scope.
    """
    one = (alerts.c.id == alert_id) & scope.limits(alerts.c.business)
    connection.execute(
        update(alerts)
        .where(one, alerts.c.acknowledged_at.is_(None))
        .values(acknowledged_at=int(now), acknowledged_by=scope.name)
    )
    row = connection.execute(select(alerts).where(one)).one_or_none()
    if row is None:
        raise NotFound(f"no alert {alert_id}")
    return _alert(row)


def _alert(row: Any) -> Alert:
    return Alert(
        id=row.id,
        rule=row.rule,
        business=row.business or None,
        text=row.text,
        raised_at=moment(row.raised_at),
        acknowledged_at=moment(row.acknowledged_at),
        acknowledged_by=row.acknowledged_by,
    )


def _upsert_state(connection: Connection, row: Mapping[str, Any]) -> None:
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    new = dialect.insert(issue_state).values(row)
    changed = {name: new.excluded[name] for name in row if name != "issue_id"}
    connection.execute(new.on_conflict_do_update(index_elements=["issue_id"], set_=changed))
