"""The store's scripts: each changes reviews, analyses, index and queue in one step, or not at all.

It knows keys and nothing of Python objects.
"""

from __future__ import annotations

from shared.stream.days import INDEX
from shared.stream.lua import ENQUEUE, FORGET_REPLY, TELL

# ARGV: most waiting reviews, reviews per backfill job, queue, job's name, number of reviews, then
# per review (id, version, blob), then the job's fields. Returns an outcome each, or "overloaded".
PUT = (
    INDEX
    + ENQUEUE
    + TELL
    + FORGET_REPLY
    + """
local queue, name, count = ARGV[3], ARGV[4], tonumber(ARGV[5])
local HEAD, WIDTH = 5, 3  -- reviews begin after HEAD values and have WIDTH values each
local out, ids, versions = {}, {}, {}
for i = 1, count do
  local first = HEAD + WIDTH * (i - 1)
  local old = head_of(ARGV[first + 1]):sub(1, 6)
  out[i] = old == ARGV[first + 2] and 'same' or (old == '' and 'new' or 'updated')
  if out[i] ~= 'same' then
    ids[#ids + 1], versions[#versions + 1] = ARGV[first + 1], ARGV[first + 2]
  end
end
if #ids == 0 then return out end
local waiting = redis.call('LLEN', 'rq:queue:live')
  + redis.call('LLEN', 'rq:queue:backfill') * tonumber(ARGV[2])
if waiting >= tonumber(ARGV[1]) then return 'overloaded' end
for i = 1, count do
  local first = HEAD + WIDTH * (i - 1)
  local id, blob = ARGV[first + 1], ARGV[first + 3]
  if out[i] ~= 'same' then
    if out[i] == 'new' then redis.call('HINCRBY', 'b:stats', 'stored', 1)
    else forget(id, head_of(id)) end
    redis.call('SET', 'b:r:' .. id, blob)
    if redis.call('DEL', 'b:a:' .. id) == 1 then redis.call('HINCRBY', 'b:stats', 'analysed', -1) end
    if out[i] == 'updated' then forget_reply(id) end
    index(id, blob)
  end
end
enqueue(queue, name, HEAD + WIDTH * count + 1, #ARGV)
tell_reviews('put', ids, versions)
return out
"""
)
# ARGV: ids. Returns the version of each, empty where there is no such review.
KNOWN = (
    INDEX
    + """
local out = {}
for i = 1, #ARGV do out[i] = head_of(ARGV[i]):sub(1, 6) end
return out
"""
)
# ARGV: ids. Returns the blobs of those reviews that have no analysis of their version.
PENDING = """
local out = {}
for i = 1, #ARGV do
  local blob = redis.call('GET', 'b:r:' .. ARGV[i])
  if blob and redis.call('GETRANGE', 'b:a:' .. ARGV[i], 0, 5) ~= blob:sub(1, 6) then
    out[#out + 1] = blob
  end
end
return out
"""
# ARGV: triples (id, version, blob). Saves those whose review still has that version; returns how
# many were saved.
SAVE = (
    TELL
    + """
local first, ids, versions = 0, {}, {}
for i = 1, #ARGV, 3 do
  if redis.call('GETRANGE', 'b:r:' .. ARGV[i], 0, 5) == ARGV[i + 1] then
    if redis.call('EXISTS', 'b:a:' .. ARGV[i]) == 0 then first = first + 1 end
    redis.call('SET', 'b:a:' .. ARGV[i], ARGV[i + 2])
    ids[#ids + 1], versions[#versions + 1] = ARGV[i], ARGV[i + 1]
  end
end
if first > 0 then redis.call('HINCRBY', 'b:stats', 'analysed', first) end
local minute = 'b:rate:' .. math.floor(redis.call('TIME')[1] / 60)
redis.call('INCRBY', minute, #ids)
redis.call('EXPIRE', minute, 600)
tell_reviews('save', ids, versions)
return #ids
"""
)
DELETE = (
    INDEX
    + TELL
    + FORGET_REPLY
    + """
local ids, versions = {}, {}
for i = 1, #ARGV do
  local head = head_of(ARGV[i])
  if head ~= '' then
    forget(ARGV[i], head)
    redis.call('DEL', 'b:r:' .. ARGV[i])
    redis.call('HINCRBY', 'b:stats', 'stored', -1)
    ids[#ids + 1], versions[#versions + 1] = ARGV[i], head:sub(1, 6)
  end
  forget_reply(ARGV[i])
  if redis.call('DEL', 'b:a:' .. ARGV[i]) == 1 then redis.call('HINCRBY', 'b:stats', 'analysed', -1) end
end
tell_reviews('delete', ids, versions)
return #ids
"""
)
