"""What the webhook says and expects: bodies, problems, and their documentation.

It does not know where the answers come from.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from producers.limits import PROBLEM
from shared.review import MAX_TEXT_CHARS

TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid review",
    429: "Too many requests",
    500: "Internal error",
    503: "Try again later",
}
_EXAMPLE: Any = {
    "source": "webhook",
    "external_id": "order-1042",
    "text": "Waited 50 minutes and the fries came cold.",
    "rating": 2,
    "business": "Harbour Grill",
    "created_at": "2026-11-02T18:30:00Z",
}


PLATFORM_PARAMETER = {
    "name": "platform",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "its name in `beyond platforms list`; a secret address has its secret behind it",
}


class ReviewIn(BaseModel):
    """The body of POST /reviews, for the API documentation; intake does the validating."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    created_at: str = Field(description="ISO 8601; UTC if without zone")
    source: str = "webhook"
    external_id: str | None = Field(
        default=None, description="the platform's own id; makes repeats and updates recognisable"
    )
    rating: Annotated[float | None, Field(ge=1, le=5)] = None
    title: str | None = None
    business: str | None = None
    author: str | None = Field(default=None, description="stored as a keyed hash only")
    url: str | None = None


class Accepted(BaseModel):
    """The answer to an accepted review."""

    id: str = Field(examples=["n7v2kq5xw3ob4zj6tdya"])
    status: str = Field(
        examples=["new"],
        description="new, updated (the old analysis is superseded), same, deleted, or stale (a "
        "newer event of this review came before), or named (the platform gave no text: `beyond poll` "
        "fetches it)",
    )


class Deliveries(BaseModel):
    """The answer to a platform's delivery: each of its reviews, all stored or none."""

    reviews: list[Accepted]


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An RFC 9457 problem body."""
    body = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    return JSONResponse(body, status, headers, media_type=PROBLEM)


def documented(
    one: type[BaseModel], codes: tuple[int, ...] = ()
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with `one`, besides `codes` without a body."""
    refused = (400, 401, 403, 408, 413, 415, 422, 429, 503)
    return {
        202: {"model": one, "description": "on disk and queued"},
        200: {"model": one, "description": "known already"},
        **{code: {"description": "no event for us"} for code in codes},
        **{code: {"description": TITLES[code], "content": {PROBLEM: {}}} for code in refused},
    }


REVIEW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ReviewIn.model_json_schema()}},
    }
}
