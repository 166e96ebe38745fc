"""The webhook: verify, parse, intake, wait for the disk, 202. An ASGI app.

It does not know platforms (producers/platforms does) nor analysis. Cost of one review: one script
on the server and one WAITAOF; with `appendfsync everysec` the answer waits for the next fsync, at
most a second.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import redis
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field

from producers.intake import Intake
from producers.platforms import platforms
from shared.errors import InvalidReview, Overloaded, TemporaryFailure, Unauthorized
from shared.review import MAX_TEXT_CHARS, Review
from shared.settings import Settings
from shared.stream.store import store_of
from shared.telemetry import QUEUE_DEPTH, REQUEST_SECONDS, log

PROBLEM = "application/problem+json"  # RFC 9457
_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid review",
    500: "Internal error",
    503: "Try again later",
}
_EXAMPLE: Any = {
    "source": "webhook",
    "external_id": "order-1042",
    "text": "Waited 50 minutes and the fries came cold.",
    "rating": 2,
    "business": "Harbour Grill",
    "created_at": "2026-11-02T18:30:00Z",
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

    id: str = Field(examples=["9f86d081884c7d659a2feaa0c5"])
    status: str = Field(
        examples=["new"], description="new, updated (the old analysis is superseded) or same"
    )


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An RFC 9457 problem body."""
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    return JSONResponse(body, status, headers, media_type=PROBLEM)


def create_app(settings: Settings, connection: redis.Redis) -> FastAPI:
    """The app over one server connection.

    Raises:
        Misconfigured: no webhook secret and no token is set.
    """
    app = FastAPI(title="Beyond Sentiment", summary="Reviews in.", version="1")
    store = store_of(settings, connection)
    intake, known = (
        Intake(store, settings.author_key, categories=settings.categories),
        platforms(settings),
    )
    speak = log("webhook")

    def accept(name: str, headers: dict[str, str], body: bytes) -> tuple[Review, str]:
        platform = known[name]
        platform.verify(headers, body)
        return [
            intake.receive(fields, settings.durable_seconds) for fields in platform.parse(body)
        ][0]

    async def receive(request: Request, name: str) -> Response:
        if (
            request.headers.get("content-type", "").split(";")[0].strip().lower()
            != "application/json"
        ):
            return problem(415, "send Content-Type: application/json")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > settings.webhook_max_bytes:
                return problem(413, f"the body is larger than {settings.webhook_max_bytes} bytes")
        try:
            review, outcome = await run_in_threadpool(accept, name, dict(request.headers), body)
        except Unauthorized as error:
            return problem(401, str(error), {"WWW-Authenticate": "Bearer"})
        except InvalidReview as error:
            return problem(400 if str(error).startswith("body:") else 422, str(error))
        except Overloaded as error:
            return problem(503, str(error), {"Retry-After": str(error.retry_after_seconds)})
        except TemporaryFailure as error:
            speak.warning("not_accepted", reason=str(error))
            return problem(503, str(error), {"Retry-After": "5"})
        speak.info("accepted", review_id=review.id, outcome=outcome)
        return JSONResponse({"id": review.id, "status": outcome}, 200 if outcome == "same" else 202)

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
            for code in (400, 401, 413, 415, 422, 503)
        },
    }

    @app.post(
        "/reviews",
        status_code=202,
        responses=answers,
        openapi_extra=bodies,
        summary="Send one review",
    )
    async def post_review(request: Request) -> Response:
        return await receive(request, "")

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

    @app.middleware("http")
    async def timed(request: Request, call_next: Any) -> Response:
        begun = time.perf_counter()
        response: Response = await call_next(request)
        REQUEST_SECONDS.labels(str(response.status_code)).observe(time.perf_counter() - begun)
        return response

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        speak.error("unexpected", exc_info=error)
        return problem(500, "unexpected error; it is in the log")

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def http_error(_: Request, error: Any) -> Response:
        return problem(error.status_code, str(error.detail))

    return app
