"""The day index: which reviews are of which day and hour, in sets that stay small. Keys and Lua only.

    b:sizes                 HASH day -> reviews of that day
    b:day:DAY               SET of ids: the first 128 of the day
    b:day:DAY:HOUR          SET of ids: those of one hour that found the one above full
    b:day:DAY:HOUR:PREFIX   the same, by one, two, then three hex digits of the id's SHA-1
    b:leaves:DAY            SET of the suffixes (`HOUR`, `HOUR:PREFIX`) in use

DAY counts from 1970, HOUR is 0-23 UTC. A set of at most 128 short members is one block of memory:
23 bytes an id where a big set takes 60. So an id goes to the first set of its path that has room,
and only the last level grows without limit: a day with five million reviews without a time of day,
all at midnight, lies in 4,096 sets of about 1,200. No command touches more than one of them.

    b:heads     exists where producers may not read reviews (access.py)
    b:v:ID      STRING: a review's head, there only

To replace or move a review, its writer must know the stored one's version and day: its head. Who may
read `b:r:ID` may read all of it, so under separate users the head is kept once more, by itself. It
does not know Python objects.
"""

from __future__ import annotations

SIZES = "b:sizes"
HEADS = "b:heads"
# The default of `set-max-listpack-entries` of Redis >= 7.2 and Valkey: up to so many members a set
# is kept as one packed block.
LEAF_IDS = 128
# Bytes of a stored review before its text: version (6), day (2), hour (1); see records.py.
HEAD_BYTES = 9

# index / forget: an id with the first HEAD_BYTES of its record. Both in one script with the record.
INDEX = f"""
local LEAF_IDS, LEVELS = {LEAF_IDS}, 5
local apart = redis.call('EXISTS', '{HEADS}') == 1
local function head_of(id)
  local head = apart and redis.call('GET', 'b:v:' .. id)
  if head then return head end
  if apart and redis.call('EXISTS', 'b:r:' .. id) == 0 then return '' end
  return redis.call('GETRANGE', 'b:r:' .. id, 0, {HEAD_BYTES - 1})
end
local function day_of(head) return head:byte(7) * 256 + head:byte(8) end
local function leaf_of(id, head, level)
  if level == 1 then return '' end
  local hour = head:byte(9) or 0
  if hour > 23 then hour = 0 end  -- a record of before hours were kept
  if level == 2 then return hour end
  return hour .. ':' .. redis.sha1hex(id):sub(1, level - 2)
end
local function set_of(day, leaf)
  if leaf == '' then return 'b:day:' .. day end
  return 'b:day:' .. day .. ':' .. leaf
end
local function index(id, blob)
  local head = blob:sub(1, {HEAD_BYTES})
  if apart then redis.call('SET', 'b:v:' .. id, head) end
  local day, level, leaf = day_of(head), 1, ''
  while level < LEVELS and redis.call('SCARD', set_of(day, leaf)) >= LEAF_IDS do
    level = level + 1
    leaf = leaf_of(id, head, level)
  end
  redis.call('SADD', set_of(day, leaf), id)
  if level > 1 then redis.call('SADD', 'b:leaves:' .. day, leaf) end
  redis.call('HINCRBY', '{SIZES}', day, 1)
end
local function forget(id, head)
  if apart then redis.call('DEL', 'b:v:' .. id) end
  local day = day_of(head)
  for level = 1, LEVELS do
    local leaf = leaf_of(id, head, level)
    if redis.call('SREM', set_of(day, leaf), id) == 1 then
      if level > 1 and redis.call('EXISTS', set_of(day, leaf)) == 0 then
        redis.call('SREM', 'b:leaves:' .. day, leaf)
      end
      if redis.call('HINCRBY', '{SIZES}', day, -1) < 1 then redis.call('HDEL', '{SIZES}', day) end
      return
    end
  end
end
"""


def set_key(day: int, leaf: str = "") -> str:
    """SET of ids: the first of a day, or one of its leaves."""
    return f"b:day:{day}:{leaf}" if leaf else f"b:day:{day}"


def leaves_key(day: int) -> str:
    """SET of the leaves that a day has beside its first set."""
    return f"b:leaves:{day}"
