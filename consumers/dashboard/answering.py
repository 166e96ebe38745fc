"""What every route shares: a connection, filters out of the address, answers with an ETag, documented errors.

It does not know any route.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import Connection, Engine

from consumers.dashboard.problems import PLAIN, PROBLEM
from consumers.record.filters import LISTS, Filters, parse
from consumers.record.queries import MAX_PAGE
from shared.stream.replies import Replies

_BESIDE = ("cursor", "limit")


def engine_of(request: Request) -> Engine:
    """The record's engine."""
    found: Engine = request.app.state.engine
    return found


def replies_of(request: Request) -> Replies:
    """What people asked workers to write."""
    return Replies(request.app.state.redis)


def _reading(request: Request) -> Iterator[Connection]:
    with engine_of(request).connect() as connection:
        yield connection


def now_of(request: Request) -> float:
    """Seconds since 1970, by the app's clock."""
    return float(request.app.state.clock())


def today_of(request: Request) -> date:
    """The UTC day, by the app's clock."""
    return datetime.fromtimestamp(now_of(request), UTC).date()


def _filters(request: Request) -> Filters:
    return parse(request.query_params.multi_items(), _BESIDE)


Reading = Annotated[Connection, Depends(_reading)]
Today = Annotated[date, Depends(today_of)]
Now = Annotated[float, Depends(now_of)]
Filtered = Annotated[Filters, Depends(_filters)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="rows of a page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]


def etag(body: bytes) -> str:
    """A strong ETag: the same bytes, the same tag."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def answer(request: Request, model: BaseModel, status: int = 200) -> Response:
    """The model as JSON; 304 without a body where the reader has it already (If-None-Match)."""
    body = model.model_dump_json().encode()
    tag = etag(body)
    # Each reader sees its own scope, and each answer is asked for again: nothing in between may keep it.
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", **PLAIN}
    known = request.headers.get("if-none-match", "")
    if request.method == "GET" and (known == "*" or tag in _tags(known)):
        return Response(status_code=304, headers=headers)
    return Response(body, status, headers, media_type="application/json")


def fits(request: Request, model: BaseModel) -> bool:
    """Whether If-Match, where the request has one, is the ETag of this model."""
    wanted = request.headers.get("if-match", "*")
    return wanted == "*" or etag(model.model_dump_json().encode()) in _tags(wanted)


def _tags(header: str) -> set[str]:
    return {part.strip().removeprefix("W/") for part in header.split(",")}


def filter_parameters(*names: str) -> dict[str, Any]:
    """`openapi_extra` of a route that takes filters: all of them, or those named."""
    schema = Filters.model_json_schema()["properties"]
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema[name].get("description", ""),
                "schema": _inlined(schema[name]),
                **({"style": "form", "explode": True} if name in LISTS else {}),
            }
            for name in names or schema
        ]
    }


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    kept = ("type", "items", "enum", "minimum", "maximum", "maxLength", "minLength", "format")
    plain = next((s for s in schema.get("anyOf", []) if s.get("type") != "null"), schema)
    return {key: plain[key] for key in kept if key in plain}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route, for the documentation."""
    told = {
        304: "you have it already (If-None-Match)",
        400: "a parameter has no meaning; `detail` names it",
        401: "no token, or none that is in force",
        403: "your role or your business does not reach this",
        404: "there is none, or not in your business",
        409: "not in this state; `detail` says why",
        412: "someone changed it meanwhile (If-Match)",
        422: "the body has another form; `errors` names its fields",
        503: "the database or the server does not answer; try again",
    }
    return {
        status: {"description": told[status]}
        | ({} if status == 304 else {"content": {PROBLEM: {"schema": _PROBLEM}}})
        for status in (401, 403, *statuses, 503)
    }


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "example": {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "no review n7v2kq5xw3ob4zj6tdya",
    },
}
