"""Signing in and out, and the page that says what went wrong.

It does not know what a session is made of.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from consumers.dashboard.access import Reader, access_of
from consumers.dashboard.pages_frame import HEADERS, render
from shared.errors import Unauthorized

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
def sign_in_page(request: Request, next: str = "/") -> Response:
    """The form."""
    return render(request, "signin.html", next=_ours(next), problem="")


@router.post("/sign-in")
def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form(max_length=4000)] = "/",
) -> Response:
    """Open a session and go where the reader wanted to."""
    place = _ours(next)
    # Another site could sign the reader in with its own token, and read what is written then.
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        why = "This form came from another site. Please sign in here."
        return render(request, "signin.html", status_code=403, next=place, problem=why)
    answer = RedirectResponse(place, 303, headers=HEADERS)
    try:
        access_of(request).sign_in(request, answer, token)
    except Unauthorized as error:
        why = str(error)[0].upper() + str(error)[1:] + "."
        return render(request, "signin.html", status_code=401, next=place, problem=why)
    return answer


@router.post("/sign-out")
def sign_out(request: Request, scope: Reader) -> Response:
    """Forget the session in this browser."""
    answer = RedirectResponse("/sign-in", 303, headers=HEADERS)
    access_of(request).sign_out(answer)
    return answer


def error_page(request: Request, status: int, detail: str) -> Response:
    """What went wrong, as a page; for a part of a page as one sentence, which page.js shows."""
    said = detail[:1].upper() + detail[1:]
    if request.headers.get("hx-request"):
        return PlainTextResponse(said, status, headers=HEADERS)
    title = "Not found" if status == 404 else HTTPStatus(status).phrase
    return render(request, "problem.html", status_code=status, title=title, detail=said)


def _ours(place: str) -> str:
    """A path of this site; `//elsewhere` and addresses with a scheme lead to the overview instead."""
    inside = place.startswith("/") and not place.startswith(("//", "/\\"))
    return place if inside and place.isprintable() else "/"
