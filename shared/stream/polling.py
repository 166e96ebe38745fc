"""Who polls a source, when, and from where: one poller across machines, with a fencing token.

`b:poll:SOURCE` is a HASH: `fence` (grows with every claim), `until` (end of the lease), `due`,
`hold` (the source said: not before), `state` (the poller's own JSON). Whoever claims gets the next
fence; a write with an older one is refused, so a poller that was suspended beyond its lease cannot
put the cursor back. All times are the server's, in seconds. `b:wanted:SOURCE` is a ZSET of reviews
that a notification only named, by the time it came. It knows no HTTP and no source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from shared.errors import Overloaded, TemporaryFailure
from shared.stream.calls import call
from shared.stream.lua import NOW
from shared.stream.writing import durably

# Names that wait to be fetched, per source: past it the notifier is told to come back later.
MAX_WANTED = 10_000

# ARGV: source, lease seconds, 1 to ignore `due`. Returns fence and state, or 0 and seconds to wait.
_CLAIM = (
    NOW
    + """
local key, now = 'b:poll:' .. ARGV[1], now_seconds()
local got = redis.call('HMGET', key, 'until', 'due', 'hold', 'state')
local wait = math.max(tonumber(got[1] or 0), tonumber(got[3] or 0)) - now
if ARGV[3] ~= '1' then wait = math.max(wait, tonumber(got[2] or 0) - now) end
if wait > 0 then return {0, tostring(wait)} end
local fence = redis.call('HINCRBY', key, 'fence', 1)
redis.call('HSET', key, 'until', now + tonumber(ARGV[2]))
return {fence, got[4] or ''}
"""
)
# ARGV: source, fence, state, lease seconds (0: the claim ends), seconds to the next poll (''
# leaves it), seconds to hold. Returns 1, or 0 where somebody claimed meanwhile.
_SAVE = (
    NOW
    + """
local key, now = 'b:poll:' .. ARGV[1], now_seconds()
if redis.call('HGET', key, 'fence') ~= ARGV[2] then return 0 end
local lease = tonumber(ARGV[4])
redis.call('HSET', key, 'state', ARGV[3], 'until', lease > 0 and now + lease or 0)
if lease == 0 then redis.call('HSET', key, 'hold', now + ARGV[6]) end
if lease == 0 and ARGV[5] ~= '' then redis.call('HSET', key, 'due', now + ARGV[5]) end
return 1
"""
)
# ARGV: most names, then (source, name) each. Adds all, or none where a source would have too many.
_WANT = (
    NOW
    + """
for i = 2, #ARGV, 2 do
  if redis.call('ZCARD', 'b:wanted:' .. ARGV[i]) >= tonumber(ARGV[1]) then return 'overloaded' end
