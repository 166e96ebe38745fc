"""Token buckets on the server, shared by all processes.

A bucket is kept as the moment at which it will be full again (the generic cell rate algorithm, ITU-T
I.371, which decides as a token bucket does): one key, one number, gone when it is full. It does not
know who is limited or why; arrivals.py charges what it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# charge: take one token from each bucket, or from none. `first`..`last` in `values`: per bucket
# (name, milliseconds a token, size in tokens). Returns 0, or the milliseconds until all have one and
# the name of the one that has none for longest; by the server's clock.
CHARGE = """
local function charge(values, first, last)
  if first > last then return 0, '' end
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
  local wait, empty, full = 0, '', {}
  for i = first, last, 3 do
    local each, size = tonumber(values[i + 1]), tonumber(values[i + 2])
    full[i] = math.max(now, tonumber(redis.call('GET', 'b:door:' .. values[i]) or 0)) + each
    local short = full[i] - now - each * size
    if short > math.max(wait, 0.001) then wait, empty = short, values[i] end
  end
  if wait > 0 then return math.ceil(wait), empty end
  for i = first, last, 3 do
    local key, lasts = 'b:door:' .. values[i], math.ceil(full[i] - now)
    redis.call('SET', key, string.format('%.3f', full[i]), 'PX', lasts)
  end
  return 0, ''
end
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


def bucket_values(buckets: Sequence[Bucket]) -> list[object]:
    """What `charge` reads."""
    return [
        value for b in buckets for value in (b.name, f"{1000 / b.per_second:.6f}", f"{b.size:.6f}")
    ]
