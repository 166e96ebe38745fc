"""A review's reply on its page: ask for a draft, see it arrive, edit, approve, copy.

Nothing is posted. It does not know how drafts are worded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from consumers.dashboard.access import Reader, Writer
from consumers.dashboard.answering import Now, engine_of, replies_of
from consumers.dashboard.pages_frame import render
from consumers.record.answers import ReviewDetail
from consumers.record.database import writing
from consumers.record.queries import reply, review_detail
from consumers.record.scope import Scope
from consumers.replies import drafts
from shared.errors import Conflict, InvalidRequest, NotFound, TemporaryFailure
from shared.replies.compose import NoReply
from shared.stream.replies import Wanted

router = APIRouter(include_in_schema=False, prefix="/reviews/{review_id}/reply")
Text = Annotated[str, Form(max_length=20_000)]


@router.get("")
def look(request: Request, scope: Reader, review_id: str) -> Response:
    """What became of the draft: the page asks while it is being written."""
    return _shown(request, scope, review_id)


@router.post("/draft")
def draft(request: Request, scope: Writer, review_id: str) -> Response:
    """Have a draft written where there is none."""
    return _do(
        request,
        scope,
        review_id,
        "",
        lambda c: drafts.ask(c, scope, replies_of(request), review_id),
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


def wanted_reply(request: Request, review: ReviewDetail) -> Wanted | None:
    """What became of the request for a draft, where there is no reply yet; None: nobody asked.

    Without the server nobody can tell, and the page is there all the same.
    """
    if review.reply is not None:
        return None
    try:
        return replies_of(request).wanted(review.id)
    except TemporaryFailure:
        return None


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
    return _shown(request, scope, review_id, problem, "" if problem else saved)


def _shown(
    request: Request, scope: Scope, review_id: str, problem: str = "", saved: str = ""
) -> Response:
    """The reply as it is now: the part of the page, or a page of its own without scripts."""
    with engine_of(request).connect() as connection:
        review = review_detail(connection, scope, review_id)
    if review is None:
        raise NotFound("there is no such review, or your token does not reach it")
    values: dict[str, Any] = {
        "review": review,
        "wanted": wanted_reply(request, review),
        "problem": problem,
        "saved": saved,
    }
    if not request.headers.get("hx-request"):
        return render(request, "reply_alone.html", "Reviews", **values)
    return render(request, "reply_saved.html", **values)


def _lines(text: str) -> str:
    """Forms send CR LF."""
    return text.replace("\r\n", "\n").strip()
