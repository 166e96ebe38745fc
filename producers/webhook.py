"""The webhook: HTTP around a Doorway, which answers once a delivery is on disk. An ASGI app.

It does not know platforms (producers/platforms does), storage nor analysis. What arrives while a
write is under way shares the next one's script and WAITAOF (group_commit.py); behind which limits it
stands: connections.py, limits.py, rates.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import redis
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from producers.answers import (
    PLATFORM_PARAMETER,
    REVIEW_BODY,
    Accepted,
    Deliveries,
    documented,
    problem,
)
from producers.doorway import Doorway, Taken
from producers.group_commit import GroupCommit
from producers.limits import Gate, Networks, Refused, Room, address_of
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
from shared.settings import Settings
from shared.stream.arrivals import arrivals_of
from shared.stream.polling import Wanted
from shared.stream.store import store_of
from shared.telemetry import QUEUE_DEPTH, log

# The rest of a refused body is not waited for.
_CLOSE = {"Connection": "close"}


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
    doorway = Doorway(
        served,
        commit,
        rates,
        Wanted(connection),
        settings.author_key,
        settings.durable_seconds,
        settings.categories,
    )

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

    @app.post(
        "/reviews",
        status_code=202,
        responses=documented(Accepted),
        openapi_extra=REVIEW_BODY,
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
        responses=documented(Deliveries, (204,)),
        openapi_extra={"parameters": [PLATFORM_PARAMETER]},
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
