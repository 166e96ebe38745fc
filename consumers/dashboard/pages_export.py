"""What people take along: the list's reviews as a file, the overview as a printed report.

It does not know rows or columns (consumers/export does) nor how a report looks (consumers/report).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from consumers.dashboard.access import Reader, Writer
from consumers.dashboard.answering import Reading, Today
from consumers.dashboard.pages_frame import HEADERS
from consumers.dashboard.periods import asked
from consumers.export_files import write_csv, write_jsonl, write_parquet
from consumers.export_source import from_record
from consumers.record import queries_themes
from consumers.record.filters import Filters, parse
from consumers.record.queries import MAX_PAGE
from consumers.report.commands import rendered
from consumers.report.gather import gather
from shared.errors import InvalidRequest

router = APIRouter(include_in_schema=False)
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "pdf": "application/pdf",
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
}


@router.get("/reviews/export")
def export(
    request: Request,
    scope: Reader,
    record: Reading,
    today: Today,
    format: Literal["csv", "jsonl", "parquet"] = "csv",
) -> Response:
    """Written to a file first: memory does not grow with the reviews, and a slow reader holds no database open."""
    filters = parse(request.query_params.multi_items(), beside=("format",))
    if scope.business is not None:
        filters = filters.but(business=scope.narrow(filters.business))
    return _sent(format, today, from_record(record, scope, filters))


@router.post("/reviews/bulk/export")
def export_ticked(
    scope: Writer,
    record: Reading,
    today: Today,
    id: Annotated[list[str], Form()] = [],  # noqa: B006  FastAPI copies it
) -> Response:
    """The ticked reviews of a page as CSV; those that the reader may not see are left out.

    Raises:
        InvalidRequest: none was ticked, or more than a page holds.
    """
    if not 0 < len(id) <= MAX_PAGE:
        raise InvalidRequest(f"tick the reviews to export first, at most {MAX_PAGE}")
    return _sent("csv", today, from_record(record, scope, Filters(), id))


@router.get("/report")
def report(
    request: Request,
    scope: Reader,
    record: Reading,
    today: Today,
    format: Literal["pdf", "html", "md"] = "pdf",
) -> Response:
    """The report of the overview's business and period, to print or to send."""
    meta = queries_themes.meta(record, scope)
    wanted = asked(record, scope, request.query_params, today, meta.first_day, beside=("format",))
    found = gather(record, scope, wanted.filters, today)
    name = f"report-{wanted.filters.since}-{wanted.until}.{format}"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(rendered(found, f".{format}"), headers=headers, media_type=_TYPES[format])


def _sent(form: str, today: date, entries: Iterable[Any]) -> Response:
    kept = _written(form, entries)
    return FileResponse(
        kept,
        headers=HEADERS,
        media_type=_TYPES[form],
        filename=f"reviews-{today}.{form}",
        background=BackgroundTask(kept.unlink),
    )


def _written(form: str, entries: Iterable[Any]) -> Path:
    handle, name = tempfile.mkstemp(prefix="beyond-export-", suffix=f".{form}")
    path = Path(name)
    try:
        if form == "parquet":
            with os.fdopen(handle, "wb") as binary:
                write_parquet(entries, binary)
        else:
            write: Callable[..., int] = write_csv if form == "csv" else write_jsonl
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as text:
                write(entries, text)
    except BaseException:
        path.unlink()
        raise
    return path
