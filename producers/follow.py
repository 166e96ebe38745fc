"""A file that grows: complete rows as they come, each once, through restarts, truncation and rotation.

Where it was read to is kept in the server (`b:backfill:follow-FILE`), after the rows are stored. A last line
without its newline waits for the rest. A file that was renamed is read to its end before the one that
took its place. It knows bytes and files; what rows mean is for the readers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import redis

from producers.columns import ColumnReader
from producers.readers import MAX_LINE_BYTES, Bad, Source, rows
from producers.row_ends import end_of_first, end_of_rows, is_bare
from producers.taking import Options, Taker, Tally
from shared.errors import InvalidReview, Misconfigured, TemporaryFailure

# Read at a time: rows of some MB are stored together. More than the longest line that is a review.
_PART_BYTES = 4 * MAX_LINE_BYTES
_LOOK_SECONDS = 0.5
# Enough of a file's beginning to tell it from another that took its place.
_HEAD_BYTES = 256
_PACKED = (b"\x1f\x8b", b"\x28\xb5", b"PA")  # gzip, zstandard, Parquet


@dataclass
class Place:
    """How far a file was read. `offset`: bytes; `head`: hash of its first `head_bytes`; `inode`: which file.

    `header`: a CSV's first row, which explains all others. `skipping`: inside a line too long to keep.
    """

    inode: int = 0
    offset: int = 0
    head: str = ""
    head_bytes: int = 0
    header: str | None = None
    skipping: bool = False
    tally: Tally = field(default_factory=Tally)


class Follower:
    """Follows one file.

    Args:
        path: the file; it may not exist yet.
        taker: where rows go.
        options: of the backfill; they belong to the file's identity, and a dry run keeps no place.
        connection: keeps the place.
        progress: called after every part that was stored.

    Raises:
        Misconfigured: the file's folder does not exist.
    """

    def __init__(
        self,
        path: str,
        taker: Taker,
        options: Options,
        connection: redis.Redis,
        progress: Callable[[str, Tally], None] = lambda p, t: None,
    ) -> None:
        self._path, self._taker, self._options = Path(path).absolute(), taker, options
        if not self._path.parent.is_dir():
            raise Misconfigured(f"{path}: its folder does not exist")
        self._redis, self._progress = connection, progress
        wanted = repr((str(self._path), options.mapping, options.date_format, options.day_first))
        self._key = "b:backfill:follow-" + hashlib.sha256(wanted.encode()).hexdigest()[:24]
        self._file: BinaryIO | None = None
        self._read: ColumnReader | None = None
        stored = None if options.dry_run else connection.get(self._key)
        kept = json.loads(stored) if stored else {}  # type: ignore[arg-type]
        self.place = Place(**{**kept, "tally": Tally(**kept.get("tally", {}))})

    def step(self) -> int:
        """Read what is complete now, a few MB at most; returns the rows read, 0 where there is nothing new.

        Raises:
            Misconfigured: packed or Parquet, or columns that nobody can name.
            StoppedAtBadLine: with --strict.
            TemporaryFailure: the server stayed away.
        """
        if self._file is None and not self._open():
            return 0
        if self._was_rewritten():
            self._begin()
        count = self._part(last=False)
        if not count and self._was_replaced():
            count = self._part(last=True)  # nobody will write its last newline any more
            if not count:
                self._leave()
        return count

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        """Open the file that was read last, wherever it is called now; else the one at the path."""
        for path in self._candidates():
            try:
                found = path.open("rb")
            except OSError:
                continue
            if self._is_mine(found):
                self._file = found
                return True
            found.close()
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return False
        except OSError as error:
            raise Misconfigured(f"{self._path}: cannot be read: {error}") from None
        self._begin()
        return True

    def _candidates(self) -> list[Path]:
        if not self.place.inode:
            return []
        renamed = sorted(self._path.parent.glob(f"{self._path.name}?*"))
        return [
            p for p in [self._path, *renamed] if p.is_file() and p.stat().st_ino == self.place.inode
        ]

    def _is_mine(self, file: BinaryIO) -> bool:
        """Does the file still begin as it did, and is it as long as what was read?"""
        place = self.place
        file.seek(0)
        head = hashlib.sha256(file.read(place.head_bytes)).hexdigest()
        return head == place.head and file.seek(0, 2) >= place.offset

    def _was_rewritten(self) -> bool:
        return self._file is not None and not self._is_mine(self._file)

    def _was_replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != self.place.inode
        except FileNotFoundError:
            return False  # about to be; what is written until then is still ours

    def _leave(self) -> None:
        self.close()
        self.place.inode = 0

    def _begin(self) -> None:
        """Read the opened file from its first byte; the counts go on."""
        if self._file is None:
            return
        number = os.fstat(self._file.fileno()).st_ino
        self._read = None
        self.place = Place(inode=number, head=_hashed(b""), tally=self.place.tally)

    def _part(self, *, last: bool) -> int:
        place, file = self.place, self._file
        if file is None:
            return 0
        file.seek(place.offset)
        data = file.read(_PART_BYTES)
        if not place.offset and data[:2] in _PACKED:
            raise Misconfigured(f"{self._path}: packed and Parquet files cannot be followed")
        whole, used = self._whole(data, last=last)
        if not used:
            return 0
        before = place.tally.row
        self._take(whole)
        place.offset += used
        if place.head_bytes < _HEAD_BYTES:
            file.seek(0)
            head = file.read(min(_HEAD_BYTES, place.offset))
            place.head, place.head_bytes = _hashed(head), len(head)
        if not self._options.dry_run:
            self._save()
        self._progress(str(self._path), place.tally)
        return max(1, place.tally.row - before)

    def _whole(self, data: bytes, *, last: bool) -> tuple[bytes, int]:
        """The complete rows at the beginning of `data`, and how many bytes they and skipped ones take."""
        place, dropped = self.place, 0
        if place.skipping:
            end = data.find(b"\n") + 1
            dropped, place.skipping = (end, False) if end else (len(data), True)
            data = data[dropped:]
        if last:
            return data, dropped + len(data)
        end = end_of_rows(data, csv=self._is_csv(data))
        if not end and len(data) + dropped >= _PART_BYTES:
            place.skipping, end = True, len(data)
            return data[: MAX_LINE_BYTES + 1], dropped + end  # the reader rejects it, with its size
        return data[:end], dropped + end

    def _is_csv(self, data: bytes) -> bool:
        first = self.place.header or data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1].decode(
            "latin-1"
        )
        return bool(first) and first[0] not in "{["

    def _take(self, data: bytes) -> None:
        if not data:
            return
        tally, header = self.place.tally, self._header(data)
        source = Source(str(self._path), (header + data) if self.place.offset else data)
        base, read = tally.row, self._column_reader()
        form = "json" if self.place.header == "{" else "csv"
        reviews = []
        for number, row in rows(source, form):
            review = self._taker.review(source, base + number, row, read, tally)
            reviews += [review] if review is not None else []
        if form == "json":  # blank lines count too
            tally.row = base + data.count(b"\n") + (not data.endswith(b"\n"))
        self._taker.store(reviews, tally)

    def _column_reader(self) -> ColumnReader:
        """One for the whole file: its first row says which format it has, also after a restart."""
        if self._read is None and self._file is not None:
            self._file.seek(0)
            source = Source(str(self._path), self._file.read(2 * MAX_LINE_BYTES))
            self._read = self._taker.reader(source)
            _, first = next(rows(source), (0, Bad("")))
            if isinstance(first, dict):
                with contextlib.suppress(InvalidReview):  # it is rejected where it is read
                    self._read.named(first)
        assert self._read is not None
        return self._read

    def _header(self, data: bytes) -> bytes:
        """The first row of a CSV, remembered; b"" for JSON lines."""
        if self.place.header is None:
            if not self._is_csv(data):
                self.place.header = "{"
            else:
                first = data[: end_of_first(data)]
                self.place.header = "," if is_bare(first) else first.decode("utf-8", "replace")
        return b"" if self.place.header in ("{", ",") else self.place.header.encode()

    def _save(self) -> None:
        try:
            self._redis.set(self._key, json.dumps(asdict(self.place)))
        except redis.RedisError as error:
            raise TemporaryFailure(f"the Redis server refused or was lost: {error}") from error


def follow(followers: Iterable[Follower], stop: threading.Event) -> None:
    """Follow files until `stop`; raises as Follower.step does."""
    followers = list(followers)
    try:
        while not stop.is_set():
            while any([one.step() for one in followers]) and not stop.is_set():
                pass
            stop.wait(_LOOK_SECONDS)
    finally:
        for one in followers:
            one.close()


def _hashed(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
