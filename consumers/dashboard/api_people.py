"""/v1/reviews/ID/reply, /v1/views, /v1/alerts: what people write and acknowledge.

It does not know SQL.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from consumers.dashboard.access import Reader, Writer
from consumers.dashboard.answering import Now, Reading, answer, engine_of, problems, replies_of
from consumers.dashboard.api_reviews import ReviewId
from consumers.record.answers_people import Alert, AlertList, Reply, ReplyJob, View, ViewList
from consumers.record.database import writing
from consumers.record.filters import parse
from consumers.record.queries import reply
from consumers.record.stored import one
from consumers.record.work import acknowledge, list_alerts, list_views, remove_view, save_view
from consumers.replies.drafts import MAX_REPLY_CHARS, approve, ask, edit, mark_copied
from shared.errors import NotFound
from shared.review import Frozen

router = APIRouter(prefix="/v1", tags=["people"])
_BEING_WRITTEN: dict[int | str, dict[str, Any]] = {
    202: {"description": "a worker writes it; ask again", "model": ReplyJob}
}


class ReplyText(Frozen):
    """The reply as a person wants it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Thank you for telling us. We are sorry."}]}
    )
    text: str = Field(min_length=1, max_length=MAX_REPLY_CHARS)


class NewView(Frozen):
    """A view to save: the query string of the list of reviews."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Urgent", "query": "urgency=high&status=open"}]}
    )
    name: str = Field(min_length=1, max_length=100)
    query: str = Field(max_length=2000)


@router.get(
    "/reviews/{review_id}/reply",
    response_model=Reply,
    responses=problems(304, 404) | _BEING_WRITTEN,
    summary="The reply to a review",
)
def get_reply(
    request: Request, scope: Reader, connection: Reading, review_id: ReviewId
) -> Response:
    """404 until one was asked for or written; 202 while a worker writes it, or where it failed to."""
    if (found := reply(connection, scope, review_id)) is not None:
        return answer(request, found)
    reachable = one(connection, scope, review_id) is not None
    wanted = replies_of(request).wanted(review_id) if reachable else None
    if wanted is None:
        raise NotFound(f"no reply to a review {review_id}")
    job = ReplyJob(review_id=review_id, state=wanted.state, reason=wanted.reason)
    return answer(request, job, 202)


@router.post(
    "/reviews/{review_id}/reply",
    response_model=Reply,
    responses=problems(404, 409) | _BEING_WRITTEN,
    summary="Ask for a draft",
)
def post_reply(
    request: Request, scope: Writer, connection: Reading, review_id: ReviewId
) -> Response:
    """A worker writes it (202); an edited or approved one is given as it is (200)."""
    found = ask(connection, scope, replies_of(request), review_id)
    if found is not None:
        return answer(request, found)
    return answer(request, ReplyJob(review_id=review_id, state="being written"), 202)


@router.put(
    "/reviews/{review_id}/reply",
    response_model=Reply,
    responses=problems(404, 422),
    summary="Write or edit the reply",
)
def put_reply(
    request: Request, scope: Writer, review_id: ReviewId, body: ReplyText, now: Now
) -> Response:
    """An approved reply that is edited must be approved again."""
    with writing(engine_of(request)) as connection:
        return answer(request, edit(connection, scope, review_id, body.text, int(now)))


@router.post(
    "/reviews/{review_id}/reply/approve",
    response_model=Reply,
    responses=problems(400, 404),
    summary="Approve the reply",
)
def post_approval(request: Request, scope: Writer, review_id: ReviewId, now: Now) -> Response:
    """400 where the guard holds it; `detail` names the rule. Nothing is ever posted anywhere."""
    with writing(engine_of(request)) as connection:
        return answer(request, approve(connection, scope, review_id, int(now)))


@router.post(
    "/reviews/{review_id}/reply/copied",
    response_model=Reply,
    responses=problems(404, 409),
    summary="Note that the reply was taken",
)
def post_copied(request: Request, scope: Writer, review_id: ReviewId, now: Now) -> Response:
    """A person took the approved text to publish it."""
    with writing(engine_of(request)) as connection:
        return answer(request, mark_copied(connection, scope, review_id, int(now)))


@router.get("/views", response_model=ViewList, responses=problems(304), summary="Saved views")
def get_views(request: Request, scope: Reader, connection: Reading) -> Response:
    """Your own token's."""
    return answer(request, ViewList(views=list_views(connection, scope)))


@router.post(
    "/views",
    response_model=View,
    status_code=201,
    responses=problems(400, 422),
    summary="Save a view",
)
def post_view(request: Request, scope: Reader, body: NewView) -> Response:
    """The same name again replaces it. Anyone who may read may keep views."""
    kept = parse(parse_qsl(body.query)).query
    with writing(engine_of(request)) as connection:
        return answer(request, save_view(connection, scope, body.name.strip(), kept), 201)


@router.delete("/views/{number}", status_code=204, responses=problems(404), summary="Forget a view")
def delete_view(request: Request, scope: Reader, number: Annotated[int, Path(ge=1)]) -> Response:
    """One of your own token's."""
    with writing(engine_of(request)) as connection:
        remove_view(connection, scope, number)
    return Response(status_code=204)


@router.get("/alerts", response_model=AlertList, responses=problems(304), summary="Alerts")
def get_alerts(
    request: Request,
    scope: Reader,
    connection: Reading,
    waiting: Annotated[bool, Query(description="only those that nobody acknowledged")] = False,
) -> Response:
    """The newest 200."""
    return answer(request, AlertList(alerts=list_alerts(connection, scope, waiting=waiting)))


@router.post(
    "/alerts/{alert_id}/acknowledge",
    response_model=Alert,
    responses=problems(404),
    summary="Acknowledge an alert",
)
def post_acknowledgement(
    request: Request, scope: Writer, alert_id: Annotated[str, Path(max_length=40)], now: Now
) -> Response:
    """Who did so first stays."""
    with writing(engine_of(request)) as connection:
        return answer(request, acknowledge(connection, scope, alert_id, now))
