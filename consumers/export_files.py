"""Entries into files: JSON lines, CSV, Parquet. One entry at a time, so memory does not grow.

It does not know where entries come from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO, Any

from pydantic_core import to_json  # twice as fast as json.dumps

from consumers.export import COLUMNS, Entry, inert, rows
from shared.inert import inert_json

FORMS = ("jsonl", "csv", "parquet")
# Rows that Parquet compresses together: some 10 MB of Python objects.
_GROUP_ROWS = 10_000


def write_jsonl(entries: Iterable[Entry], out: IO[str]) -> int:
    """One entry a line; how many."""
    count = 0
    for entry in entries:
        count += 1
        out.write(inert_json(to_json(entry).decode()) + "\n")
    return count


def write_csv(entries: Iterable[Entry], out: IO[str]) -> int:
    """A header, then one row per issue; how many entries. Entries that wait are left out."""
    table = csv.writer(out)
    table.writerow(COLUMNS)
    count = 0
    for entry in _analysed(entries):
        count += 1
        table.writerows([inert(cell) for cell in row] for row in rows(entry))
    return count


def write_parquet(entries: Iterable[Entry], out: IO[bytes]) -> int:
    """The same table with types (times are UTC microseconds), compressed by zstd.

    How many entries.
    """
    import pyarrow
    import pyarrow.parquet

    schema = _schema(pyarrow)
    count, waiting = 0, list[list[Any]]()
    with pyarrow.parquet.ParquetWriter(out, schema, compression="zstd") as file:

        def flush() -> None:
            columns = list(zip(*waiting, strict=True))
            arrays = [
                pyarrow.array(column, field.type)
                for column, field in zip(columns, schema, strict=True)
            ]
            file.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            waiting.clear()

        for entry in _analysed(entries):
            count += 1
            moment = datetime.fromisoformat(entry["created_at"])
            waiting += rows({**entry, "created_at": moment})
            if len(waiting) >= _GROUP_ROWS:
                flush()
        if waiting:
            flush()
    return count


def _analysed(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry["analysis"] is not None)


def _schema(pyarrow: Any) -> Any:
    kinds = {
        "created_at": pyarrow.timestamp("us", tz="UTC"),
        "dated": pyarrow.bool_(),
        "excerpt": pyarrow.bool_(),
        "rating": pyarrow.float64(),
        "issue": pyarrow.int8(),
    }
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
