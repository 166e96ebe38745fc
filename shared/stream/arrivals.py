"""Events about reviews, stored so that their own time decides and not the order in which they arrive.

One script compares each event's time with the newest that was seen for its review, then stores and
deletes, each delivery all or nothing; one WAITAOF waits for the disk, for all deliveries of a call.
`b:event:ID` holds the newest time in milliseconds, also after a deletion: an older update that
arrives late does not bring a review back.
A delivery may have to pay for itself first (rate_limit.py). It does not know platforms, HTTP or how
reviews are analysed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import redis
from redis.exceptions import ResponseError

from shared.errors import BeyondError, Overloaded, TemporaryFailure
from shared.review import Review
from shared.settings import Settings
from shared.stream.calls import call
from shared.stream.memory import MemoryGuard
from shared.stream.names import LIVE
from shared.stream.rate_limit import CHARGE, Bucket, Refusal, bucket_values
from shared.stream.scripts import DELETE, PUT
from shared.stream.writing import durably, put_arguments, too_many

Arrived = Literal["new", "updated", "same", "deleted", "stale"]

# Platforms repeat a failed delivery for at most some days (Svix three, Pub/Sub seven): a month
# is long enough to recognise a late one, and costs about 100 bytes a review for that month.
REMEMBER_SECONDS = 30 * 86400

# ARGV: seconds to remember, then per delivery the number of values of its buckets and those, the
# number of its other values and those: number of timed events, (id, milliseconds) each, number of ids
# to delete, those ids, then PUT's arguments where there is something to store. PUT and DELETE become
# functions here, whose ARGV is a parameter. Returns per delivery {"refused", milliseconds, bucket},
# {"stale", ids} or "overloaded": nothing was done; or {"done", outcomes of the stored}. A delivery sees
# what those before it did.
ARRIVE = f"""
{CHARGE}
local function put(ARGV)
{PUT}
end
local function erase(ARGV)
{DELETE}
end
local function part(list, first, last)
  local out = {{}}
  for i = first, last do out[#out + 1] = list[i] end
  return out
end
local remember = ARGV[1]
local function arrive(values)
  local timed, stale = tonumber(values[1]), {{}}
  for i = 2, 2 * timed, 2 do
    local newest = redis.call('GET', 'b:event:' .. values[i])
    if newest and tonumber(newest) > tonumber(values[i + 1]) then stale[#stale + 1] = values[i] end
  end
  if #stale > 0 then return {{'stale', stale}} end
  local deletions = 2 + 2 * timed
  local stores = deletions + tonumber(values[deletions]) + 1
  local out = {{}}
  if stores <= #values then out = put(part(values, stores, #values)) end
  if out == 'overloaded' then return out end
  erase(part(values, deletions + 1, stores - 1))
  for i = 2, 2 * timed, 2 do
    redis.call('SET', 'b:event:' .. values[i], values[i + 1], 'EX', remember)
  end
  return {{'done', out}}
end
local answers, at = {{}}, 2
while at <= #ARGV do
  local paid = at + tonumber(ARGV[at])
  local last = paid + 1 + tonumber(ARGV[paid + 1])
  local wait, bucket = charge(ARGV, at + 1, paid)
  if wait > 0 then answers[#answers + 1] = {{'refused', wait, bucket}}
  elseif last == paid + 1 then answers[#answers + 1] = {{'done', {{}}}}
  else answers[#answers + 1] = arrive(part(ARGV, paid + 2, last)) end
  at = last + 1
end
return answers
"""


@dataclass(frozen=True)
class Arrival:
    """A review to store, or (`review` None) to delete; `happened_at` is the event's own time, if it has one."""

    review_id: str
    review: Review | None
    happened_at: datetime | None = None


@dataclass(frozen=True)
class Bundle:
    """A delivery: what is stored and deleted together, or not at all. One arrival per review id, at most.

    `buckets`: what it pays before. Without arrivals it only pays.
    """

    arrivals: Sequence[Arrival] = ()
    buckets: Sequence[Bucket] = ()


# What became of each arrival, same order ("stale": a newer event of that review came before); or
# which bucket is empty, or why nothing was stored.
Outcome = list[Arrived] | Refusal | BeyondError


class Arrivals:
    """Takes bundles: one script and one WAITAOF for all, and once more where some reviews are stale."""

    def __init__(
        self, connection: redis.Redis, max_queued: int, chunk_reviews: int, max_memory: int | None
    ) -> None:
        self._connection = connection
        self._max_queued, self._chunk_reviews = max_queued, chunk_reviews
        self._memory = MemoryGuard(connection, max_memory)

    def take(self, arrivals: Sequence[Arrival], durable_seconds: float) -> list[Arrived]:
        """One bundle, on disk before this returns; see Outcome.

        Args:
            arrivals: one per review id, at most.
            durable_seconds: how long to wait for the server's disk.

        Raises:
            Overloaded, TemporaryFailure: safe to repeat; Overloaded has stored nothing.
        """
        (outcome,) = self.take_many([Bundle(arrivals)], durable_seconds)
        if isinstance(outcome, BeyondError):
            raise outcome
        return outcome if isinstance(outcome, list) else []

    def take_many(self, bundles: Sequence[Bundle], durable_seconds: float) -> list[Outcome]:
        """Several bundles together, in their order, each all or none and with its own outcome."""
        try:
            self._memory.check()
        except TemporaryFailure as error:
            return [error] * len(bundles)
        work = [_Work(bundle) for bundle in bundles]
        self._finish(work, durable_seconds)
        return [one.outcome for one in work if one.outcome is not None]

    def _finish(self, work: list[_Work], seconds: float) -> None:
        """Write until each has an outcome.

        One that the server cannot take harms no other: halves are tried.
        """
        while work:
            arguments: list[object] = [REMEMBER_SECONDS]
            for one in work:
                values = self._values(one.fresh)
                arguments += [len(one.paying), *one.paying, len(values), *values]
            try:
                answers = self._ask(arguments, any(one.fresh for one in work), seconds)
            except TemporaryFailure as error:
                refused = isinstance(error.__cause__, ResponseError)
                if len(work) > 1 and refused and not isinstance(error, Overloaded):
                    middle = len(work) // 2
                    self._finish(work[:middle], seconds)
                    self._finish(work[middle:], seconds)
                    return
                for one in work:
                    one.outcome = error
                return
            for one, answer in zip(work, answers, strict=True):
                one.hear(answer, self._max_queued)
            work = [one for one in work if one.outcome is None]

    def _ask(self, arguments: list[object], writes: bool, seconds: float) -> list[Any]:
        if writes:
            return list(durably(self._connection, ARRIVE, arguments, seconds))
        return list(call(lambda: self._connection.eval(ARRIVE, 0, *arguments)))  # type: ignore[arg-type]

    def _values(self, fresh: Sequence[Arrival]) -> list[object]:
        if not fresh:
            return []
        timed = [(a.review_id, a.happened_at) for a in fresh if a.happened_at is not None]
        deleted = [a.review_id for a in fresh if a.review is None]
        stored = [a.review for a in fresh if a.review is not None]
        out: list[object] = [len(timed)]
        for identity, moment in timed:
            out += [identity, int(moment.timestamp() * 1000)]
        out += [len(deleted), *deleted]
        if not stored:
            return out
        return out + put_arguments(
            self._connection, stored, LIVE, self._max_queued, self._chunk_reviews
        )


class _Work:
    """One bundle on its way through the script: what is still to be paid and written, and its outcome."""

    def __init__(self, bundle: Bundle) -> None:
        self._arrivals = self.fresh = list(bundle.arrivals)
        self.paying = bucket_values(bundle.buckets)
        self._stale: set[str] = set()
        self.outcome: Outcome | None = None

    def hear(self, answer: Any, max_queued: int) -> None:
        """The script's answer about it; where some were stale, `fresh` is what is left to try."""
        self.paying = []
        if answer == b"overloaded":
            self.outcome = too_many(max_queued)
        elif answer[0] == b"refused":
            self.outcome = Refusal(answer[2].decode(), answer[1] / 1000)
        elif answer[0] == b"done":
            stored = [o.decode() for o in answer[1]]
            self.outcome = _outcomes(self._arrivals, self._stale, stored)
        else:
            self._stale |= {i.decode() for i in answer[1]}
            self.fresh = [a for a in self._arrivals if a.review_id not in self._stale]
            if not self.fresh:
                self.outcome = ["stale"] * len(self._arrivals)


def _outcomes(arrivals: Sequence[Arrival], stale: set[str], stored: Sequence[Any]) -> list[Arrived]:
    left = iter(stored)
    return [
        "stale" if a.review_id in stale else "deleted" if a.review is None else next(left)
        for a in arrivals
    ]


def arrivals_of(settings: Settings, connection: redis.Redis) -> Arrivals:
    """Arrivals with the limits that the settings give."""
    return Arrivals(connection, settings.max_queued, settings.chunk_reviews, settings.max_memory)
