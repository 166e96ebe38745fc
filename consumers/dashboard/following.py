"""What happened since: changes of the feed that the record has read already, as far as a scope sees them.

Followers are told only of what a page read now would show. It does not know HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis
from sqlalchemy import Engine, select

from consumers.record.queries_themes import read_to
from consumers.record.schema import reviews
from consumers.record.scope import Scope
from shared.errors import FellBehind
from shared.review import Frozen
from shared.stream.feed import Feed

_MOST_ENTRIES, _MOST_IDS = 500, 100


class News(Frozen):
    """Reviews that were stored, analysed, changed or removed. `more`: how many beside those listed.

    `missed`: there is no telling what changed; read again what you show.
    """

    reviews: tuple[str, ...] = ()
    more: int = 0
    missed: bool = False


@dataclass(frozen=True)
class Following:
    """Reads what is new for one scope."""

    engine: Engine
    redis: redis.Redis
    scope: Scope

    def place(self) -> str:
        """How far the record has read the feed; "" where it has read nothing yet."""
        with self.engine.connect() as connection:
            read = read_to(connection)
        return "" if read is None else read[0]

    def since(self, place: str) -> tuple[str, News | None]:
        """Where to go on, and what happened between; None: nothing that the scope may see.

        Raises:
            TemporaryFailure: the server cannot be used.
        """
        now = self.place()
        if now == place or not now:
            return place, None
        if not place:
            return now, News(missed=True)
        try:
            entries = Feed(self.redis).after(place, _MOST_ENTRIES)
        except FellBehind:
            return now, News(missed=True)
        read = [entry for entry in entries if _order(entry.id) <= _order(now)]
        if not read:
            return now, News(missed=True)
        ids = list(dict.fromkeys(change.review_id for e in read for change in e.changes))
        mine = self._mine(ids)
        if not mine:
            return read[-1].id, None
        return read[-1].id, News(reviews=tuple(mine[:_MOST_IDS]), more=len(mine[_MOST_IDS:]))

    def _mine(self, ids: list[str]) -> list[str]:
        """Those that the scope may know of.

        A review that is gone has no business: only who sees all hears of it.
        """
        if self.scope.business is None or not ids:
            return ids
        query = select(reviews.c.id).where(self.scope.limits(reviews.c.business))
        with self.engine.connect() as connection:
            found: set[str] = set()
            for first in range(0, len(ids), 500):
                some = reviews.c.id.in_(ids[first : first + 500])
                found.update(connection.scalars(query.where(some)))
        return [i for i in ids if i in found]


def _order(place: str) -> tuple[int, int]:
    milliseconds, _, number = place.partition("-")
    return int(milliseconds), int(number or 0)
