"""The pipeline for those who run it: queues, workers, dead letters, adapters. For admins of all businesses only.

It does not know Redis keys (shared/stream does), adapters (pages_adapters.py) or trainings.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import redis
from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from consumers.dashboard.access import Admin
from consumers.dashboard.answering import Reading
from consumers.dashboard.pages_adapters import adapter_values, move
from consumers.dashboard.pages_frame import render
from consumers.dashboard.pages_training import every_business
from consumers.dashboard.trainings import last_training
from consumers.record.queries_themes import meta
from consumers.record.scope import Scope
from shared.errors import InvalidRequest, NotFound, TemporaryFailure
from shared.stream.calls import call
from shared.stream.names import BACKFILL, LIVE, TRAINING
from shared.stream.recovery import DeadLetter, dead_letters, drop, requeue
from shared.stream.status import Status, status

router = APIRouter(include_in_schema=False, prefix="/pipeline")
QUEUES = (LIVE, BACKFILL, TRAINING)
_LETTERS = 20  # of each queue; the command line has all


@router.get("")
def pipeline(request: Request, scope: Admin, record: Reading, told: str = "") -> Response:
    """All of it; where the stream's server is away the page says so."""
    every_business(scope)
    return _page(request, scope, record, told=_TOLD.get(told, ""))


@router.get("/now")
def pipeline_now(request: Request, scope: Admin, record: Reading) -> Response:
    """Queues, workers and counts alone: the part of the page that asks for itself again.

    Raises:
        TemporaryFailure: the server is away; what is shown stays.
    """
    every_business(scope)
    try:
        found = status(request.app.state.redis, QUEUES)
    except redis.RedisError as error:
        raise TemporaryFailure(f"the stream does not answer: {error}") from error
    return render(request, "pipeline_now.html", "Pipeline", **_now(found, record, scope))


@router.post("/letters")
def change_letters(
    request: Request,
    scope: Admin,
    record: Reading,
    do: Annotated[str, Form()],
    job: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Retry or drop one dead letter; without `job`, retry all. What the server refuses is said on the page.

    Raises:
        NotFound: it is none any more.
    """
    every_business(scope)
    if do not in ("retry", "drop") or (do == "drop" and not job):
        raise InvalidRequest("do: retry, or drop with a job")
    connection = request.app.state.redis
    chosen = [x for x in dead_letters(connection, QUEUES) if not job or x.job_id == job]
    if job and not chosen:
        raise NotFound("this dead letter is gone: somebody else has seen to it")
    change = requeue if do == "retry" else drop
    try:
        for letter in chosen:
            call(partial(change, connection, letter))
    except TemporaryFailure as error:  # the dashboard's user of the server may not, say
        return _page(request, scope, record, refused=str(error))
    return RedirectResponse(f"/pipeline?told={'retried' if do == 'retry' else 'dropped'}", 303)


@router.post("/adapters")
def change_adapter(
    request: Request,
    scope: Admin,
    record: Reading,
    adapter: Annotated[str, Form(max_length=200)] = "",
    rollback: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Put an adapter in force, or go back to the one before; workers take it up between two batches.

    What cannot be is said on the page, and the one in force stays.
    """
    every_business(scope)
    try:
        said = move(request.app.state.settings, adapter, rollback)
    except InvalidRequest as error:
        return _page(request, scope, record, refused=str(error))
    return RedirectResponse(f"/pipeline?told={said}", 303)


def _page(
    request: Request, scope: Scope, record: Connection, *, told: str = "", refused: str = ""
) -> Response:
    connection, settings = request.app.state.redis, request.app.state.settings
    try:
        found = status(connection, QUEUES)
        letters = dead_letters(connection, QUEUES, _LETTERS)
    except (TemporaryFailure, redis.RedisError) as error:
        return render(request, "pipeline.html", "Pipeline", problem=str(error))
    dead = sum(queue.dead_letters for queue in found.queues.values())
    return render(
        request,
        "pipeline.html",
        "Pipeline",
        status_code=400 if refused else 200,
        problem="",
        told=told,
        refused=refused,
        letters=[_shown(letter) for letter in letters],
        more_letters=dead - len(letters),
        training=last_training(settings.home),
        **_now(found, record, scope),
        **adapter_values(settings),
    )


def _now(found: Status, record: Connection, scope: Scope) -> dict[str, Any]:
    """The values of pipeline_now.html."""
    return {
        "status": found,
        "memory": _mib(found.memory_bytes),
        "memory_limit": _mib(found.memory_limit_bytes) if found.memory_limit_bytes else "",
        "read_at": meta(record, scope).read_at,
    }


# What an address may make the page say.
_TOLD = {
    "retried": "The dead letters wait in their queue again.",
    "dropped": "The dead letter was dropped; its reviews stay stored, without analysis.",
    "promoted": "The adapter is in force; workers take it up between two batches.",
    "back": "The adapter before is in force again; workers take it up between two batches.",
    "idle": "The adapter is promoted, but it was trained on another base than this installation "
    "serves: workers go on with what they have.",
}


def _shown(letter: DeadLetter) -> dict[str, Any]:
    since = datetime.fromtimestamp(letter.failed_at, UTC) if letter.failed_at else None
    return {
        "job": letter.job_id,
        "queue": letter.queue,
        "reason": letter.reason,
        "since": since,
        "reviews": letter.review_ids,
    }


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
