"""Who is asking: the Scope of a request, by bearer token or by the session's cookie, with the role that a route needs.

Every route takes one of `Reader`, `Writer`, `Admin` (tests/consumers/dashboard/test_scopes.py finds
those that do not). A cookie's unsafe request must carry the form token. It does not know queries.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine

from consumers.dashboard.sessions import COOKIE, LASTS_SECONDS, Sessions
from consumers.dashboard.tokens import USED_SECONDS, note_use, scope_of_id, scope_of_secret
from consumers.record.database import writing
from consumers.record.scope import Role, Scope
from shared.errors import Forbidden, Unauthorized

FORM_FIELD, FORM_HEADER = "csrf_token", "x-csrf-token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Finds the Scope of a request; signs in and out."""

    def __init__(self, engine: Engine, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._engine, self.sessions, self._clock = engine, sessions, clock
        self._noted: dict[str, float] = {}

    async def scope(self, request: Request) -> Scope:
        """Who asks. `request.state` then has `scope`, and with a session `csrf`, the form token.

        Raises:
            Unauthorized: no token and no session, or one that is not in force.
            Forbidden: a session's unsafe request does not carry the form token.
        """
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        cookie = request.cookies.get(COOKIE, "")
        if kind:
            found = await run_in_threadpool(self._by_secret, kind, secret.strip())
        elif cookie:
            found = await run_in_threadpool(self._by_cookie, cookie)
            request.state.csrf = self.sessions.form_token(cookie)
            if request.method not in _SAFE:
                await self._check_form(request, cookie)
        else:
            raise Unauthorized(
                "sign in, or send Authorization: Bearer TOKEN (`beyond tokens create`)"
            )
        request.state.scope = found
        return found

    def sign_in(self, request: Request, response: Response, secret: str) -> Scope:
        """Open a session for a token, in the response's cookie.

        Raises:
            Unauthorized: the token is not in force.
        """
        found = self._by_secret("bearer", secret.strip())
        self.open_session(request, response, found.token_id)
        return found

    def open_session(self, request: Request, response: Response, token_id: str) -> None:
        """The cookie of a new session: not for scripts, not from other sites, on https never without it."""
        response.set_cookie(
            COOKIE,
            self.sessions.write(token_id, self._clock()),
            max_age=LASTS_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )

    def sign_out(self, response: Response) -> None:
        """Forget the session in this browser; revoking its token ends it everywhere."""
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")

    def use_is_due(self, scope: Scope) -> bool:
        """Whether the token's use is to be noted again: once an hour, a write each time would be dear."""
        return self._clock() - self._noted.get(scope.token_id, 0) >= USED_SECONDS

    def note_use(self, scope: Scope) -> None:
        """Remember the token's use; after the answer, because a write may wait for others."""
        self._noted[scope.token_id] = self._clock()
        with writing(self._engine) as connection:
            note_use(connection, scope.token_id, self._clock())

    def _by_secret(self, kind: str, secret: str) -> Scope:
        found = None
        if kind.lower() == "bearer":
            with self._engine.connect() as connection:
                found = scope_of_secret(connection, secret)
        if found is None:
            raise Unauthorized("this token is unknown or revoked; make one: `beyond tokens create`")
        return found

    def _by_cookie(self, cookie: str) -> Scope:
        token_id, found = self.sessions.read(cookie, self._clock()), None
        if token_id is not None:
            with self._engine.connect() as connection:
                found = scope_of_id(connection, token_id)
        if found is None:
            raise Unauthorized("your session is over; sign in again")
        return found

    async def _check_form(self, request: Request, cookie: str) -> None:
        given = request.headers.get(FORM_HEADER, "")
        if not given and "form" in request.headers.get("content-type", ""):
            given = str((await request.form()).get(FORM_FIELD, ""))
        if not self.sessions.form_token_fits(cookie, given):
            raise Forbidden("this form is not from your session; reload the page and try again")


def access_of(request: Request) -> Access:
    """The app's Access."""
    found: Access = request.app.state.access
    return found


def require(role: Role) -> Callable[..., Coroutine[Any, Any, Scope]]:
    """A dependency that gives the request's Scope.

    It raises Unauthorized (401) where nobody is signed in and Forbidden (403) where the role is too low.
    """

    async def scope(request: Request, after: BackgroundTasks) -> Scope:
        access = access_of(request)
        found = await access.scope(request)
        found.require(role)
        if access.use_is_due(found):
            after.add_task(access.note_use, found)
        return found

    scope.role = role  # type: ignore[attr-defined]  # for the test of all routes
    return scope


Reader = Annotated[Scope, Depends(require("read"))]
Writer = Annotated[Scope, Depends(require("write"))]
Admin = Annotated[Scope, Depends(require("admin"))]
