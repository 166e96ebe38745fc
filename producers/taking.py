"""Rows of any input into intake: what becomes a review, what is filtered, what is rejected, all counted.

Files read once (backfill.py) and files that grow (follow.py) both go through here. It does not know
where rows come from or how far an input was read.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from producers.columns import ColumnReader
from producers.intake import Intake
from producers.ratings import TOP_STARS
from producers.readers import Bad, Source
from producers.rejects import Rejects
from shared.errors import BeyondError, InvalidReview, Overloaded, TemporaryFailure
from shared.review import Review

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


class Taker:
    """Takes rows.

    Args:
        intake: where reviews go.
        options: filters and switches.
        rejects: file to which bad rows are appended as JSON lines, redacted.
    """

    def __init__(self, intake: Intake, options: Options, rejects: Path) -> None:
        self._intake, self._options, self._rejects = intake, options, Rejects(rejects)

    def reader(self, source: Source) -> ColumnReader:
        """What makes fields of the input's rows, by the options."""
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

    def review(
        self,
        source: Source,
        number: int,
        row: dict[str, Any] | Bad,
        read: ColumnReader,
        tally: Tally,
    ) -> Review | None:
        """The row as a Review, or None where it was filtered or rejected; `tally` counts that.

        Raises:
            StoppedAtBadLine: with --strict.
        """
        found = None
        try:
            if isinstance(row, Bad):
                raise InvalidReview(row.reason)
            found = self._filtered(read, row)
            tally.filtered += found is None
        except InvalidReview as error:
            self._reject(source, number, row, read, error)
            tally.rejected += 1
        tally.row = number
        return found

    def store(self, reviews: list[Review], tally: Tally) -> None:
        """Store reviews, unless it is a dry run; waits while the queue is full, or the server away.

        Raises:
            TemporaryFailure: the server stayed away for two minutes.
        """
        if self._options.dry_run:
            tally.new += len(reviews)
        elif reviews:
            for name, count in self._patiently(reviews).items():
                setattr(tally, name, getattr(tally, name) + count)

    def _filtered(self, read: ColumnReader, row: dict[str, Any]) -> Review | None:
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
        """Keep a bad row with its reason, or stop at it."""
        if self._options.strict:
            raise StoppedAtBadLine(f"{source.name}: row {number}: {error}") from error
        columns: list[str] = []
        fields: dict[str, Any] = {}
        if not isinstance(row, Bad):
            columns = list(map(str, row))
            with contextlib.suppress(InvalidReview):  # it may lack the very column that names it
                fields = read.named(row)
        self._rejects.add(source.name, number, str(error), columns, fields)

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
