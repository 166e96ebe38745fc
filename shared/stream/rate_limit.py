"""Token buckets on the server, shared by all processes: one script for many requests.

A bucket is kept as the moment at which it will be full again (the generic cell rate algorithm, ITU-T
I.371, which decides as a token bucket does): one key, one number, gone when it is full. It does not
know who is limited or why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from shared.stream.calls import call

# ARGV: per request the number of its buckets, then per bucket (name, milliseconds a token, size in
# tokens). A request takes one token from each of its buckets, or none. Returns per request
# {milliseconds until all have a token, name of the one that has none for longest}, {0, ''} where it
# took them; by the server's clock.
TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local answers, at = {}, 1
while at <= #ARGV do
  local last, wait, empty, full = at + 3 * tonumber(ARGV[at]), 0, '', {}
  for i = at + 1, last, 3 do
    local each, size = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    full[i] = math.max(now, tonumber(redis.call('GET', 'b:door:' .. ARGV[i]) or 0)) + each
    local short = full[i] - now - each * size
    if short > math.max(wait, 0.001) then wait, empty = short, ARGV[i] end
  end
  if wait == 0 then
    for i = at + 1, last, 3 do
      local key, lasts = 'b:door:' .. ARGV[i], math.ceil(full[i] - now)
      redis.call('SET', key, string.format('%.3f', full[i]), 'PX', lasts)
    end
  end
  answers[#answers + 1] = {math.ceil(wait), empty}
  at = last + 1
end
return answers
"""


@dataclass(frozen=True)
class Bucket:
    """`per_second` tokens flow in, up to `size`."""

    name: str
    per_second: float
    size: float


@dataclass(frozen=True)
class Refusal:
    """Why a request took nothing: `bucket` is the name of the one that is empty for longest."""

    bucket: str
    seconds: float


def take(connection: redis.Redis, requests: Sequence[Sequence[Bucket]]) -> list[Refusal | None]:
    """Take one token from each bucket of each request, of all its buckets or of none; in their order.

    Returns:
        Per request None where it took them, else when it could.

    Raises:
        TemporaryFailure: the server cannot be used.
    """
    if not any(requests):
        return [None] * len(requests)
    arguments: list[object] = []
    for buckets in requests:
        arguments.append(len(buckets))
        for bucket in buckets:
            arguments += [bucket.name, 1000 / bucket.per_second, bucket.size]
    answers = call(lambda: connection.eval(TAKE, 0, *arguments))  # type: ignore[arg-type]
    return [Refusal(name.decode(), wait / 1000) if wait else None for wait, name in answers]
