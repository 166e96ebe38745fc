"""Issues as unit vectors: half the problem's sentence, half the customer's own words.

Texts are embedded once and kept in a file, by a hash of the text; what a run did not use is removed
at its end, so nothing stays of a review that was erased. It does not know models or the record.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

Encode = Callable[[Sequence[str]], np.ndarray]
_LOOK_UP = 500  # keys in one statement


class Told(NamedTuple):
    """What an issue says: the written problem, if any, and the quote."""

    problem: str | None
    quote: str


class Vectors:
    """Embeds issues, each text once.

    Args:
        encode: texts to unit vectors float32 [texts, width], in order.
        file: where they are kept; made when missing.
    """

    def __init__(self, encode: Encode, file: Path) -> None:
        self._encode = encode
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._kept = sqlite3.connect(file)
        self._kept.execute("PRAGMA journal_mode = WAL")
        self._kept.execute(
            "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB, run INTEGER)"
        )
        last = self._kept.execute("SELECT max(run) FROM vectors").fetchone()[0]
        self._run = (last or 0) + 1

    def issues(self, told: Sequence[Told]) -> np.ndarray:
        """Unit vectors float32 [issues, width], in order."""
        quotes = self._texts([one.quote for one in told])
        written = [index for index, one in enumerate(told) if one.problem]
        if written:
            # Twice the same direction where there is no problem, so both halves weigh alike.
            problems = quotes.copy()
            problems[written] = self._texts([told[index].problem or "" for index in written])
            quotes += problems
        length = np.linalg.norm(quotes, axis=1, keepdims=True)
        quotes /= np.maximum(length, 1e-9)
        return quotes

    def close(self) -> None:
        """Remove what this run did not use."""
        self._kept.execute("DELETE FROM vectors WHERE run <> ?", (self._run,))
        self._kept.commit()
        self._kept.close()

    def _texts(self, texts: Sequence[str]) -> np.ndarray:
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        distinct = dict(zip(keys, texts, strict=True))
        found = self._known(list(distinct))
        new = [key for key in distinct if key not in found]
        if new:
            # Rounded as they are kept: a run with kept vectors gives what a first one gives.
            rounded = self._encode([distinct[key] for key in new]).astype(np.float16)
            found |= dict(zip(new, rounded, strict=True))
        kept = [(key, vector.tobytes(), self._run) for key, vector in found.items()]
        self._kept.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", kept)
        self._kept.commit()
        return np.stack([found[key] for key in keys]).astype(np.float32)

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        out = {}
        for first in range(0, len(keys), _LOOK_UP):
            some = keys[first : first + _LOOK_UP]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # nosec B608: question marks
            for key, vector in self._kept.execute(query, some):
                out[key] = np.frombuffer(vector, dtype=np.float16)
        return out
