"""Tokens that open the dashboard: made once, shown once, kept as SHA-256. They carry a role and may carry a business.

It does not know HTTP, cookies or who is signed in (access.py does).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from consumers.record.conditions import moment
from consumers.record.schema import tokens
from consumers.record.scope import ROLES, Role, Scope
from shared.errors import InvalidRequest

# So that a token is known by its looks where it does not belong: in a log, in a repository.
_PREFIX = "bs_"
# How precisely `used_at` is kept: a write each request would cost more than the request.
USED_SECONDS = 3600


@dataclass(frozen=True)
class Token:
    """A token as lists show it: without its secret, which nobody has."""

    id: str
    name: str
    role: Role
    business: str | None
    created_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


def create_token(
    connection: Connection, name: str, role: Role, business: str | None, now: float
) -> tuple[str, str]:
    """A new token: (id, secret). The secret is nowhere else: show it, once.

    Raises:
        InvalidRequest: the name is empty or too long, or the role is none.
    """
    if role not in ROLES:
        raise InvalidRequest(f"role: {role!r} is none of {', '.join(ROLES)}")
    if not name.strip() or len(name) > 100:
        raise InvalidRequest("name: give 1 to 100 characters; history shows it as who did it")
    secret, identity = _PREFIX + secrets.token_urlsafe(32), secrets.token_hex(5)
    connection.execute(
        insert(tokens).values(
            id=identity,
            name=name.strip(),
            hash=_hashed(secret),
            role=role,
            business=business,
            created_at=int(now),
        )
    )
    return identity, secret


def list_tokens(connection: Connection, scope: Scope | None = None) -> list[Token]:
    """All, oldest first; revoked ones too. With a scope of one business, that business's."""
    query = select(tokens).order_by(tokens.c.created_at, tokens.c.id)
    rows = connection.execute(query if scope is None else query.where(scope.limits(_business())))
    return [
        Token(
            id=row.id,
            name=row.name,
            role=row.role,
            business=row.business,
            created_at=_moment(row.created_at),
            used_at=moment(row.used_at),
            revoked_at=moment(row.revoked_at),
        )
        for row in rows
    ]


def revoke_token(
    connection: Connection, identity: str, now: float, scope: Scope | None = None
) -> bool:
    """End a token, and every session that it opened; False: there is no such token in force (and in the scope)."""
    ended = update(tokens).where(tokens.c.id == identity, tokens.c.revoked_at.is_(None))
    if scope is not None:
        ended = ended.where(scope.limits(_business()))
    return bool(connection.execute(ended.values(revoked_at=int(now))).rowcount)


def scope_of_secret(connection: Connection, secret: str) -> Scope | None:
    """Whom a secret belongs to; None: it is unknown or revoked."""
    # Found by its hash: how long that takes says nothing about any other token.
    return _scope(connection, tokens.c.hash == _hashed(secret))


def scope_of_id(connection: Connection, identity: str) -> Scope | None:
    """Whom a token's id belongs to; None: there is none in force.

    For sessions, which prove the id otherwise.
    """
    return _scope(connection, tokens.c.id == identity)


def note_use(connection: Connection, identity: str, now: float) -> None:
    """Remember that a token was used, to the hour."""
    stale = tokens.c.used_at.is_(None) | (tokens.c.used_at < int(now) - USED_SECONDS)
    used = update(tokens).where(tokens.c.id == identity, stale).values(used_at=int(now))
    connection.execute(used)


def _scope(connection: Connection, wanted: Any) -> Scope | None:
    query = select(tokens).where(wanted, tokens.c.revoked_at.is_(None))
    row: Row[Any] | None = connection.execute(query).one_or_none()
    return None if row is None else Scope(row.name, row.role, row.business, row.id)


def _business() -> ColumnElement[str]:
    # A token of all businesses has NULL here, which equals no business's name.
    return cast("ColumnElement[str]", tokens.c.business)


def _hashed(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def _moment(seconds: int) -> datetime:
    found = moment(seconds)
    assert found is not None
    return found
