"""The list's reviews as a file, by the filters of its address.

It does not know rows or columns (consumers/export does).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from consumers.dashboard.access import Reader
from consumers.dashboard.answering import Reading, Today
from consumers.dashboard.pages_frame import HEADERS
from consumers.export_files import write_csv, write_jsonl, write_parquet
from consumers.export_source import from_record
from consumers.record.filters import parse

router = APIRouter(include_in_schema=False)
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
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
    kept = _written(format, from_record(record, scope, filters))
    return FileResponse(
        kept,
        headers=HEADERS,
        media_type=_TYPES[format],
        filename=f"reviews-{today}.{format}",
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
