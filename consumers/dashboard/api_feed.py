"""/v1/feed: what changes, as Server-Sent Events, for pages and programs that follow.

It does not know the feed's form.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from consumers.dashboard.access import Reader
from consumers.dashboard.answering import engine_of, problems
from consumers.dashboard.following import Following

router = APIRouter(prefix="/v1", tags=["feed"])
_LOOK_SECONDS = 0.5
# Then the follower comes again and shows its token again: a revoked one does not follow for ever.
_LOOKS = 1200
_AGAIN_MILLISECONDS = 2000


@router.get(
    "/feed",
    response_class=EventSourceResponse,
    responses=problems(),
    summary="What changes, as it happens",
)
async def get_feed(
    request: Request,
    scope: Reader,
    last_event_id: Annotated[str, Header(max_length=40, pattern=r"^(\d+-\d+)?$")] = "",
) -> AsyncIterator[ServerSentEvent]:
    """Server-Sent Events "news": ids of reviews that changed. Goes on after Last-Event-ID."""
    follow = Following(engine_of(request), request.app.state.redis, scope)
    place = last_event_id or await run_in_threadpool(follow.place)
    yield ServerSentEvent(comment="following", retry=_AGAIN_MILLISECONDS, id=place or None)
    for _ in range(_LOOKS):
        place, news = await run_in_threadpool(follow.since, place)
        if news is not None:
            yield ServerSentEvent(event="news", id=place, data=news)
        await asyncio.sleep(_LOOK_SECONDS)
