"""The frame of every page: templates, their filters, static files and the headers that guard a page.

It knows who is signed in only as a Scope, and no queries.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request

from consumers.dashboard import charts
from consumers.record.scope import Scope

_HERE = Path(__file__).parent
STATIC_FOLDER = _HERE / "static"
STATIC = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "htmx.LICENSE.txt": "text/plain",
}
# Scripts and styles only from our own files: a review that brings its own is words, nothing else.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
NAVIGATION: tuple[tuple[str, str], ...] = (
    ("Overview", "/"),
    ("Reviews", "/reviews"),
    ("Themes", "/themes"),
    ("Compare", "/compare"),
)


def navigation_for(scope: Scope | None) -> tuple[tuple[str, str], ...]:
    """(name, address) of the pages that this reader may open."""
    out = NAVIGATION
    if scope is not None and scope.role != "read":
        out += (("Voices", "/voices"),)
    if scope is not None and scope.role == "admin":
        out += (("Pipeline", "/pipeline"),) if scope.business is None else ()
        out += (("Tokens", "/tokens"),)
    return out


def day_name(moment: datetime | date | None) -> str:
    """Such as: 3 Nov 2026. The reader's zone comes from the script in the page."""
    if moment is None:
        return "never"
    return f"{moment.day} {moment:%b %Y}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@cache
def _fingerprint(name: str) -> str:
    return hashlib.blake2b((STATIC_FOLDER / name).read_bytes(), digest_size=6).hexdigest()


def static_address(name: str) -> str:
    """The address of a static file, which changes when the file does: browsers may keep it for ever."""
    return f"/static/{name}?v={_fingerprint(name)}"


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"static": static_address, "charts": charts, "timedelta": timedelta}
    found.filters |= {"day_name": day_name, "iso": _iso, "number": charts.number}
    return found


def render(
    request: Request, template: str, here: str = "", status_code: int = 200, **values: Any
) -> HTMLResponse:
    """A page by its template's name. `here` is the entry of the navigation it belongs to.

    The signed-in reader and the form token are taken from `request.state`, where access.py leaves them.
    """
    scope: Scope | None = getattr(request.state, "scope", None)
    text = (
        _environment()
        .get_template(template)
        .render(
            scope=scope,
            csrf=getattr(request.state, "csrf", ""),
            may_write=scope is not None and scope.role != "read",
            navigation=navigation_for(scope),
            here=here,
            **values,
        )
    )
    return HTMLResponse(text, status_code=status_code, headers=HEADERS)
