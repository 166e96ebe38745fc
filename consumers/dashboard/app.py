"""The ASGI app: API under /v1, pages beside it, one engine for both.

It does not know routes in detail; everything it needs is handed in.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import redis
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Engine

from consumers.dashboard import (
    api_feed,
    api_people,
    api_reviews,
    api_sums,
    api_voices,
    pages,
    problems,
)
from consumers.dashboard.access import Access
from consumers.dashboard.pages_session import error_page
from consumers.dashboard.sessions import Sessions, session_key
from consumers.record.queries_themes import read_to
from shared.errors import Unauthorized
from shared.settings import Settings

_ABOUT = """What the record of reviews holds, for programs.

Send `Authorization: Bearer TOKEN`; `beyond tokens create NAME --role read` makes one. A token may be
limited to one business: then nothing of others is found. Lists come newest first; `next` is the
cursor of the following page. Answers carry an ETag: send it as If-None-Match and get 304 while
nothing changed. Errors are problem bodies (RFC 9457)."""


class Once:
    """A code that signs in one time, for the first minute on the owner's own machine."""

    def __init__(self, token_id: str) -> None:
        self.code, self._token_id = secrets.token_urlsafe(24), token_id

    def take(self, code: str) -> str:
        """The token's id, and the code is spent.

        Raises:
            Unauthorized: not this code, or not any more.
        """
        if not self.code or not secrets.compare_digest(code.encode(), self.code.encode()):
            raise Unauthorized(
                "this link was used already; sign in with the token that was printed"
            )
        self.code = ""
        return self._token_id


def create_app(
    settings: Settings,
    engine: Engine,
    connection: redis.Redis,
    *,
    clock: Callable[[], float] = time.time,
    once: Once | None = None,
) -> FastAPI:
    """The app over the record's engine and the server's connection. `clock`: seconds since 1970."""
    app = FastAPI(
        title="Beyond Sentiment",
        description=_ABOUT,
        version="1",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its viewer would come from somebody else's server
        redoc_url=None,
    )
    app.state.settings, app.state.engine, app.state.redis = settings, engine, connection
    app.state.clock = clock
    app.state.access = Access(engine, Sessions(session_key(settings.home)), clock)
    problems.install(app, error_page)
    for part in (api_reviews, api_sums, api_people, api_voices, api_feed, pages):
        app.include_router(part.router)

    @app.get("/once/{code}", include_in_schema=False)
    def first_minute(request: Request, code: str) -> Response:
        if once is None:
            raise Unauthorized("sign in with a token")
        answer = RedirectResponse("/", 303)
        app.state.access.open_session(request, answer, once.take(code))
        return answer

    @app.get("/healthz", tags=["service"], summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["service"], summary="The record answers")
    def readyz() -> dict[str, str]:
        with engine.connect() as reading:
            read_to(reading)
        return {"status": "ready"}

    return app
