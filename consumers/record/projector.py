"""The projector: follows the feed and keeps the record equal to the store.

It reads an entry, then the store, then writes, always under the database's write lock; how far it
came is written in the same transaction. So it may be killed at any point, and several at once do no
harm: each goes on where the record is. It does not know rows; project.py does.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import OperationalError

from consumers.record.database import writing
from consumers.record.rebuild import count_again, missing
from consumers.record.refresh import News, Refresher
from consumers.record.schema import progress
from shared.errors import FellBehind, TemporaryFailure
from shared.stream.browse import Browse
from shared.stream.feed import Entry, Feed
from shared.stream.store import Store
from shared.telemetry import RECORD_LAG, log

# Reviews of one transaction: fewer cost more of them, more keep people's writes waiting.
BATCH_REVIEWS = 1000
_WAIT_SECONDS = 1.0
_AWAY_SECONDS = 2.0
_NAME = "feed"


class Projector:
    """Keeps one record.

    Args:
        engine: of open_database.
        store: what the record is made of.
        stopping: asked between two batches, also of a rebuild, which then stays unfinished.
        news: told, in the same transaction, of each batch that the feed brought; not of a rebuild.
        beside: called before each batch, in no transaction: brings what is not in the store.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        stopping: Callable[[], bool] = lambda: False,
        news: News = lambda connection, pairs: None,
        beside: Callable[[], object] = lambda: None,
    ) -> None:
        self._engine, self._store, self._stopping = engine, store, stopping
        self._refresher, self._beside = Refresher(engine, store, news), beside
        self._feed = Feed(store.connection)
        # Entries that were read and not applied yet, and the place before them.
        self._ahead: tuple[str | None, list[Entry]] = (None, [])
        self._trouble: str | None = None
        self._log = log("record")

    def run(self) -> None:
        """Follow the feed until `stopping`.

        Where the server or the database is away, wait for it.
        """
        while not self._stopping():
            try:
                if self.step() is None:
                    RECORD_LAG.set(0)
                    self._feed.wait(self.place() or self._feed.last(), _WAIT_SECONDS)
            except (TemporaryFailure, OperationalError) as error:
                self._say(f"the record waits: {str(error).splitlines()[0]}")
                time.sleep(_AWAY_SECONDS)
            else:
                self._say(None)

    def _say(self, trouble: str | None) -> None:
        """Once for each trouble, in the log and in `beyond status`; None: it is over."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            self._log.warning("record_waits", reason=trouble)
        with suppress(TemporaryFailure):  # perhaps it is the server that is away
            self._store.warn("record", trouble)

    def catch_up(self) -> int:
        """Apply all that is there; how many reviews changed."""
        total = 0
        while not self._stopping() and (changed := self.step()) is not None:
            total += changed
        return total

    def step(self) -> int | None:
        """Apply the next entries, or start over where some were missed.

        Returns:
            How many reviews changed; None: there was no entry.

        Raises:
            TemporaryFailure: the server cannot be used.
        """
        self._beside()
        found = self._refresher.transaction(self._next_batch)
        if not isinstance(found, FellBehind):
            return found
        self._log.info("record_starts_over", reason=str(found))
        return self.rebuild()

    def place(self) -> str | None:
        """The last entry that the record has; None: it was never filled."""
        with self._engine.connect() as connection:
            return _place(connection)

    def rebuild(self, anew: bool = False) -> int:
        """Make the record equal to the store by walking all of both; people's tables are not touched.

        Readers see the record as it was until each page is replaced. A projector may run meanwhile.

        Args:
            anew: write also what looks the same, and count all days again.

        Returns:
            How many reviews changed.
        """
        last = self._feed.last()  # what changes from now on comes again after the walk
        changed = 0
        server = self._store.connection
        for ids in chain(Browse(server).ids(), missing(self._engine, server)):
            if self._stopping():
                return changed
            changed += self._refresher.transaction(
                partial(self._refresher.refresh, ids=ids, anew=anew)
            )
        if anew:
            count_again(self._engine)
        with writing(self._engine, alone=True) as connection:
            _set_place(connection, last)
        return changed

    def _next(self, place: str) -> list[Entry]:
        """The entries after `place` that fill a batch."""
        before, left = self._ahead
        if before != place or not left:
            left = self._feed.after(place)
        some = _some(left)
        self._ahead = (some[-1].id if some else place, left[len(some) :])
        return some

    def _next_batch(self, connection: Connection, careful: bool) -> int | None | FellBehind:
        """What `step` says, or why a rebuild is needed; that takes transactions of its own."""
        place = _place(connection)
        if place is None:
            return FellBehind("it was never filled")
        try:
            entries = self._next(place)
        except FellBehind as behind:
            return behind
        if not entries:
            return None
        # A reply changes neither review nor analysis: `beside` brings it.
        changes = (c for e in entries if e.kind != "reply" for c in e.changes)
        ids = dict.fromkeys(c.review_id for c in changes)
        changed = self._refresher.refresh(connection, careful, list(ids), news=True)
        _set_place(connection, entries[-1].id)
        RECORD_LAG.set(max(0.0, time.time() - entries[-1].at.timestamp()))
        return changed


def calm_collector() -> None:
    """Look for cycles of garbage a hundred times less often.

    A batch makes many objects and no cycles; for a process that only projects it is a fifth of its time.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def _some(entries: Sequence[Entry]) -> list[Entry]:
    """The first entries, up to about a batch of different reviews."""
    out: list[Entry] = []
    ids: set[str] = set()
    for entry in entries:
        ids.update(change.review_id for change in entry.changes)
        if out and len(ids) > BATCH_REVIEWS:
            break
        out.append(entry)
    return out


def _place(connection: Connection) -> str | None:
    found = connection.scalar(select(progress.c.entry).where(progress.c.name == _NAME))
    return None if found is None else str(found)


def _set_place(connection: Connection, entry: str) -> None:
    connection.execute(delete(progress).where(progress.c.name == _NAME))
    row = {"name": _NAME, "entry": entry, "updated_at": int(time.time())}
    connection.execute(insert(progress), row)
