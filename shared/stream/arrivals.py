"""Events about reviews, stored so that their own time decides and not the order in which they arrive.

One script compares each event's time with the newest that was seen for its review, then stores and
deletes, all or nothing; one WAITAOF waits for the disk. `b:event:ID` holds the newest time in
milliseconds, also after a deletion: an older update that arrives late does not bring a review back.
It does not know platforms, HTTP or how reviews are analysed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import redis

from shared.review import Review
from shared.settings import Settings
from shared.stream.memory import MemoryGuard
from shared.stream.names import LIVE
from shared.stream.scripts import DELETE, PUT
from shared.stream.writing import durably, put_arguments, too_many

Arrived = Literal["new", "updated", "same", "deleted", "stale"]

# Platforms repeat a failed delivery for at most some days (Svix three, Pub/Sub seven): a month
# is long enough to recognise a late one, and costs about 100 bytes a review for that month.
REMEMBER_SECONDS = 30 * 86400

# ARGV: seconds to remember, number of timed events, (id, milliseconds) each, number of ids to
# delete, those ids, then PUT's arguments where there is something to store. PUT and DELETE become
# functions here, whose ARGV is a parameter. Returns {"stale", ids}: nothing was done; "overloaded":
# neither; or {"done", outcomes of the stored}.
ARRIVE = f"""
local function put(ARGV)
{PUT}
end
local function erase(ARGV)
{DELETE}
end
local function part(first, last)
  local out = {{}}
  for i = first, last do out[#out + 1] = ARGV[i] end
  return out
end
local timed, stale = tonumber(ARGV[2]), {{}}
for i = 3, 1 + 2 * timed, 2 do
  local newest = redis.call('GET', 'b:event:' .. ARGV[i])
  if newest and tonumber(newest) > tonumber(ARGV[i + 1]) then stale[#stale + 1] = ARGV[i] end
end
if #stale > 0 then return {{'stale', stale}} end
local deletions = 3 + 2 * timed
local stores = deletions + tonumber(ARGV[deletions]) + 1
local out = {{}}
if stores <= #ARGV then out = put(part(stores, #ARGV)) end
if out == 'overloaded' then return out end
erase(part(deletions + 1, stores - 1))
for i = 3, 1 + 2 * timed, 2 do
  redis.call('SET', 'b:event:' .. ARGV[i], ARGV[i + 1], 'EX', ARGV[1])
end
return {{'done', out}}
"""


@dataclass(frozen=True)
class Arrival:
    """A review to store, or (`review` None) to delete; `happened_at` is the event's own time, if it has one."""

    review_id: str
    review: Review | None
    happened_at: datetime | None = None


class Arrivals:
    """Takes the events of one delivery. One script and one WAITAOF, plus one script more where some are stale."""

    def __init__(
        self, connection: redis.Redis, max_queued: int, chunk_reviews: int, max_memory: int | None
    ) -> None:
        self._connection = connection
        self._max_queued, self._chunk_reviews = max_queued, chunk_reviews
        self._memory = MemoryGuard(connection, max_memory)

    def take(self, arrivals: Sequence[Arrival], durable_seconds: float) -> list[Arrived]:
        """Store and delete all of `arrivals`, less the stale ones; on disk before this returns.

        Args:
            arrivals: one per review id, at most.
            durable_seconds: how long to wait for the server's disk.

        Returns:
            What became of each, same order. "stale": a newer event of that review came before.

        Raises:
            Overloaded, TemporaryFailure: safe to repeat; Overloaded has stored nothing.
        """
        self._memory.check()
        stale: set[str] = set()
        while fresh := [a for a in arrivals if a.review_id not in stale]:
            kind, found = self._durably(self._arguments(fresh), durable_seconds)
            if kind == b"done":
                return _outcomes(arrivals, stale, [o.decode() for o in found])
            stale |= {i.decode() for i in found}
        return ["stale"] * len(arrivals)

    def _arguments(self, fresh: Sequence[Arrival]) -> list[object]:
        timed = [(a.review_id, a.happened_at) for a in fresh if a.happened_at is not None]
        deleted = [a.review_id for a in fresh if a.review is None]
        stored = [a.review for a in fresh if a.review is not None]
        out: list[object] = [REMEMBER_SECONDS, len(timed)]
        for identity, moment in timed:
            out += [identity, int(moment.timestamp() * 1000)]
        out += [len(deleted), *deleted]
        if not stored:
            return out
        return out + put_arguments(
            self._connection, stored, LIVE, self._max_queued, self._chunk_reviews
        )

    def _durably(self, arguments: list[object], seconds: float) -> tuple[bytes, list[bytes]]:
        out = durably(self._connection, ARRIVE, arguments, seconds)
        if out == b"overloaded":
            raise too_many(self._max_queued)
        return out[0], out[1]


def _outcomes(arrivals: Sequence[Arrival], stale: set[str], stored: Sequence[Any]) -> list[Arrived]:
    left = iter(stored)
    return [
        "stale" if a.review_id in stale else "deleted" if a.review is None else next(left)
        for a in arrivals
    ]


def arrivals_of(settings: Settings, connection: redis.Redis) -> Arrivals:
    """Arrivals with the limits that the settings give."""
    return Arrivals(connection, settings.max_queued, settings.chunk_reviews, settings.max_memory)
