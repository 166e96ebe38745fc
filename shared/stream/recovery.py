"""Recovery: leases that ran out, dead letters, and trying these again. Our own sweep, not RQ's.

RQ's cleanup fetches job by job, counts by the client's clock, runs a job's failure callback
unasked, and one damaged record stops it for good. This one is a script: bounded work a run, the
server's clock, and it acts only on entries that it has itself removed. It does not know RQ's
classes or what a job does.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from shared.stream.lua import BURY, WAKE
from shared.stream.names import MAX_RETRIES, failed_key, flight_key, job_key, queue_key

# Leases looked at in one script: about 5 ms, for that long nobody else is served.
SWEEP_JOBS = 1000
_DIED = (
    "its worker died or hung on every try (killed, out of memory, crashed or stuck in a model call)"
)

# ARGV: queue, most entries, grace seconds, reason of the last death. Returns how many entries were
# taken off. Where nobody swept for longer than the grace, the server or all of its clients were
# away, and no lease could be renewed: overdue ones get that time once more instead of a retry less.
_SWEEP = (
    WAKE
    + BURY
    + """
local queue, limit, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local flight, now = 'rq:wip:' .. queue, now_seconds()
local swept = tonumber(redis.call('GET', 'b:swept:' .. queue) or '0')
redis.call('SET', 'b:swept:' .. queue, now)
if redis.call('ZCARD', flight) == 0 then return 0 end
local entries = redis.call('ZRANGEBYSCORE', flight, '-inf', now, 'LIMIT', 0, limit)
if swept > 0 and now - swept > grace then
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', flight, '-inf', now)) do
    redis.call('ZADD', flight, 'XX', now + grace, entry)
  end
  return 0
end
for _, entry in ipairs(entries) do
  redis.call('ZREM', flight, entry)
  local id = entry:match('^(.*):[^:]*$') or entry
  local job = 'rq:job:' .. id
  local known = redis.pcall('HMGET', job, 'status', 'retries_left', 'reason', 'data')
  local left = not known.err and tonumber(known[2] or '0')
  if known.err or not left or (not known[1] or not known[4]) then
    bury(queue, id, 'its record on the server is damaged or gone')
  elseif known[1] == 'started' then
    if left < 1 then
      local before = known[3] and ('; an earlier try: ' .. known[3]) or ''
      bury(queue, id, ARGV[4] .. before)
    else
      redis.call('HSET', job, 'status', 'queued', 'retries_left', left - 1, 'lost', entry)
      redis.call('RPUSH', 'rq:queue:' .. queue, id)
      wake(queue)
    end
  end
end
return #entries
"""
)

# ARGV: queue, job id, retries to give. 1 if it was a dead letter and waits again.
_REQUEUE = (
    WAKE
    + """
local queue, id, job = ARGV[1], ARGV[2], 'rq:job:' .. ARGV[2]
if redis.call('ZREM', 'rq:failed:' .. queue, id) == 0 then return 0 end
redis.call('HSET', job, 'status', 'queued', 'retries_left', ARGV[3])
redis.call('HDEL', job, 'reason', 'failed_at', 'lost')
redis.call('RPUSH', 'rq:queue:' .. queue, id)
wake(queue)
return 1
"""
)
_DROP = """
if redis.call('ZREM', 'rq:failed:' .. ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('DEL', 'rq:job:' .. ARGV[2], 'rq:results:' .. ARGV[2])
return 1
"""


def sweep(
    connection: redis.Redis,
    queues: Sequence[str],
    *,
    grace_seconds: float,
    limit_jobs: int = SWEEP_JOBS,
) -> int:
    """Put jobs whose lease ran out back on their queue, or among the dead when no retry is left.

    Any number of sweepers may run at once. A damaged record becomes a dead letter and stops nobody.

    Args:
        connection: the server.
        queues: whose leases to look at.
        grace_seconds: a longer silence of all sweepers counts as an outage (see _SWEEP); a lease.
        limit_jobs: the most entries of one script; it is repeated while it finds that many.

    Returns:
        How many leases had run out.
    """
    total = 0
    for queue in queues:
        while True:
            found = int(connection.eval(_SWEEP, 0, queue, limit_jobs, grace_seconds, _DIED))
            total += found
            if found < limit_jobs:
                break
    return total


def load(connection: redis.Redis, queues: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Per queue (waiting, in flight, dead letters), in jobs, all seen at one moment."""
    pipe = connection.pipeline(transaction=True)
    for queue in queues:
        pipe.llen(queue_key(queue))
        pipe.zcard(flight_key(queue))
        pipe.zcard(failed_key(queue))
    found = pipe.execute()
    return {
        queue: (found[3 * i], found[3 * i + 1], found[3 * i + 2]) for i, queue in enumerate(queues)
    }


@dataclass(frozen=True)
class DeadLetter:
    """A job that is out of retries: which reviews, since when (epoch seconds), and why."""

    job_id: str
    queue: str
    review_ids: tuple[str, ...]
    failed_at: float
    reason: str


def dead_letters(
    connection: redis.Redis, queues: Sequence[str], limit: int | None = None
) -> list[DeadLetter]:
    """Dead letters per queue, oldest first; with `limit` the newest so many of each.

    Two round trips.
    """
    first = 0 if limit is None else -limit
    pipe = connection.pipeline(transaction=False)
    for queue in queues:
        pipe.zrange(failed_key(queue), first, -1)
    names = [
        (queue, name.decode())
        for queue, found in zip(queues, pipe.execute(), strict=True)
        for name in found
    ]
    pipe = connection.pipeline(transaction=False)
    for _, name in names:
        pipe.hmget(job_key(name), "data", "failed_at", "reason")
    found = pipe.execute(raise_on_error=False)
    return [
        _letter(queue, name, fields) for (queue, name), fields in zip(names, found, strict=True)
    ]


def _letter(queue: str, name: str, fields: object) -> DeadLetter:
    if not isinstance(fields, list):  # a key of another type: nothing of it can be read
        return DeadLetter(name, queue, (), 0.0, "its record on the server is damaged")
    data, failed_at, reason = fields
    return DeadLetter(
        name, queue, _review_ids(data), float(failed_at or 0), (reason or b"unknown").decode()
    )


def _review_ids(data: bytes | None) -> tuple[str, ...]:
    """The first argument of a job as RQ writes it: zlib(JSON [function, instance, args, kwargs])."""
    try:
        ids = json.loads(zlib.decompress(data or b""))[2][0]
        return tuple(ids) if all(isinstance(i, str) for i in ids) else ()
    except (zlib.error, ValueError, IndexError, KeyError, TypeError):
        return ()  # a foreign or damaged job


def requeue(connection: redis.Redis, letter: DeadLetter) -> bool:
    """Try a dead letter again, in a smaller lane: it may kill a worker once more, but in little company."""
    return bool(connection.eval(_REQUEUE, 0, letter.queue, letter.job_id, MAX_RETRIES - 1))


def drop(connection: redis.Redis, letter: DeadLetter) -> bool:
    """Forget a dead letter; its reviews stay stored, without analysis."""
    return bool(connection.eval(_DROP, 0, letter.queue, letter.job_id))
