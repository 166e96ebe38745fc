"""Makes the record's rows of some reviews what the store says now; a review that cannot be written harms no other.

A batch is one transaction without savepoints: within one, FTS5 writes its index out after every
row, and a batch takes four times as long. Only where a batch fails it is tried again in parts,
each in a savepoint. It does not know the feed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from consumers.record.database import writing
from consumers.record.project import apply
from shared.errors import TemporaryFailure
from shared.stream.browse import Pair
from shared.stream.store import Store
from shared.telemetry import REVIEWS_RECORDED, log

T = TypeVar("T")
News = Callable[[Connection, Sequence[Pair]], object]
# The server or the database is away: no review is at fault, and the batch is for later.
_AWAY = (TemporaryFailure, OperationalError)
# A damaged record, or a value that the database does not take.
_DAMAGED = (DBAPIError, ValueError, LookupError)


class Refresher:
    """Writes into one record.

    Args:
        engine: of open_database.
        store: what the record is made of.
        news: told of reviews that are written, in the same transaction, where the caller says so.
    """

    def __init__(self, engine: Engine, store: Store, news: News) -> None:
        self._engine, self._store, self._news = engine, store, news
        self._log = log("record")

    def transaction(self, work: Callable[[Connection, bool], T]) -> T:
        """The result of `work(connection, careful)`, alone with the record.

        It is called a second time, carefully and from the beginning, where the first failed for a
        review's sake.
        """
        try:
            with writing(self._engine, alone=True) as connection:
                return work(connection, False)
        except _AWAY:
            raise
        except _DAMAGED:
            with writing(self._engine, alone=True) as connection:
                return work(connection, True)

    def refresh(
        self,
        connection: Connection,
        careful: bool,
        ids: Sequence[str],
        *,
        anew: bool = False,
        news: bool = False,
    ) -> int:
        """Make the rows of these ids what the store says now.

        Args:
            connection: as `transaction` gives it.
            careful: as `transaction` says; then what cannot be written is passed over.
            ids: of reviews that are stored, or were.
            anew: write also what looks the same.
            news: tell of them.

        Returns:
            How many reviews changed.
        """
        if not careful:
            return self._replace(connection, ids, anew, news)
        try:
            with connection.begin_nested():
                return self._replace(connection, ids, anew, news)
        except _AWAY:
            raise
        except _DAMAGED as error:
            if len(ids) > 1:
                half = len(ids) // 2
                parts = (ids[:half], ids[half:])
                return sum(
                    self.refresh(connection, True, part, anew=anew, news=news) for part in parts
                )
            self._log.error("review_not_recorded", review_id=ids[0], reason=type(error).__name__)
            return 0

    def _replace(self, connection: Connection, ids: Sequence[str], anew: bool, news: bool) -> int:
        found = dict(zip(ids, self._store.pairs(ids), strict=True))
        gone = [i for i, pair in found.items() if pair is None]
        pairs = [pair for pair in found.values() if pair is not None]
        changed = apply(connection, pairs, gone, anew=anew)
        if news and pairs:
            self._tell(connection, pairs)
        REVIEWS_RECORDED.inc(changed)
        return changed

    def _tell(self, connection: Connection, pairs: Sequence[Pair]) -> None:
        """Give out the news; whatever goes wrong there, the record has the reviews."""
        try:
            with connection.begin_nested():
                self._news(connection, pairs)
        except _AWAY:
            raise
        except Exception as error:
            if len(pairs) > 1:
                for pair in pairs:
                    self._tell(connection, [pair])
                return
            self._log.exception(
                "news_failed", review_id=pairs[0][0].id, reason=type(error).__name__
            )
