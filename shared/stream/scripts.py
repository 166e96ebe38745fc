"""The store's scripts: each changes reviews, analyses, index and queue in one step, or not at all.

It knows keys and nothing of Python objects.
"""

from __future__ import annotations

# ARGV: most waiting reviews, reviews per backfill job, queue list key, queue name, job id, job key,
# n, then n times (id, version, blob), then the job's fields. Returns n outcomes, or "overloaded".
_DAY = """
local function day_of(head) return head:byte(7) * 256 + head:byte(8) end
local function forget(id, head)
  local day = day_of(head)
  redis.call('SREM', 'b:day:' .. day, id)
  if redis.call('EXISTS', 'b:day:' .. day) == 0 then redis.call('ZREM', 'b:days', day) end
end
"""
PUT = (
    _DAY
    + """
local n, out, fresh = tonumber(ARGV[7]), {}, false
for i = 0, n - 1 do
  local at = 8 + 3 * i
  local old = redis.call('GETRANGE', 'b:r:' .. ARGV[at], 0, 7)
  out[i + 1] = old:sub(1, 6) == ARGV[at + 1] and 'same' or (old == '' and 'new' or 'updated')
  if out[i + 1] ~= 'same' then fresh = true end
end
if not fresh then return out end
local waiting = redis.call('LLEN', 'rq:queue:live') + redis.call('LLEN', 'rq:queue:backfill') * tonumber(ARGV[2])
if waiting >= tonumber(ARGV[1]) then return 'overloaded' end
for i = 0, n - 1 do
  local at = 8 + 3 * i
  if out[i + 1] ~= 'same' then
    local id, day = ARGV[at], day_of(ARGV[at + 2])
    if out[i + 1] == 'new' then redis.call('HINCRBY', 'b:stats', 'stored', 1)
    else forget(id, redis.call('GETRANGE', 'b:r:' .. id, 0, 7)) end
    redis.call('SET', 'b:r:' .. id, ARGV[at + 2])
    if redis.call('DEL', 'b:a:' .. ARGV[at]) == 1 then redis.call('HINCRBY', 'b:stats', 'analysed', -1) end
    redis.call('SADD', 'b:day:' .. day, id)
    redis.call('ZADD', 'b:days', day, day)
  end
end
local status = redis.call('HGET', ARGV[6], 'status')
if status ~= 'queued' and status ~= 'started' then
  redis.call('DEL', ARGV[6])
  redis.call('ZREM', 'rq:failed:' .. ARGV[4], ARGV[5])
  redis.call('HSET', ARGV[6], unpack(ARGV, 8 + 3 * n))
  redis.call('SADD', 'rq:queues', ARGV[3])
  redis.call('RPUSH', ARGV[3], ARGV[5])
end
return out
"""
)
# ARGV: triples (id, version, blob). Saves those whose review still has that version; returns how
# many were saved.
SAVE = """
local saved, first = 0, 0
for i = 1, #ARGV, 3 do
  if redis.call('GETRANGE', 'b:r:' .. ARGV[i], 0, 5) == ARGV[i + 1] then
    if redis.call('EXISTS', 'b:a:' .. ARGV[i]) == 0 then first = first + 1 end
    redis.call('SET', 'b:a:' .. ARGV[i], ARGV[i + 2])
    saved = saved + 1
  end
end
if first > 0 then redis.call('HINCRBY', 'b:stats', 'analysed', first) end
local minute = 'b:rate:' .. math.floor(redis.call('TIME')[1] / 60)
redis.call('INCRBY', minute, saved)
redis.call('EXPIRE', minute, 600)
return saved
"""
DELETE = (
    _DAY
    + """
local gone = 0
for i = 1, #ARGV do
  local head = redis.call('GETRANGE', 'b:r:' .. ARGV[i], 0, 7)
  if head ~= '' then
    forget(ARGV[i], head)
    redis.call('DEL', 'b:r:' .. ARGV[i])
    redis.call('HINCRBY', 'b:stats', 'stored', -1)
    gone = gone + 1
  end
  if redis.call('DEL', 'b:a:' .. ARGV[i]) == 1 then redis.call('HINCRBY', 'b:stats', 'analysed', -1) end
end
return gone
"""
)
