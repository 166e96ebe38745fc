"""Claim, renew, settle, fail, release: what a worker does with jobs, each one script.

A claim gives a lease: an entry `job:execution` in the queue's flight set with the moment it runs
out, by the server's clock. Only whoever still holds the entry may settle, fail or release the job:
each script first removes it and stops where another was faster. So each of them may be repeated.
It does not know RQ's classes, what a job does, nor who recovers lost leases (recovery.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from shared.stream.lua import BURY, ENQUEUE, NOW, WAKE
from shared.stream.names import MAX_RETRIES

Fields = dict[str, object]

# ARGV: queue, jobs at most, lane or "", lease seconds, execution, worker, started_at, retries of a
# fresh job. Takes jobs of one lane from the head; ids that are not `queued` (left twice in the
# list) are dropped, damaged ones become dead letters. Returns {id, HGETALL} of each. What a claim
# took is kept for the length of its lease, so that a repeated one gets the same answer.
_CLAIM = (
    BURY
    + """
local queue, limit, lane = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local lease, execution, retries = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[8])
local list, claim = 'rq:queue:' .. queue, 'b:claim:' .. execution
local taken = redis.call('LRANGE', claim, 0, -1)
if #taken == 0 then
  local until_seconds = now_seconds() + lease
  while #taken < limit do
    local id = redis.call('LINDEX', list, 0)
    if not id then break end
    local job = 'rq:job:' .. id
    local known = redis.pcall('HMGET', job, 'status', 'retries_left', 'lost')
    local left = not known.err and tonumber(known[2] or '0')
    if known.err or (known[1] == 'queued' and not left) then
      redis.call('LPOP', list)
      bury(queue, id, 'its record on the server is damaged')
    elseif known[1] ~= 'queued' then
      redis.call('LPOP', list)
    else
      local tried = math.min(2, math.max(0, retries - left))
      if lane == nil then lane = tried elseif tried ~= lane then break end
      redis.call('LPOP', list)
      redis.call('ZADD', 'rq:wip:' .. queue, until_seconds, id .. ':' .. execution)
      redis.call('HSET', job, 'status', 'started', 'started_at', ARGV[7], 'worker_name', ARGV[6])
      if known[3] then redis.call('HDEL', job, 'lost') end
      redis.call('PERSIST', job)
      taken[#taken + 1] = id
    end
  end
  if #taken > 0 then
    redis.call('RPUSH', claim, unpack(taken))
    redis.call('EXPIRE', claim, math.max(1, math.ceil(lease)))
  end
end
local out = {}
for i, id in ipairs(taken) do out[i] = {id, redis.call('HGETALL', 'rq:job:' .. id)} end
return out
"""
)

# ARGV: queue, lease seconds, then the entries. Returns how many are still ours.
_RENEW = (
    NOW
    + """
local until_seconds, held = now_seconds() + tonumber(ARGV[2]), 0
for i = 3, #ARGV do
  if redis.call('ZSCORE', 'rq:wip:' .. ARGV[1], ARGV[i]) then
    redis.call('ZADD', 'rq:wip:' .. ARGV[1], 'XX', until_seconds, ARGV[i])
    held = held + 1
  end
end
return held
"""
)

# ARGV: queue, then per job: entry, job id, number of follow-up jobs, and for each of these: its
# name, number of values, values (the job's fields). Returns how many jobs were ours to settle.
_SETTLE = (
    ENQUEUE
    + """
local queue, position, settled = ARGV[1], 2, 0
while position <= #ARGV do
  local entry, id, follow = ARGV[position], ARGV[position + 1], tonumber(ARGV[position + 2])
  position = position + 3
  local ours = redis.call('ZREM', 'rq:wip:' .. queue, entry) == 1
  for _ = 1, follow do
    local name, width = ARGV[position], tonumber(ARGV[position + 1])
    if ours then enqueue(queue, name, position + 2, position + 1 + width) end
    position = position + 2 + width
  end
  if ours then
    redis.call('DEL', 'rq:job:' .. id)
    settled = settled + 1
  end
end
return settled
"""
)

# ARGV: queue, entry, job id, reason, "1" where no retry would help. Returns retries left, -1 for a
# dead letter, -2 where the lease was lost.
_FAIL = (
    WAKE
    + BURY
    + """
local queue, id, job = ARGV[1], ARGV[3], 'rq:job:' .. ARGV[3]
if redis.call('ZREM', 'rq:wip:' .. queue, ARGV[2]) == 0 then return -2 end
local left = tonumber(redis.call('HGET', job, 'retries_left') or '0') or 0
if ARGV[5] == '1' or left < 1 then
  bury(queue, id, ARGV[4])
  return -1
end
redis.call('HSET', job, 'status', 'queued', 'retries_left', left - 1, 'reason', ARGV[4])
redis.call('RPUSH', 'rq:queue:' .. queue, id)
wake(queue)
return left - 1
"""
)

# ARGV: queue, then pairs (entry, job id), last first. The jobs go back to the head of the queue as
# if never claimed. Where the sweep took a lease for lost meanwhile, the retry it cost is given back.
_RELEASE = (
    WAKE
    + """
local queue, released = ARGV[1], 0
for i = 2, #ARGV, 2 do
  local entry, id, job = ARGV[i], ARGV[i + 1], 'rq:job:' .. ARGV[i + 1]
  if redis.call('ZREM', 'rq:wip:' .. queue, entry) == 1 then
    redis.call('HSET', job, 'status', 'queued')
    redis.call('LPUSH', 'rq:queue:' .. queue, id)
    wake(queue)
    released = released + 1
  else
    local known = redis.pcall('HMGET', job, 'status', 'lost')
    if not known.err and known[1] == 'queued' and known[2] == entry then
      redis.call('HINCRBY', job, 'retries_left', 1)
      redis.call('HDEL', job, 'lost')
    end
  end
end
return released
"""
)


@dataclass(frozen=True)
class Lease:
    """A job in hand: its id, whose it is (`entry` of the flight set), and its hash as claimed."""

    job_id: str
    entry: str
    fields: dict[bytes, bytes]


@dataclass(frozen=True)
class Settled:
    """A finished job and the jobs that follow from it: (name, fields) of each review that failed."""

    job_id: str
    entry: str
    follow: Sequence[tuple[str, Fields]] = ()


def claim(
    connection: redis.Redis,
    queue: str,
    limit: int,
    *,
    execution: str,
    lease_seconds: float,
    lane: int | None = None,
    worker: str = "",
    started_at: str = "",
) -> list[Lease]:
    """Claim up to `limit` jobs of one lane (None: the lane of the first). One round trip."""
    found = connection.eval(
        _CLAIM,
        0,
        queue,
        limit,
        "" if lane is None else lane,
        lease_seconds,
        execution,
        worker,
        started_at,
        MAX_RETRIES,
    )
    return [
        Lease(
            name.decode(),
            f"{name.decode()}:{execution}",
            dict(zip(*[iter(pairs)] * 2, strict=True)),
        )
        for name, pairs in found
    ]


def renew(connection: redis.Redis, queue: str, entries: Sequence[str], lease_seconds: float) -> int:
    """Extend leases; returns how many are still held."""
    return int(connection.eval(_RENEW, 0, queue, lease_seconds, *entries)) if entries else 0


def settle(connection: redis.Redis, queue: str, done: Sequence[Settled]) -> int:
    """Remove finished jobs and enqueue what follows from them; returns how many were still ours."""
    args: list[object] = []
    for job in done:
        args += [job.entry, job.job_id, len(job.follow)]
        for name, fields in job.follow:
            args += [name, 2 * len(fields)]
            args += [part for pair in fields.items() for part in pair]
    return int(connection.eval(_SETTLE, 0, queue, *args)) if args else 0  # type: ignore[arg-type]


def fail(
    connection: redis.Redis,
    queue: str,
    job_id: str,
    entry: str,
    reason: str,
    *,
    final: bool = False,
) -> int:
    """A try failed: back on the queue, or a dead letter where it was the last or `final`.

    Returns:
        Retries left, -1 for a dead letter, -2 where the lease was lost and nothing was done.
    """
    return int(connection.eval(_FAIL, 0, queue, entry, job_id, reason, int(final)))


def release(connection: redis.Redis, queue: str, held: Sequence[tuple[str, str]]) -> int:
    """Give back what is in hand, (job id, entry) each, in the order claimed, at no cost in retries."""
    args = [part for job_id, entry in reversed(held) for part in (entry, job_id)]
    return int(connection.eval(_RELEASE, 0, queue, *args)) if args else 0