end
local now = now_seconds()
for i = 2, #ARGV, 2 do redis.call('ZADD', 'b:wanted:' .. ARGV[i], now, ARGV[i + 1]) end
return 'done'
"""
)
# ARGV: source, name, its time when it was taken. One that was named again meanwhile stays.
_FETCHED = """
local key = 'b:wanted:' .. ARGV[1]
if redis.call('ZSCORE', key, ARGV[2]) == ARGV[3] then return redis.call('ZREM', key, ARGV[2]) end
return 0
"""


class LostTurn(TemporaryFailure):
    """Another poller took the source over; what this one stored stays, its cursor is not kept."""


@dataclass(frozen=True)
class Turn:
    """A claim on a source. `state` is what the last save kept, "" at first."""

    source: str
    fence: int
    state: str


@dataclass(frozen=True)
class Standing:
    """How a source stands, for people; seconds from now, negative where past."""

    state: str
    due_seconds: float | None
    busy: bool
    wanted: int


class Turns:
    """Claims on sources, on one server."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def claim(self, source: str, lease_seconds: float, *, now: bool = False) -> Turn | float:
        """The turn, or how many seconds until there can be one (busy elsewhere, not due, on hold).

        Args:
            source: its name.
            lease_seconds: a silent poller loses the source after this.
            now: do not wait for the schedule; a source's own "not before" still counts.
        """
        fence, rest = call(
            lambda: self._redis.eval(_CLAIM, 0, source, lease_seconds, int(now))  # type: ignore[arg-type]
        )
        return Turn(source, int(fence), rest.decode()) if fence else float(rest)

    def save(self, turn: Turn, state: str, lease_seconds: float) -> None:
        """Keep the state and renew the lease.

        Raises:
            LostTurn: another poller claimed the source meanwhile.
        """
        self._save(turn, state, lease_seconds, None, 0)

    def end(
        self, turn: Turn, state: str, due_seconds: float | None, hold_seconds: float = 0
    ) -> None:
        """Keep the state and give the source back.

        Args:
            turn: the claim.
            state: what the next turn begins with.
            due_seconds: from now to the next poll; None: as it was.
            hold_seconds: not even an impatient person may poll before.

        Raises:
            LostTurn: another poller claimed the source meanwhile.
        """
        self._save(turn, state, 0, due_seconds, hold_seconds)

    def _save(self, turn: Turn, state: str, lease: float, due: float | None, hold: float) -> None:
        arguments = (turn.source, turn.fence, state, lease, "" if due is None else due, hold)
        if not call(lambda: self._redis.eval(_SAVE, 0, *arguments)):  # type: ignore[arg-type]
            raise LostTurn(f"{turn.source}: another poller took over; this one's cursor is refused")

    def standing(self, source: str) -> Standing:
        """How a source stands now. Three round trips."""
        seconds, micros = call(self._redis.time)  # type: ignore[misc]
        now = seconds + micros / 1e6
        got = call(lambda: self._redis.hmget(f"b:poll:{source}", ["state", "due", "until"]))
        state, due, until = got  # type: ignore[misc]
        return Standing(
            state.decode() if state else "",
            float(due) - now if due else None,
            bool(until) and float(until) > now,
            int(call(lambda: self._redis.zcard(f"b:wanted:{source}"))),  # type: ignore[arg-type]
        )


class Wanted:
    """Reviews that were only named, until they are fetched."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def add(self, pairs: Sequence[tuple[str, str]], durable_seconds: float) -> None:
        """Remember (source, name) pairs, all or none, on disk before this returns; idempotent.

        Raises:
            Overloaded: too many names wait already: does `beyond poll` run?
            TemporaryFailure: the server cannot be used.
        """
        flat = [part for pair in pairs for part in pair]
        out = durably(self._redis, _WANT, [MAX_WANTED, *flat], durable_seconds)
        if out == b"overloaded":
            raise Overloaded(
                f"{MAX_WANTED} reviews that were only named wait to be fetched; is `beyond poll` "
                "running?",
                60,
            )

    def oldest(self, source: str, most: int) -> list[tuple[str, bytes]]:
        """Names that wait, longest first, each with its time for `fetched`."""
        found = call(lambda: self._redis.zrange(f"b:wanted:{source}", 0, most - 1))
        names = [name.decode() for name in found]  # type: ignore[union-attr]
        times = call(lambda: [self._score(source, name) for name in names])
        return [(n, t) for n, t in zip(names, times, strict=True) if t is not None]

    def _score(self, source: str, name: str) -> bytes | None:
        # Through a script: the client would round the time, and `fetched` compares its digits.
        read = "return redis.call('ZSCORE', 'b:wanted:' .. ARGV[1], ARGV[2])"
        found: bytes | None = self._redis.eval(read, 0, source, name)  # type: ignore[assignment]
        return found

    def fetched(self, source: str, name: str, time: bytes) -> None:
        """Forget a name, unless it was named again since `oldest` gave it."""
        call(lambda: self._redis.eval(_FETCHED, 0, source, name, time))  # type: ignore[arg-type]
