"""Rows of any supported file, in constant memory: JSON lines, CSV or Parquet; plain, .gz, .zst, a pipe.

A row is (number, dict) or (number, Bad): a bad line never stops the file and never vanishes.
It knows bytes and file forms; it does not know what the columns mean.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import zstandard

from producers.addresses import opened, shown
from shared.errors import Misconfigured

# A review is at most 20,000 characters; a line of more than 1 MiB is damage, not a review.
MAX_LINE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16  # read at a time, and looked at to tell a file's form
_PARQUET_ROWS = 1000  # decoded at a time: a few MB of the longest reviews
# What unpacking raises for bytes that are no gzip or zstd, or not whole.
_DAMAGE = (EOFError, OSError, zlib.error, zstandard.ZstdError)
csv.field_size_limit(MAX_LINE_BYTES)


@dataclass(frozen=True)
class Bad:
    """A row that cannot be read, and why."""

    reason: str


Row = tuple[int, dict[str, Any] | Bad]


class Source:
    """An opened input with its position, for progress.

    `size` is in bytes of the file as stored, None for a pipe; `head` is its unpacked beginning.
    """

    def __init__(self, address: str, part: bytes | None = None) -> None:
        """`address`: see addresses.py. `part`: what to read instead of all that lies there."""
        self.address, self.name = address, shown(address)
        self._raw: Any
        self.size: int | None
        self._raw, self.size = opened(address) if part is None else (io.BytesIO(part), len(part))
        whole = isinstance(self._raw, io.BufferedReader | io.BytesIO)
        self.stream = _unpack(
            self._raw if whole and address != "-" else io.BufferedReader(self._raw, _CHUNK_BYTES),
            address if part is None else "",
        )
        try:
            self.head = self.stream.peek(_CHUNK_BYTES)[:_CHUNK_BYTES]
        except _DAMAGE as error:
            raise Misconfigured(
                f"{self.name}: the compressed file is damaged, or not what its name says: {error}"
            ) from None

    @property
    def position(self) -> int:
        """Bytes read so far, as stored."""
        return int(self._raw.tell()) if self.size is not None else 0


def _unpack(raw: Any, path: str) -> io.BufferedReader:
    magic = raw.peek(4)[:4] if hasattr(raw, "peek") else b""
    if magic[:2] == b"\x1f\x8b" or path.endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw))  # type: ignore[arg-type]
    if magic == b"\x28\xb5\x2f\xfd" or path.endswith(".zst"):
        return io.BufferedReader(
            zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        )
    return io.BufferedReader(raw)


def rows(source: Source, form: str = "") -> Iterator[Row]:
    """Every row of the input with its number from 1 (a CSV's header is not counted).

    Args:
        source: the input.
        form: "json" (lines) or "csv" where that is known; else its beginning tells.

    Raises:
        Misconfigured: the file as a whole has an unsupported form.
    """
    head = source.head
    if form:
        yield from _json_lines(source) if form == "json" else _csv(source)
    elif head[:4] == b"PAR1":
        yield from _parquet(source)
    elif head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Misconfigured(f"{source.name} is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8")
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        yield from _json_lines(source)
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        raise Misconfigured(
            f"{source.name} is one JSON array; make it JSON lines first: jq -c '.[]'"
        )
    elif head:
        yield from _csv(source)


def lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | Bad, bool]]:
    """(number, line without newline or Bad, whether it ended with a newline).

    Never holds more than MAX_LINE_BYTES and a chunk.
    """
    number, rest, dropped_bytes = 0, b"", 0
    broken: str | None = None
    while True:
        try:
            chunk = stream.read(_CHUNK_BYTES)
        except _DAMAGE as error:
            chunk, broken = b"", f"the compressed file is damaged or cut off here: {error}"
        if not chunk:
            break
        parts = (rest + chunk).split(b"\n")
        rest = parts.pop()
        for part in parts:
            number += 1
            yield number, _sized(part, dropped_bytes), True
            dropped_bytes = 0
        if len(rest) > MAX_LINE_BYTES:
            dropped_bytes += len(rest)
            rest = b""
    if broken:
        yield number + 1, Bad(broken), False
    elif rest or dropped_bytes:
        yield number + 1, _sized(rest, dropped_bytes), False


def _sized(line: bytes, dropped_bytes: int) -> bytes | Bad:
    if dropped_bytes:
        return Bad(f"line of {dropped_bytes + len(line)} bytes, more than {MAX_LINE_BYTES}")
    return line.removesuffix(b"\r")


def _text(number: int, line: bytes) -> str | Bad:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        return Bad(f"not UTF-8: byte {error.start} is {line[error.start]:#04x}")


def _json_lines(source: Source) -> Iterator[Row]:
    for number, line, ended in lines(source.stream):
        text = line if isinstance(line, Bad) else _text(number, line)
        if isinstance(text, Bad):
            yield number, text
        elif text.strip():
            try:
                value = json.loads(text)
            except ValueError as error:
                cut = "" if ended else "; the file ends in the middle of this line"
                yield number, Bad(f"not JSON: {error}{cut}")
                continue
            yield number, value if isinstance(value, dict) else Bad("not a JSON object")


def _csv(source: Source) -> Iterator[Row]:
    """CSV with quoted newlines.

    The first row is the header, unless it is a digit and a text: yelp_review_full's form, which
    has none.
    """
    bad: list[Bad] = []  # lines that are no text, until the row they stand before is through

    def decoded() -> Iterator[str]:
        for number, line, _ in lines(source.stream):
            text = line if isinstance(line, Bad) else _text(number, line)
            if isinstance(text, Bad):
                bad.append(Bad(f"line {number} of the file: {text.reason}"))
                yield "\n"  # an empty row, so that `bad` is emptied before the next line is read
            else:
                yield text + "\n"

    header: list[str] | None = None
    number = 0
    for cells in _cells(decoded(), source.head):
        for problem in bad:
            number += 1
            yield number, problem
        bad.clear()
        if isinstance(cells, Bad):
            number += 1
            yield number, cells
        elif header is None and cells and not (len(cells) == 2 and cells[0].strip() in "012345"):
            header = [c.strip() for c in cells]
        elif cells:
            number += 1
            yield number, _named(cells, header)


def _cells(text: Iterator[str], head: bytes) -> Iterator[list[str] | Bad]:
    # yelp_review_full escapes a quote by a backslash, everyone else by doubling it.
    escape = "\\" if b'\\"' in head and b'""' not in head else None
    table = csv.reader(text, doublequote=escape is None, escapechar=escape)
    while True:
        try:
            yield next(table)
        except StopIteration:
            return
        except csv.Error as error:
            yield Bad(f"not CSV: {error}")


def _named(cells: list[str], header: list[str] | None) -> dict[str, Any] | Bad:
    names = header or ["label", "text"]
    if len(cells) != len(names):
        return Bad(f"{len(cells)} cells, the header has {len(names)}")
    row = dict(zip(names, cells, strict=True))
    return row if header else {**row, "_csv_labels": True}


def _parquet(source: Source) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet as parquet

    if source.size is None:
        raise Misconfigured("Parquet cannot be read from standard input; name the file")
    number = 0
    try:
        file = parquet.ParquetFile(opened(source.address)[0])
        for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise Misconfigured(
            f"{source.name}: after row {number}: damaged, or no Parquet: {error}"
        ) from None
