"""Backfill: files of historical reviews into intake; resumable, in constant memory, nothing lost silently.

How far a file has come is kept in the server beside the reviews themselves, so it can neither run
ahead of them nor outlive them. It does not know models or workers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis

from producers.intake import Intake
from producers.ratings import TOP_STARS
from producers.readers import Bad, Source, rows
from producers.taking import Options, StoppedAtBadLine, Taker, Tally
from shared.review import Review

# Reviews handed to intake at a time, and rows between two checkpoints: eight chunks of 64, so that
# a round trip is shared by many and a kill repeats less than a second of reading.
FLUSH_REVIEWS = 512


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
        self._taker, self._redis, self._options = (
            Taker(intake, options, rejects),
            connection,
            options,
        )
        self._progress = progress

    def run(self, path: str) -> Tally:
        """Read one file, address or "-" to its end, from where an earlier run stopped.

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
        done = tally.row
        waiting: list[Review] = []
        read = self._taker.reader(source)
        for number, row in self._rows(source, tally):
            if number <= done:
                continue
            review = self._taker.review(source, number, row, read, tally)
            if review is not None:
                waiting.append(review)
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

    def _flush(self, waiting: list[Review], tally: Tally, key: str | None, source: Source) -> None:
        self._taker.store(waiting, tally)
        if key:
            self._redis.set(key, json.dumps(asdict(tally)))
        waiting.clear()
        self._progress(tally, source)

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


__all__ = ["Backfill", "Options", "StoppedAtBadLine", "Tally"]
