"""Lua that several scripts share. Each script puts what it needs in front of its own text.

A script is one step: nobody sees it half done, and a client whose connection broke may send it
again, because each looks at the state before it changes any. It knows keys, no Python objects.
"""

from __future__ import annotations

# Entries that the feed keeps where nobody has said how many (Feed.keep): 5 MB of live changes, 180 MB
# where each is a batch of 64.
FEED_ENTRIES = 100_000

# The server's clock: clients' clocks differ.
NOW = """
local function now_seconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end
"""

# One token for one idle worker. More than a few would only wake workers for jobs long taken.
WAKE = """
local function wake(queue)
  local key = 'b:wake:' .. queue
  if redis.call('LLEN', key) < 64 then redis.call('RPUSH', key, 1) end
end
"""

# enqueue: a job NAME-GENERATION on a queue unless one of that name waits already. One in flight may
# have read an older text, so it does not count: the next generation waits beside it. A dead letter
# of that name is superseded. `first`..`last`: the job's fields in ARGV.
ENQUEUE = (
    WAKE
    + """
local function enqueue(queue, name, first, last)
  local generation, id, job, known = 0, nil, nil, nil
  repeat
    id = name .. '-' .. generation
    job = 'rq:job:' .. id
    known = redis.pcall('HMGET', job, 'status', 'origin')
    generation = generation + 1
  until not known.err and known[1] ~= 'started'
  if known[1] == 'queued' then return end
  if known[1] then
    redis.call('DEL', job)
    redis.call('ZREM', 'rq:failed:' .. (known[2] or queue), id)
  end
  redis.call('HSET', job, unpack(ARGV, first, last))
  redis.call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  redis.call('RPUSH', 'rq:queue:' .. queue, id)
  wake(queue)
end
"""
)

# tell: one entry of the feed (feed.py) for all that a script changed: cheaper than one a review in
# time (nothing to measure) and memory (28 bytes a review, not 45). After the script's first write:
# where the server's memory is full, that one is refused and this one is not.
TELL = f"""
local function tell(...)
  redis.call('XADD', 'b:feed', 'MAXLEN', '~', redis.call('GET', 'b:feed:most') or {FEED_ENTRIES}, '*', ...)
end
local function tell_reviews(kind, ids, versions)
  if #ids == 0 then return end
  tell('kind', kind, 'ids', table.concat(ids, ' '), 'versions', table.concat(versions))
end
"""

# forget_reply: neither a request for a reply nor a draft outlives the text that it answers.
FORGET_REPLY = """
local function forget_reply(id)
  redis.call('HDEL', 'b:replies', id)
  redis.call('HDEL', 'b:drafts', id)
end
"""

# bury: a job becomes a dead letter with its reason. They never run out by themselves: the score is
# a moment a century on, in the order of failing.
BURY = (
    NOW
    + TELL
    + """
local function bury(queue, id, reason)
  local job, now = 'rq:job:' .. id, now_seconds()
  local put = redis.pcall('HSET', job, 'status', 'failed', 'reason', reason, 'failed_at', now)
  if type(put) == 'table' then  -- an error: the key holds another type
    redis.call('DEL', job)
    redis.call('HSET', job, 'status', 'failed', 'reason', reason, 'failed_at', now, 'origin', queue)
  end
  redis.call('PERSIST', job)
  redis.call('ZADD', 'rq:failed:' .. queue, now + 3153600000, id)
  tell('kind', 'dead', 'job', id, 'queue', queue, 'reason', reason)
end
"""
)
