"""The rejects file: which rows could not become reviews, and why, without whose they are.

A rejected row was never redacted by intake, and its columns may hold anything. So only fields whose
meaning is known are copied, redacted; a line that cannot be parsed is not copied at all, because
nobody can tell the author from the text in it. File and row number find it in the original.
It does not know why a row is bad.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.privacy import redact

# Never the author, nor external_id and url: platforms build those from names and account numbers.
_SHOWN = ("text", "title", "rating", "created_at", "business")
_SHOWN_CHARS = 200  # of a field: enough to recognise a row


class Rejects:
    """Appends JSON lines to `path`, which only its owner may read, also where it existed before."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(
        self, file: str, row: int, reason: str, columns: Iterable[str], fields: dict[str, Any]
    ) -> None:
        """Keep one row.

        Args:
            file: name of the input.
            row: its number in the input, from 1.
            reason: why it was rejected; may quote a value, so it is redacted.
            columns: the row's column names.
            fields: what is known of it under our names; {} where nothing is.
        """
        shown = {
            name: redact(str(fields[name]))[:_SHOWN_CHARS]
            for name in _SHOWN
            if fields.get(name) not in (None, "")
        }
        entry = {
            "file": file,
            "row": row,
            "reason": redact(reason),
            "columns": list(columns),
            "fields": shown,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "a", encoding="utf-8") as out:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):  # --rejects may be /dev/stderr
                os.fchmod(descriptor, 0o600)
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")
