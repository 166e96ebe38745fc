"""What people change on the pages: issues one by one or many at once, and saved views.

No SQL, no HTML.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from consumers.dashboard.access import Reader, Writer
from consumers.dashboard.answering import Now, engine_of
from consumers.dashboard.api_reviews import IssueChange, decide
from consumers.dashboard.pages_frame import render
from consumers.record.database import writing
from consumers.record.filters import parse
from consumers.record.queries import MAX_PAGE, review_detail
from consumers.record.schema import STATUSES
from consumers.record.work import acknowledge, remove_view, save_view
from shared.errors import InvalidRequest, NotFound

router = APIRouter(include_in_schema=False)


@router.patch("/issues/{issue_id}")
@router.post("/issues/{issue_id}")
def change_issue(
    request: Request,
    scope: Writer,
    now: Now,
    issue_id: str,
    status: Annotated[str, Form()] = "",
    owner: Annotated[str, Form(max_length=100)] = "",
    note: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Status, owner and note of one issue.

    The part of the page comes back, or the page where scripts are off.
    """
    after = decide(request, scope, issue_id, _change(status, owner.strip(), note.strip()), now)
    if not request.headers.get("hx-request"):
        return RedirectResponse(f"/reviews/{after.review_id}#issue-{issue_id}", 303)
    with engine_of(request).connect() as connection:
        review = review_detail(connection, scope, after.review_id)
    return render(
        request,
        "issue_saved.html",
        issue=after,
        review=review,
        statuses=STATUSES,
        saved="Saved.",
    )


@router.post("/reviews/bulk")
def change_many(
    request: Request,
    scope: Writer,
    now: Now,
    id: Annotated[list[str], Form()] = [],  # noqa: B006  FastAPI copies it
    status: Annotated[str, Form()] = "",
    owner: Annotated[str, Form(max_length=100)] = "",
    query: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Set status and owner of all shown issues of the ticked reviews; an empty field leaves what is there.

    Raises:
        InvalidRequest: nothing was ticked, or nothing was chosen.
    """
    if not id:
        raise InvalidRequest("tick the reviews to change first")
    if len(id) > MAX_PAGE:
        raise InvalidRequest(f"at most {MAX_PAGE} reviews at once")
    if not status and not owner.strip():
        raise InvalidRequest("choose a status or an owner to set")
    with engine_of(request).connect() as connection:
        found = [review_detail(connection, scope, one) for one in id]
    for review in found:
        if review is None:
            raise NotFound("one of the ticked reviews is not there any more; reload the list")
        for issue in review.issues:
            decide(request, scope, issue.id, _change(status, owner.strip() or None, None), now)
    return _list(query)


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge_alert(
    request: Request,
    scope: Writer,
    now: Now,
    alert_id: str,
    query: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Say that an alert was seen, and go back to the overview."""
    with writing(engine_of(request)) as connection:
        acknowledge(connection, scope, alert_id, now)
    return RedirectResponse(f"/?{urlencode(parse_qsl(query))}", 303)


@router.post("/reviews/views")
def keep_view(
    request: Request,
    scope: Reader,
    name: Annotated[str, Form(max_length=100)] = "",
    query: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Keep the list's filters under a name.

    Raises:
        InvalidRequest: the name is empty, or there are too many views.
    """
    if not name.strip():
        raise InvalidRequest("name: give the view a name")
    with writing(engine_of(request)) as connection:
        save_view(connection, scope, name.strip(), parse(parse_qsl(query)).query)
    return _list(query)


@router.post("/reviews/views/{number}/delete")
def drop_view(
    request: Request, scope: Reader, number: int, query: Annotated[str, Form()] = ""
) -> Response:
    """Forget a saved view."""
    with writing(engine_of(request)) as connection:
        remove_view(connection, scope, number)
    return _list(query)


def _list(query: str) -> Response:
    """Back to the list with the same filters."""
    kept = parse(parse_qsl(query)).query
    return RedirectResponse(f"/reviews?{kept}" if kept else "/reviews", 303)


def _change(status: str, owner: str | None, note: str | None) -> IssueChange:
    if status and status not in STATUSES:
        raise InvalidRequest(f"status: {status!r} is none of {', '.join(STATUSES)}")
    given: dict[str, Any] = {"status": status or None, "owner": owner, "note": note}
    return IssueChange(**given)
