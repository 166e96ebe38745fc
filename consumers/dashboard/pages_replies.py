"""A review's reply on its page: draft, edit, approve, copy.

Nothing is posted. It does not know how drafts are worded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from consumers.dashboard.access import Writer
from consumers.dashboard.answering import Now, engine_of
from consumers.dashboard.pages_frame import render
from consumers.record.database import writing
from consumers.record.queries import reply, review_detail
from consumers.record.scope import Scope
from consumers.replies import drafts
from consumers.replies.compose import NoReply
from shared.errors import Conflict, InvalidRequest, NotFound

router = APIRouter(include_in_schema=False, prefix="/reviews/{review_id}/reply")
Text = Annotated[str, Form(max_length=20_000)]


@router.post("/draft")
def draft(request: Request, scope: Writer, now: Now, review_id: str) -> Response:
    """Compose a reply where there is none."""
    return _do(
        request, scope, review_id, "Drafted.", lambda c: drafts.draft(c, scope, review_id, int(now))
    )


@router.put("")
@router.post("")
def edit(request: Request, scope: Writer, now: Now, review_id: str, text: Text = "") -> Response:
    """Keep what a person wrote."""
    return _do(
        request,
        scope,
        review_id,
        "Saved.",
        lambda c: drafts.edit(c, scope, review_id, _lines(text), int(now)),
    )


@router.post("/approve")
def approve(request: Request, scope: Writer, now: Now, review_id: str, text: Text = "") -> Response:
    """Approve the text as it stands in the form."""

    def both(connection: Connection) -> None:
        kept = reply(connection, scope, review_id)
        if kept is None or kept.text != _lines(text):
            drafts.edit(connection, scope, review_id, _lines(text), int(now))
        drafts.approve(connection, scope, review_id, int(now))

    return _do(request, scope, review_id, "Approved. Copy it to where the review stands.", both)


@router.post("/copied")
def copied(request: Request, scope: Writer, now: Now, review_id: str) -> Response:
    """Note that a person took the approved text."""
    return _do(
        request,
        scope,
        review_id,
        "Copied.",
        lambda c: drafts.mark_copied(c, scope, review_id, int(now)),
    )


def _do(
    request: Request,
    scope: Scope,
    review_id: str,
    saved: str,
    change: Callable[[Connection], object],
) -> Response:
    """Make the change.

    What the writer must mend is said beside the text, which stays as it was written.
    """
    problem = ""
    try:
        with writing(engine_of(request)) as connection:
            change(connection)
    except (NoReply, InvalidRequest, Conflict) as error:
        problem = str(error)[:1].upper() + str(error)[1:]
    if not request.headers.get("hx-request") and not problem:
        return RedirectResponse(f"/reviews/{review_id}#reply", 303)
    with engine_of(request).connect() as connection:
        review = review_detail(connection, scope, review_id)
    if review is None:
        raise NotFound("there is no such review, or your token does not reach it")
    values: dict[str, Any] = {
        "review": review,
        "problem": problem,
        "saved": "" if problem else saved,
    }
    if not request.headers.get("hx-request"):
        return render(request, "reply_alone.html", "Reviews", **values)
    return render(request, "reply_saved.html", **values)


def _lines(text: str) -> str:
    """Forms send CR LF."""
    return text.replace("\r\n", "\n").strip()
