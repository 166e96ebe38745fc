"""Tokens as a page: made and shown once, listed, revoked. An admin of one business sees and makes its tokens only.

It does not know how tokens are kept (tokens.py does).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from consumers.dashboard.access import Admin
from consumers.dashboard.answering import Now, Reading, engine_of
from consumers.dashboard.pages_frame import render
from consumers.dashboard.tokens import create_token, list_tokens, revoke_token
from consumers.record.database import writing
from consumers.record.queries_themes import meta
from consumers.record.scope import ROLES, Role, Scope
from shared.errors import InvalidRequest, NotFound

router = APIRouter(include_in_schema=False, prefix="/tokens")
_BLANK = {"name": "", "role": "read", "business": ""}
_ROLES = {
    "read": "sees everything, changes nothing",
    "write": "also sets statuses, writes and approves replies",
    "admin": "also makes and revokes tokens; for all businesses, runs the pipeline",
}


@router.get("")
def tokens_page(request: Request, scope: Admin, record: Reading, told: str = "") -> Response:
    """All tokens that the reader may manage, those in force first."""
    said = "The token was revoked; its sessions are over." if told == "revoked" else ""
    return render(request, "tokens.html", "Tokens", **_values(record, scope) | {"told": said})


@router.post("")
def make_token(
    request: Request,
    scope: Admin,
    now: Now,
    name: Annotated[str, Form(max_length=1000)] = "",
    role: Annotated[str, Form(max_length=10)] = "read",
    business: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Make a token and show its secret on this answer, and never again; an empty business means all there are.

    Raises:
        Forbidden: it is for another business than the reader's own.
    """
    wanted, problem, secret = scope.narrow(business or None), "", ""
    with writing(engine_of(request)) as connection:
        try:
            _, secret = create_token(connection, name, _role(role), wanted, now)
        except InvalidRequest as error:
            problem = str(error)[:1].upper() + str(error)[1:]
        values = _values(connection, scope)
    kept = {"name": name, "role": role, "business": business} if problem else _BLANK
    made = {"secret": secret, "secret_of": name.strip()}
    return render(
        request,
        "tokens.html",
        "Tokens",
        status_code=400 if problem else 200,
        **values | made | {"problem": problem, "given": kept},
    )


@router.post("/{token_id}/revoke")
def end_token(request: Request, scope: Admin, now: Now, token_id: str) -> Response:
    """End a token and its sessions.

    Raises:
        InvalidRequest: it is the one that the reader is signed in with.
        NotFound: there is none in force that the reader may manage.
    """
    if token_id == scope.token_id:
        raise InvalidRequest(
            "you are signed in with this token; another admin, or `beyond tokens revoke`, ends it"
        )
    with writing(engine_of(request)) as connection:
        if not revoke_token(connection, token_id, now, scope):
            raise NotFound("there is no such token in force, or it is not of your business")
    return RedirectResponse("/tokens?told=revoked", 303)


def _values(connection: Connection, scope: Scope) -> dict[str, Any]:
    found = list_tokens(connection, scope)
    return {
        "tokens": sorted(found, key=lambda token: token.revoked_at is not None),
        "roles": _ROLES,
        "businesses": [b.name for b in meta(connection, scope).businesses if b.name],
        "told": "",
        "secret": "",
        "secret_of": "",
        "problem": "",
        "given": _BLANK,
    }


def _role(given: str) -> Role:
    found = next((role for role in ROLES if role == given), None)
    if found is None:
        raise InvalidRequest(f"role: {given!r} is none of {', '.join(ROLES)}")
    return found
