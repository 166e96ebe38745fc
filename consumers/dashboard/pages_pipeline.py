"""The pipeline for those who run it: queues, workers, dead letters, adapters. For admins of all businesses only.

It does not know Redis keys or adapter folders (shared/stream and shared/inference do).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import redis
from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from consumers.dashboard.access import Admin
from consumers.dashboard.answering import Reading
from consumers.dashboard.pages_frame import render
from consumers.record.queries_themes import meta
from consumers.record.scope import Scope
from shared.errors import BeyondError, Forbidden, InvalidRequest, NotFound, TemporaryFailure
from shared.inference.adapters import default_for, open_registry
from shared.inference.manifest import PACKAGED_PREFIX, Manifest
from shared.settings import Settings
from shared.stream.names import BACKFILL, LIVE, TRAINING
from shared.stream.recovery import DeadLetter, dead_letters, drop, requeue
from shared.stream.status import status

router = APIRouter(include_in_schema=False, prefix="/pipeline")
QUEUES = (LIVE, BACKFILL, TRAINING)
_TASKS = ("issues", "reply")  # whose adapters serve
_SCORES = 6
_LETTERS = 20  # of each queue; the command line has all


@router.get("")
def pipeline(request: Request, scope: Admin, record: Reading, told: str = "") -> Response:
    """All of it; where the stream's server is away the page says so."""
    _everything(scope)
    connection = request.app.state.redis
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
        problem="",
        told=_TOLD.get(told, ""),
        status=found,
        memory=_mib(found.memory_bytes),
        memory_limit=_mib(found.memory_limit_bytes) if found.memory_limit_bytes else "",
        letters=[_shown(letter) for letter in letters],
        more_letters=dead - len(letters),
        read_at=meta(record, scope).read_at,
        **_adapters(request.app.state.settings),
    )


@router.post("/letters")
def change_letters(
    request: Request,
    scope: Admin,
    do: Annotated[str, Form()],
    job: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Retry or drop one dead letter; without `job`, retry all.

    Raises:
        NotFound: it is none any more.
    """
    _everything(scope)
    if do not in ("retry", "drop") or (do == "drop" and not job):
        raise InvalidRequest("do: retry, or drop with a job")
    connection = request.app.state.redis
    chosen = [x for x in dead_letters(connection, QUEUES) if not job or x.job_id == job]
    if job and not chosen:
        raise NotFound("this dead letter is gone: somebody else has seen to it")
    for letter in chosen:
        (requeue if do == "retry" else drop)(connection, letter)
    return RedirectResponse(f"/pipeline?told={'retried' if do == 'retry' else 'dropped'}", 303)


@router.post("/adapters")
def change_adapter(
    request: Request,
    scope: Admin,
    adapter: Annotated[str, Form(max_length=200)] = "",
    rollback: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Put an adapter in force, or go back to the one before; workers take it up between two batches.

    Raises:
        InvalidRequest: the adapter is missing or damaged; the one in force stays.
    """
    _everything(scope)
    registry = open_registry(request.app.state.settings)
    try:
        if rollback:
            registry.rollback(rollback)
        else:
            registry.promote(adapter)
    except TemporaryFailure:
        raise
    except BeyondError as error:
        raise InvalidRequest(str(error)) from None
    return RedirectResponse(f"/pipeline?told={'back' if rollback else 'promoted'}", 303)


# What an address may make the page say.
_TOLD = {
    "retried": "The dead letters wait in their queue again.",
    "dropped": "The dead letter was dropped; its reviews stay stored, without analysis.",
    "promoted": "The adapter is in force; workers take it up between two batches.",
    "back": "The adapter before is in force again; workers take it up between two batches.",
}


def _everything(scope: Scope) -> None:
    if scope.business is not None:
        raise Forbidden("the pipeline belongs to no business; your token is for one")


def _shown(letter: DeadLetter) -> dict[str, Any]:
    since = datetime.fromtimestamp(letter.failed_at, UTC) if letter.failed_at else None
    return {
        "job": letter.job_id,
        "queue": letter.queue,
        "reason": letter.reason,
        "since": since,
        "reviews": letter.review_ids,
    }


def _adapters(settings: Settings) -> dict[str, Any]:
    """The registry's, newest first, then the packaged ones that serve.

    A registry that is away is said, not hidden.
    """
    try:
        registry = open_registry(settings)
        serving = {task: default_for(registry, task, settings) for task in _TASKS}
        found = {m.id: m for m in reversed(registry.all())}
        own = set(found)
        found |= {n: registry.manifest(n) for n in serving.values() if n and n not in own}
    except BeyondError as error:
        return {"adapters": [], "adapters_problem": str(error), "tasks": []}
    return {
        "adapters": [_adapter(n, m, n in serving.values()) for n, m in found.items()],
        "adapters_problem": "",
        "tasks": [task for task in _TASKS if serving[task] in own],
    }


def _adapter(name: str, manifest: Manifest, serves: bool) -> dict[str, Any]:
    scores = list(manifest.scores.items())[:_SCORES]
    return {
        "name": name,
        "tasks": ", ".join([manifest.task, *manifest.also]),
        "base": manifest.base,
        "serves": serves,
        "packaged": name.startswith(PACKAGED_PREFIX),
        "scores": ", ".join(f"{measure} {value:.3g}" for measure, value in scores),
    }


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
