"""The webhook: HTTP around a Doorway, which answers once a delivery is on disk. An ASGI app.

It does not know platforms (producers/platforms does), storage nor analysis. Cost of one review: one script
on the server and one WAITAOF; with `appendfsync everysec` the answer waits for the next fsync, at
most a second.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

import redis
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from producers.doorway import Doorway, Taken
from producers.group_commit import GroupCommit
from producers.limits import PROBLEM, Gate, Networks, Refused, Room, address_of
from producers.platforms.events import Delivery
from producers.platforms.served import Served
from producers.rates import Rates
from shared.errors import (
    Forbidden,
    InvalidReview,
    Malformed,
    Overloaded,
    RateLimited,
    TemporaryFailure,
    Unauthorized,
)
from shared.review import MAX_TEXT_CHARS
from shared.settings import Settings
from shared.stream.arrivals import arrivals_of
from shared.stream.store import store_of
from shared.telemetry import QUEUE_DEPTH, log

_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid review",
    429: "Too many requests",
    500: "Internal error",
    503: "Try again later",
}
# The rest of a refused body is not waited for.
_CLOSE = {"Connection": "close"}
_EXAMPLE: Any = {
    "source": "webhook",
    "external_id": "order-1042",
    "text": "Waited 50 minutes and the fries came cold.",
    "rating": 2,
    "business": "Harbour Grill",
    "created_at": "2026-11-02T18:30:00Z",
}


_PLATFORM = {
    "name": "platform",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "its name in `beyond platforms list`; a secret address has its secret behind it",
}


class ReviewIn(BaseModel):
    """The body of POST /reviews, for the API documentation; intake does the validating."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    created_at: str = Field(description="ISO 8601; UTC if without zone")
    source: str = "webhook"
    external_id: str | None = Field(
        default=None, description="the platform's own id; makes repeats and updates recognisable"
    )
    rating: Annotated[float | None, Field(ge=1, le=5)] = None
    title: str | None = None
    business: str | None = None
    author: str | None = Field(default=None, description="stored as a keyed hash only")
    url: str | None = None


class Accepted(BaseModel):
    """The answer to an accepted review."""

    id: str = Field(examples=["n7v2kq5xw3ob4zj6tdya"])
    status: str = Field(
        examples=["new"],
        description="new, updated (the old analysis is superseded), same, deleted, or stale (a "
        "newer event of this review came before)",
    )


