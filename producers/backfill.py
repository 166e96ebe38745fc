"""Backfill: files of historical reviews into intake; resumable, in constant memory, nothing lost silently.

How far a file has come is kept in the server beside the reviews themselves, so it can neither run
ahead of them nor outlive them. It does not know models or workers.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import redis

from producers import formats
from producers.intake import Intake
from producers.readers import Bad, Source, rows
from shared.errors import BeyondError, InvalidReview, Overloaded, TemporaryFailure
from shared.review import Review

FLUSH_REVIEWS = 512
_PATIENCE_SECONDS = 120  # how long a lost server is waited for


@dataclass
class Options:
    """What the user asked for; `mapping` is --map, dates are aware UTC."""

    mapping: dict[str, str] | None = None
    source: str = "file"
    since: datetime | None = None
    max_rating: float | None = None
    limit: int | None = None
    strict: bool = False
    dry_run: bool = False
    undated: datetime = field(
        default_factory=lambda: datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    )


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
        rejects: file to which bad rows are appended as JSON lines.
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
        self._rejects, self._progress = rejects, progress

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
        read: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        if self._options.mapping:
            read = formats.by_map(self._options.mapping, self._options.source)
        for number, row in self._rows(source, tally):
            if number <= done:
                continue
            try:
                if isinstance(row, Bad):
                    raise InvalidReview(row.reason)
                read = read or formats.detect(row)
                review = self._review(read, row)
                if review is None:
                    tally.filtered += 1
                else:
                    waiting.append(review)
            except InvalidReview as error:
                self._reject(source, number, row, error, tally)
            tally.row = number
            if len(waiting) >= FLUSH_REVIEWS:
                self._flush(waiting, tally, key, source)
        tally.complete = self._options.limit is None
        self._flush(waiting, tally, key, source)
        return tally

    def _rows(self, source: Source, tally: Tally) -> Iterator[tuple[int, dict[str, Any] | Bad]]:
        limit = self._options.limit
        for row in rows(source):
            if limit is not None and tally.row - tally.filtered - tally.rejected >= limit:
                return
            yield row

    def _review(
        self, read: Callable[[dict[str, Any]], dict[str, Any]], row: dict[str, Any]
    ) -> Review | None:
        """The row as a Review, or None where a filter excludes it."""
        try:
            fields = read(row)
        except KeyError as error:
            raise InvalidReview(f"column {error} is missing") from None
        fields["created_at"] = fields.get("created_at") or self._options.undated
        review = self._intake.validate(fields)
        if self._options.since and review.created_at < self._options.since:
            return None
        if self._options.max_rating is not None and (
            review.rating is None or review.rating > self._options.max_rating
        ):
            return None
        return review

    def _reject(
        self, source: Source, number: int, row: object, error: InvalidReview, tally: Tally
    ) -> None:
        if self._options.strict:
            raise StoppedAtBadLine(f"{source.name}: row {number}: {error}") from error
        tally.rejected += 1
        shown = (
            row.line
            if isinstance(row, Bad)
            else json.dumps(row, default=str, ensure_ascii=False)[:200]
        )
        self._rejects.parent.mkdir(parents=True, exist_ok=True)
        with self._rejects.open("a", encoding="utf-8") as out:
            out.write(
                json.dumps(
                    {"file": source.name, "row": number, "reason": str(error), "begins": shown},
                    ensure_ascii=False,
                )
                + "\n"
            )

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
        wanted = repr(
            (self._options.mapping, self._options.since, self._options.max_rating, source.size)
        )
        return "b:backfill:" + hashlib.sha256(source.head + wanted.encode()).hexdigest()[:24]

    def _restore(self, key: str | None) -> Tally:
        stored = self._redis.get(key) if key else None
        return Tally(**json.loads(stored)) if stored else Tally()  # type: ignore[arg-type]
