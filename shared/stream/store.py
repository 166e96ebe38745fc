"""Reviews and analyses in Redis: the only file that knows the keys.

    b:r:ID         the Review as bytes (records.py)      b:stats     HASH of counters
    b:a:ID         its Analysis as bytes                 b:warnings  HASH kind -> sentence
    b:rate:MINUTE  analyses saved                        b:sizes, b:day:*, b:leaves:*  the day index (days.py)

An analysis belongs to one version of a review (its text, title and rating), so a late result for an
old text is refused, and saving twice changes nothing. Every write is one script: a review is never
stored without its job, nor a job without its review. One Redis node (or Sentinel), not Redis
Cluster. It does not know models, HTTP or files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import redis

from shared.review import Analysis, Review
from shared.settings import Settings
from shared.stream.browse import Browse
from shared.stream.calls import call
from shared.stream.memory import MemoryGuard
from shared.stream.names import BACKFILL, LIVE, queue_key
from shared.stream.records import pack_analyses, unpack_pair, unpack_review
from shared.stream.scripts import DELETE, KNOWN, PENDING, PUT, SAVE
from shared.stream.status import in_force
from shared.stream.writing import durably, put_arguments, too_many

Outcome = Literal["new", "updated", "same"]


class Store:
    """Reads and writes reviews and analyses.

    All methods raise TemporaryFailure when the server cannot be used.
    """

    def __init__(
        self,
        connection: redis.Redis,
        *,
        max_queued: int = 1_000_000,
        chunk_reviews: int = 64,
        max_memory: int | None = None,
    ) -> None:
        self.connection = connection
        self._memory = MemoryGuard(connection, max_memory)
        self._max_queued, self._chunk_reviews = max_queued, chunk_reviews
        self._put = connection.register_script(PUT)
        self._known = connection.register_script(KNOWN)
        self._pending = connection.register_script(PENDING)
        self._save = connection.register_script(SAVE)
        self._delete = connection.register_script(DELETE)

    def put(
        self, reviews: Sequence[Review], queue: str = LIVE, *, durable_seconds: float | None = None
    ) -> list[Outcome]:
        """Store reviews as pending and enqueue ONE job for them, atomically; idempotent by (id, version).

        Args:
            reviews: 1 for `live`, up to a chunk for `backfill`; ids must differ.
            queue: LIVE or BACKFILL.
            durable_seconds: return only once the server's disk has it (WAITAOF, Redis/Valkey >=
                7.2), waiting so long.

        Returns:
            What became of each, same order. "updated" supersedes the stored text and drops its
            analysis.

        Raises:
            Overloaded: too many reviews wait, or the server's memory is nearly full; nothing was
                stored.
            TemporaryFailure: the server could not write, or the disk did not confirm in time; safe
                to repeat.
        """
        self._memory.check()
        args = put_arguments(self.connection, reviews, queue, self._max_queued, self._chunk_reviews)
        out = (
            self._run(self._put, args)
            if durable_seconds is None
            else durably(self.connection, PUT, args, durable_seconds)
        )
        if out == b"overloaded":
            raise too_many(self._max_queued)
        return [o.decode() for o in out]

    def known(self, reviews: Sequence[Review]) -> list[bool]:
        """For each review: is this very version stored already? One round trip."""
        found = self._run(self._known, [r.id for r in reviews])
        return [f == bytes.fromhex(r.version) for f, r in zip(found, reviews, strict=True)]

    def pending(self, ids: Sequence[str]) -> list[Review]:
        """The reviews among `ids` that exist and have no analysis of their current version yet.

        One script.
        """
        return [unpack_review(blob) for blob in self._run(self._pending, list(ids))] if ids else []

    def save(self, pairs: Iterable[tuple[Review, Analysis]]) -> int:
        """Save analyses in one round trip; one whose review changed or vanished meanwhile is refused, silently.

        Returns:
            How many were saved.
        """
        pairs = list(pairs)
        args: list[object] = []
        for (review, _), packed in zip(pairs, pack_analyses(pairs), strict=True):
            args += [review.id, *packed]
        return int(self._run(self._save, args)) if args else 0

    def delete(self, ids: Sequence[str]) -> int:
        """Remove text, analysis and index entries.

        A job still queued for them finds nothing and ends well.
        """
        return int(self._run(self._delete, list(ids))) if ids else 0

    def reviews(self, ids: Sequence[str]) -> list[Review | None]:
        """Reviews by id, None where there is none, same order."""
        return [None if b is None else unpack_review(b) for b in self._get("b:r:", ids)]

    def analyses(self, ids: Sequence[str]) -> list[Analysis | None]:
        """Analyses by review id, None where there is none yet, same order."""
        return [pair and pair[1] for pair in self.pairs(ids)]

    def pairs(self, ids: Sequence[str]) -> list[tuple[Review, Analysis | None] | None]:
        """Reviews with their analyses by id, None where there is no review, same order.

        One command.
        """
        if not ids:
            return []
        keys = [prefix + i for i in ids for prefix in ("b:r:", "b:a:")]
        found = iter(call(lambda: self.connection.mget(keys)))
        return [
            None if review is None else unpack_pair(i, review, analysis)
            for i, review, analysis in zip(ids, found, found, strict=True)
        ]

    def all(self) -> Iterator[tuple[Review, Analysis | None]]:
        """Every review with its analysis, oldest first.

        See Browse.oldest_first for the exact order.
        """
        return Browse(self.connection).oldest_first()

    def counts(self) -> dict[str, int]:
        """Stored and analysed reviews, and reviews' jobs waiting per queue."""
        pipe = self.connection.pipeline(transaction=False)
        pipe.hget("b:stats", "stored")
        pipe.hget("b:stats", "analysed")
        pipe.llen(queue_key(LIVE))
        pipe.llen(queue_key(BACKFILL))
        stored, analysed, live, backfill = pipe.execute()
        return {
            "stored": int(stored or 0),
            "analysed": int(analysed or 0),
            "live": live,
            "backfill": backfill,
        }

    def warn(self, kind: str, text: str | None, *, lasts_seconds: float = 0) -> None:
        """Raise a warning that `beyond status` shows until it is lifted with None.

        Args:
            kind: whose warning and of what, e.g. "adapter HOST.PID"; only its own cause lifts it.
            text: one sentence, or None.
            lasts_seconds: shown for so long, if not raised again; 0: until lifted. For processes
                that may be killed before they can lift it.
        """
        if text is None:
            call(lambda: self.connection.hdel("b:warnings", kind))
            return
        until = time.time() + lasts_seconds if lasts_seconds else 0
        call(lambda: self.connection.hset("b:warnings", kind, f"{until:.0f} {text}"))

    def warnings(self) -> dict[str, str]:
        """Warnings in force, by kind."""
        return in_force(call(lambda: self.connection.hgetall("b:warnings")))

    def _get(self, prefix: str, ids: Sequence[str]) -> list[bytes | None]:
        return list(call(lambda: self.connection.mget([prefix + i for i in ids]))) if ids else []

    def _run(self, script: Any, args: list[object]) -> Any:
        return call(lambda: script(args=args))


def store_of(settings: Settings, connection: redis.Redis) -> Store:
    """The store with the limits that the settings give."""
    return Store(
        connection,
        max_queued=settings.max_queued,
        chunk_reviews=settings.chunk_reviews,
        max_memory=settings.max_memory,
    )
