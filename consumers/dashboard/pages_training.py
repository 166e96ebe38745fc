"""The trainer's report as a page, with its pictures. For admins of all businesses only.

It does not know what is in a run's folder (trainings.py does).
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from consumers.dashboard.access import Admin
from consumers.dashboard.pages_frame import HEADERS, render
from consumers.dashboard.trainings import picture, report_text, training
from consumers.record.scope import Scope
from shared.errors import Forbidden, NotFound

router = APIRouter(include_in_schema=False, prefix="/pipeline/trainings")


@router.get("/{name}")
def training_page(request: Request, scope: Admin, name: str) -> Response:
    """What a training compared, and why it was promoted or refused."""
    every_business(scope)
    home = request.app.state.settings.home
    found, text = training(home, name), report_text(home, name)
    if found is None or text is None:
        raise NotFound("there is no report of such a training on this machine")
    shown = _html(text, f"/pipeline/trainings/{quote(name)}")
    return render(request, "training.html", "Pipeline", training=found, report=shown)


@router.get("/{name}/{file}")
def training_picture(request: Request, scope: Admin, name: str, file: str) -> Response:
    """A picture of the report."""
    every_business(scope)
    path = picture(request.app.state.settings.home, name, file)
    if path is None:
        raise NotFound("there is no such picture")
    return FileResponse(path, media_type="image/png", headers=HEADERS)


def every_business(scope: Scope) -> None:
    """Refuse a token of one business.

    Raises:
        Forbidden: the pipeline belongs to no business.
    """
    if scope.business is not None:
        raise Forbidden("the pipeline belongs to no business; your token is for one")


@cache
def _markdown() -> MarkdownIt:
    # HTML in it stays text: names of adapters and teachers come from people.
    found = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink"])
    found.add_render_rule("table_open", _table_open)
    found.add_render_rule("table_close", _table_close)
    return found


def _html(text: str, place: str) -> Markup:
    """The report below its title, which is the page's own; pictures come from `place`."""
    tokens = _markdown().parse(text)
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        tokens = tokens[3:]
    for token in (inner for outer in tokens for inner in outer.children or ()):
        if token.type == "image":
            token.attrSet("src", f"{place}/{quote(str(token.attrGet('src')), safe='')}")
    return Markup(_markdown().renderer.render(tokens, _markdown().options, {}))


def _table_open(_self: Any, tokens: Any, at: int, *_rest: Any) -> str:
    # It is wider than a telephone: scrolled by itself, by keyboard too.
    return '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>'


def _table_close(_self: Any, tokens: Any, at: int, *_rest: Any) -> str:
    return "</table></div>"
