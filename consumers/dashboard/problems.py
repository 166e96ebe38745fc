"""Errors as answers: RFC 9457 problem bodies for the API, the pages' own page for browsers.

It does not know routes; what an error means is said by shared/errors.py.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.exc import DBAPIError, TimeoutError
from starlette.exceptions import HTTPException

from shared.errors import (
    BeyondError,
    Conflict,
    Forbidden,
    InvalidRequest,
    InvalidReview,
    NotFound,
    Overloaded,
    Stale,
    TemporaryFailure,
    Unauthorized,
)
from shared.replies.compose import NoReply
from shared.telemetry import log

PROBLEM = "application/problem+json"
# Reviews may look like a page; a browser must not take JSON for one.
PLAIN = {"X-Content-Type-Options": "nosniff"}
_STATUS: dict[type[BeyondError], int] = {
    InvalidRequest: 400,
    InvalidReview: 422,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Stale: 412,
    Conflict: 409,
    NoReply: 409,
    Overloaded: 503,
    TemporaryFailure: 503,
}
# (request, status, one sentence) -> the page that says so
ErrorPage = Callable[[Request, int, str], Response]


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """A problem body; `more` are its own members, e.g. `errors`."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    headers = {"Cache-Control": "no-store", **PLAIN}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = "5"
    return JSONResponse({**body, "detail": detail, **more}, status, headers, media_type=PROBLEM)


def status_of(error: BeyondError) -> int:
    """The HTTP status of one of our errors."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def install(app: FastAPI, error_page: ErrorPage) -> None:
    """Answer every error of the app by a problem body, or outside /v1 by `error_page`."""
    speak = log("dashboard")

    def answer(request: Request, status: int, detail: str, **more: Any) -> Response:
        if request.url.path.startswith("/v1"):
            return problem(status, detail, **more)
        # A link of the first minute that is spent must say so: signing in would lead to it again.
        spent = request.url.path.startswith("/once/")
        part = "hx-request" in request.headers  # of a page: the form to sign in has no place there
        if status == 401 and request.method == "GET" and not spent and not part:
            place = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(place, safe='')}", 303)
        return error_page(request, status, detail)

    @app.exception_handler(BeyondError)
    async def ours(request: Request, error: BeyondError) -> Response:
        status = status_of(error)
        if status >= 500:
            speak.warning("not_answered", path=request.url.path, reason=str(error))
        return answer(request, status, str(error))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        return answer(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found = [
            {"field": ".".join(str(part) for part in one["loc"]), "detail": one["msg"]}
            for one in error.errors()
        ]
        return answer(request, 422, f"{found[0]['field']}: {found[0]['detail']}", errors=found)

    @app.exception_handler(DBAPIError)
    @app.exception_handler(TimeoutError)
    async def database(request: Request, error: Exception) -> Response:
        speak.error("database", path=request.url.path, reason=str(error).splitlines()[0])
        return answer(request, 503, "the record's database does not answer; try again")

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        speak.error("unexpected", path=request.url.path, exc_info=error)
        return answer(request, 500, "unexpected error; it is in the log")