class Deliveries(BaseModel):
    """The answer to a platform's delivery: each of its reviews, all stored or none."""

    reviews: list[Accepted]


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An RFC 9457 problem body."""
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    return JSONResponse(body, status, headers, media_type=PROBLEM)


def answer_status(taken: list[Taken]) -> int:
    """202 where something changed, 200 where all was known."""
    return 202 if {one.status for one in taken} - {"same", "stale"} else 200


def create_app(settings: Settings, connection: redis.Redis) -> FastAPI:
    """The app over one server connection.

    Raises:
        Misconfigured: no webhook secret and no token is set.
    """
    store = store_of(settings, connection)
    served = Served(settings)
    commit = GroupCommit(arrivals_of(settings, connection), settings.durable_seconds)
    rates = Rates(settings.webhook_address_rate, settings.webhook_source_rate)
    room = Room(settings.webhook_waiting, settings.webhook_max_bytes, settings.webhook_seconds)
    doorway = Doorway(served, commit, rates, settings.author_key, settings.categories)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        commit.close()

    app = FastAPI(title="Beyond Sentiment", summary="Reviews in.", version="1", lifespan=lifespan)
    if proxies := Networks(settings.trusted_proxies).names:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(proxies))
    app.add_middleware(Gate, room=room)
    speak = log("webhook")

    async def receive(request: Request, name: str, key: str = "") -> list[Taken] | Response:
        try:
            return await taken_of(request, name, key)
        except Refused as error:
            return problem(error.status, str(error), _CLOSE)
        except (Unauthorized, Forbidden, InvalidReview, TemporaryFailure) as error:
            return refusal(error)

    async def taken_of(request: Request, name: str, key: str) -> list[Taken]:
        served.refresh()
        if name not in served:
            raise Refused(404, "no such platform is served here; see `beyond platforms list`")
        address = address_of(request)
        rates.check(address)
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "send Content-Type: application/json")
        body = await room.body_of(request)
        try:
            delivery = Delivery(dict(request.headers), body, key)
            taken = await doorway.take(name, delivery, address)
        finally:
            room.release(body)
        for one in taken:
            speak.info("accepted", review_id=one.id, outcome=one.status, platform=name)
        return taken

    def refusal(error: Exception) -> Response:
        if isinstance(error, Forbidden):
            return problem(403, str(error))
        if isinstance(error, Unauthorized):
            return problem(401, str(error), {"WWW-Authenticate": "Bearer"})
        if isinstance(error, InvalidReview):
            return problem(400 if isinstance(error, Malformed) else 422, str(error))
        if isinstance(error, Overloaded):
            status = 429 if isinstance(error, RateLimited) else 503
            return problem(status, str(error), {"Retry-After": str(error.retry_after_seconds)})
        speak.warning("not_accepted", reason=str(error))
        return problem(503, str(error), {"Retry-After": "5"})

    bodies: dict[str, Any] = {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ReviewIn.model_json_schema()}},
        }
    }
    answers: dict[int | str, dict[str, Any]] = {
        202: {"model": Accepted, "description": "on disk and queued"},
        200: {"model": Accepted, "description": "known already"},
        **{
            code: {"description": _TITLES[code], "content": {PROBLEM: {}}}
            for code in (400, 401, 403, 408, 413, 415, 422, 429, 503)
        },
    }

    empty: dict[int | str, dict[str, Any]] = {204: {"description": "no event for us"}}

    @app.post(
        "/reviews",
        status_code=202,
        responses=answers,
        openapi_extra=bodies,
        summary="Send one review",
    )
    async def post_review(request: Request) -> Response:
        taken = await receive(request, "")
        if isinstance(taken, Response):
            return taken
        return JSONResponse(asdict(taken[0]), answer_status(taken))

    @app.post(
        "/reviews/{platform}",
        status_code=202,
        responses={**answers, 202: {"model": Deliveries}, 200: {"model": Deliveries}, **empty},
        openapi_extra={"parameters": [_PLATFORM]},
        summary="A platform's webhook",
    )
    async def post_delivery(request: Request) -> Response:
        asked = request.path_params
        taken = await receive(request, asked["platform"], asked.get("key", ""))
        if isinstance(taken, Response):
            return taken
        if not taken:
            return Response(status_code=204)
        return JSONResponse({"reviews": [asdict(one) for one in taken]}, answer_status(taken))

    # FastAPI documents these two and does not serve them: it looks for parameters and dependencies at
    # each call, which took a fifth of a delivery's time, and there are none.
    app.router.routes[:0] = [
        Route("/reviews", post_review, methods=["POST"]),
        Route("/reviews/{platform}", post_delivery, methods=["POST"]),
        Route("/reviews/{platform}/{key:path}", post_delivery, methods=["POST"]),
    ]

    @app.get("/healthz", summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="The server answers and can store")
    def readyz() -> Response:
        try:
            info = connection.info("persistence")
        except redis.RedisError as error:
            return problem(503, f"the Redis server does not answer: {error}")
        if not info.get("aof_enabled"):
            return problem(
                503, "the server's AOF is off: a 202 could not be honoured; set `appendonly yes`"
            )
        if info.get("aof_last_write_status") != "ok":
            return problem(503, "the server cannot write its AOF; is the disk full?")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        counts = store.counts()
        for queue in ("live", "backfill"):
            QUEUE_DEPTH.labels(queue).set(counts[queue])
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        speak.error("unexpected", exc_info=error)
        return problem(500, "unexpected error; it is in the log")

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def http_error(_: Request, error: Any) -> Response:
        return problem(error.status_code, str(error.detail))

    return app
