"""/v1/reviews and /v1/issues: lists, one of them, and what people decide about an issue.

It does not know SQL (consumers/record does).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict, Field

from consumers.dashboard.access import Reader, Writer
from consumers.dashboard.answering import (
    Cursor,
    Filtered,
    Limit,
    Now,
    Reading,
    answer,
    engine_of,
    filter_parameters,
    fits,
    problems,
)
from consumers.record.answers import IssuePage, IssueRow, ReviewDetail, ReviewPage
from consumers.record.database import writing
from consumers.record.filters import Status
from consumers.record.queries import issue, issue_page, review_detail, review_page
from consumers.record.work import change_issue, verdict_of
from shared.errors import NotFound, Stale
from shared.review import Frozen
from shared.stream.verdicts import note_verdicts

router = APIRouter(prefix="/v1", tags=["reviews"])
ReviewId = Annotated[str, Path(max_length=80, examples=["n7v2kq5xw3ob4zj6tdya"])]
IssueId = Annotated[str, Path(max_length=20, examples=["9c1185a5c5e9fc546128"])]


class IssueChange(Frozen):
    """What to change; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "in progress", "owner": "Ana", "note": ""}]}
    )
    status: Status | None = None
    owner: str | None = Field(default=None, max_length=100)
    note: str | None = Field(default=None, max_length=5000)


@router.get(
    "/reviews",
    response_model=ReviewPage,
    responses=problems(304, 400),
    openapi_extra=filter_parameters(),
    summary="Reviews, newest first",
)
def get_reviews(
    request: Request,
    scope: Reader,
    connection: Reading,
    filters: Filtered,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """A page of the reviews that fit all filters. Pages stay stable while reviews come in."""
    return answer(request, review_page(connection, scope, filters, limit=limit, cursor=cursor))


@router.get(
    "/reviews/{review_id}",
    response_model=ReviewDetail,
    responses=problems(304, 404),
    summary="One review with all that is known",
)
def get_review(
    request: Request, scope: Reader, connection: Reading, review_id: ReviewId
) -> Response:
    """Text, analysis, issues with their state, history and reply."""
    found = review_detail(connection, scope, review_id)
    if found is None:
        raise NotFound(f"no review {review_id}")
    return answer(request, found)


@router.get(
    "/issues",
    response_model=IssuePage,
    responses=problems(304, 400),
    openapi_extra=filter_parameters(),
    summary="Issues, newest first",
)
def get_issues(
    request: Request,
    scope: Reader,
    connection: Reading,
    filters: Filtered,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """A page of the shown issues that fit all filters, by the date of their review."""
    return answer(request, issue_page(connection, scope, filters, limit=limit, cursor=cursor))


@router.get(
    "/issues/{issue_id}",
    response_model=IssueRow,
    responses=problems(304, 404),
    summary="One issue",
)
def get_issue(request: Request, scope: Reader, connection: Reading, issue_id: IssueId) -> Response:
    """Its ETag may stand in If-Match of a PATCH."""
    found = issue(connection, scope, issue_id)
    if found is None:
        raise NotFound(f"no issue {issue_id}")
    return answer(request, found)


@router.patch(
    "/issues/{issue_id}",
    response_model=IssueRow,
    responses=problems(404, 412, 422),
    summary="Status, owner, note",
)
def patch_issue(
    request: Request, scope: Writer, issue_id: IssueId, change: IssueChange, now: Now
) -> Response:
    """Change what is given. "not an issue" is also a label for the next training."""
    return answer(request, decide(request, scope, issue_id, change, now))


def decide(
    request: Request, scope: Writer, issue_id: str, change: IssueChange, now: float
) -> IssueRow:
    """Change an issue, and tell the trainer what its status means; pages use it too.

    Raises:
        NotFound: there is no such issue in the scope.
        Stale: If-Match does not fit any more.
        TemporaryFailure: the server is away; nothing was changed.
    """
    with writing(engine_of(request)) as connection:
        before = issue(connection, scope, issue_id)
        if before is not None and not fits(request, before):
            raise Stale("the issue was changed meanwhile; read it again")
        after = change_issue(connection, scope, issue_id, now, **change.model_dump())
        if before is not None and before.status != after.status:
            # Before the commit: a verdict that the trainer cannot get is not shown as given.
            note_verdicts(request.app.state.redis, {issue_id: verdict_of(connection, after)})
    return after
