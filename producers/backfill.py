"""Backfill: files of historical reviews into intake; resumable, in constant memory, nothing lost silently.

How far a file has come is kept in the server beside the reviews themselves, so it can neither run
ahead of them nor outlive them. It does not know models or workers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from producers.columns import ColumnReader
from producers.intake import Intake
from producers.ratings import TOP_STARS
from producers.readers import Bad, Source, rows
from producers.rejects import Rejects
from shared.errors import BeyondError, InvalidReview, Overloaded, TemporaryFailure
from shared.review import Review

# Reviews handed to intake at a time, and rows between two checkpoints: eight chunks of 64, so that
# a round trip is shared by many and a kill repeats less than a second of reading.
FLUSH_REVIEWS = 512
# How long a lost server is waited for: a restart with a large AOF takes tens of seconds.
_PATIENCE_SECONDS = 120


@dataclass
class Options:
    """What the user asked for; `mapping` is --map, dates are aware UTC.

    `imported_at` is what reviews without a date get. `since` excludes those, as `max_rating`
    excludes reviews without a rating.
    """

    mapping: dict[str, str] | None = None
    source: str = "file"
    since: datetime | None = None
    max_rating: float | None = None
    limit: int | None = None
    strict: bool = False
    dry_run: bool = False
    date_format: str | None = None
    day_first: bool | None = None
    rating_scale: float = TOP_STARS
    category: str | None = None
    imported_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Tally:
    """Counts of one file. read = new + updated + same + filtered + rejected; `row` is the last one settled."""

    row: int = 0
    new: int = 0
    updated: int = 0
    same: int = 0
    filtered: int = 0
    rejected: int = 0
    complete: bool = False

    @property
    def accepted(self) -> int:
        """Reviews that are in the store, by this run or an earlier one."""
        return self.new + self.updated + self.same


class StoppedAtBadLine(BeyondError):
    """--strict met a bad line."""


class Backfill:
    """Reads one input after the other into intake.

    Args:
        intake: where reviews go.
        connection: keeps the checkpoints.
        options: filters and switches.
        rejects: file to which bad rows are appended as JSON lines, redacted.
        progress: called with (tally, source) after every flush.
    """

    def __init__(
        self,
        intake: Intake,
        connection: redis.Redis,
        options: Options,
        rejects: Path,
        progress: Callable[[Tally, Source], None] = lambda t, s: None,
    ) -> None:
        self._intake, self._redis, self._options = intake, connection, options
        self._rejects, self._progress = Rejects(rejects), progress

    def run(self, path: str) -> Tally:
        """Read one file (or "-") to its end, from where an earlier run stopped.

        Raises:
            Misconfigured: missing file or unknown format.
            StoppedAtBadLine: with --strict.
            TemporaryFailure: the server stayed away; run again to continue.
        """
        source = Source(path)
        key = self._checkpoint_key(source)
        tally = self._restore(key)
        if tally.complete:
            return tally
        done, waiting = tally.row, []
        read = self._column_reader(source)
        for number, row in self._rows(source, tally):
            if number <= done:
                continue
            try:
                if isinstance(row, Bad):
                    raise InvalidReview(row.reason)
                review = self._review(read, row)
                if review is None:
                    tally.filtered += 1
                else:
                    waiting.append(review)
            except InvalidReview as error:
                self._reject(source, number, row, read, error)
                tally.rejected += 1
            tally.row = number
            if len(waiting) >= FLUSH_REVIEWS:
                self._flush(waiting, tally, key, source)
        tally.complete = self._options.limit is None
        self._flush(waiting, tally, key, source)
        return tally

    def _column_reader(self, source: Source) -> ColumnReader:
        options = self._options
        return ColumnReader(
            source,
            options.mapping,
            options.source,
            options.date_format,
            options.day_first,
            options.rating_scale,
            options.imported_at,
        )

    def _rows(self, source: Source, tally: Tally) -> Iterator[tuple[int, dict[str, Any] | Bad]]:
        limit = self._options.limit
        for row in rows(source):
            if limit is not None and tally.row - tally.filtered - tally.rejected >= limit:
                return
            yield row

    def _review(self, read: ColumnReader, row: dict[str, Any]) -> Review | None:
        """The row as a Review, or None where a filter excludes it."""
        fields = read(row)
        if self._options.category and not fields.get("category"):
            fields["category"] = self._options.category
        review = self._intake.validate(fields)
        since, max_rating = self._options.since, self._options.max_rating
        if since and (not review.dated or review.created_at < since):
            return None
        if max_rating is not None and (review.rating is None or review.rating > max_rating):
            return None
        return review

    def _reject(
        self,
        source: Source,
        number: int,
        row: dict[str, Any] | Bad,
        read: ColumnReader,
        error: InvalidReview,
    ) -> None:
        """Keep a bad row with its reason, or stop at it.

        Raises:
            StoppedAtBadLine: with --strict.
        """
        if self._options.strict:
            raise StoppedAtBadLine(f"{source.name}: row {number}: {error}") from error
        columns: list[str] = []
        fields: dict[str, Any] = {}
        if not isinstance(row, Bad):
            columns = list(map(str, row))
            with contextlib.suppress(InvalidReview):  # it may lack the very column that names it
                fields = read.named(row)
        self._rejects.add(source.name, number, str(error), columns, fields)

    def _flush(self, waiting: list[Review], tally: Tally, key: str | None, source: Source) -> None:
        if self._options.dry_run:
            tally.new += len(waiting)
        else:
            counts = self._patiently(waiting) if waiting else {}
            for name, count in counts.items():
                setattr(tally, name, getattr(tally, name) + count)
            if key:
                self._redis.set(key, json.dumps(asdict(tally)))
        waiting.clear()
        self._progress(tally, source)

    def _patiently(self, reviews: list[Review]) -> dict[Any, int]:
        """Intake with waiting: a full queue for as long as it takes, a lost server for two minutes."""
        lost_since: float | None = None
        while True:
            try:
                return dict(self._intake.receive_many(reviews))
            except Overloaded as error:
                time.sleep(error.retry_after_seconds)
            except TemporaryFailure:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > _PATIENCE_SECONDS:
                    raise
                time.sleep(1)

    def _checkpoint_key(self, source: Source) -> str | None:
        """Identity of file content and filters; None where there is nothing to resume (a pipe, a dry run)."""
        if source.size is None or self._options.dry_run:
            return None
        options = self._options
        # What decides which rows become reviews. The last three only where given: keys that were
        # made before these options existed stay valid.
        chosen: list[object] = [options.mapping, options.since, options.max_rating, source.size]
        chosen += [v for v in (options.date_format, options.day_first) if v is not None]
        chosen += [options.rating_scale] if options.rating_scale != TOP_STARS else []
        wanted = repr(tuple(chosen))
        return "b:backfill:" + hashlib.sha256(source.head + wanted.encode()).hexdigest()[:24]

    def _restore(self, key: str | None) -> Tally:
        stored = self._redis.get(key) if key else None
        return Tally(**json.loads(stored)) if stored else Tally()  # type: ignore[arg-type]
