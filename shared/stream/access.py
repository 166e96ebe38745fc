"""Who may do what on the server: users for Redis/Valkey's ACL, each with its commands on its keys.

A script runs with the rights of whoever calls it, key by key, so that the right to EVAL opens
nothing by itself. A producer must compare versions and may not read texts: for that the server is
prepared once (`b:heads`, days.py). It does not know passwords' places, HTTP or models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

import redis

from shared.stream.browse import PAGE_REVIEWS, Browse
from shared.stream.calls import call
from shared.stream.days import HEAD_BYTES, HEADS
from shared.stream.names import BACKFILL, LIVE, TRAINING

# Commands that touch no key, or are checked by the keys of what they run.
_SESSION = (
    "ping hello auth select time info echo client|setinfo client|setname client|info "
    "multi exec discard eval evalsha script|load"
)
_INDEX = "b:day:* b:leaves:*"
# What RQ 3's worker does about itself: its hash, the registries of workers, and the channel on which
# it takes orders.
_RQ_WORKER = (
    "exists hset hget hgetall hmget hincrby hincrbyfloat hdel expire del sadd srem smembers scard"
)


@dataclass(frozen=True)
class Grant:
    """Some commands on some keys, both as the ACL writes them, by spaces; `~`, `%R~` or `%W~` lead each key."""

    commands: str
    keys: str = ""

    def __str__(self) -> str:
        return " ".join(["-@all", *(f"+{c}" for c in self.commands.split()), *self.keys.split()])


def _keys(right: str, *patterns: str) -> str:
    return " ".join(f"{right}{key}" for group in patterns for key in group.split())


def _queues(*names: str) -> str:
    kinds = "rq:queue: rq:wip: rq:failed: b:wake: b:swept:".split()
    return " ".join(kind + name for name in names for kind in kinds)


# What a worker needs to claim, renew, settle and fail the jobs of its queues.
def _work(*names: str) -> tuple[Grant, ...]:
    own = f"rq:queues rq:job:* b:claim:* b:warnings {_queues(*names)}"
    lists = "lrange lindex lpop rpush lpush llen lrem blpop persist expire del set get exists"
    hashes = "hmget hset hget hgetall hdel zadd zrem zscore zcard zrange zrangebyscore sadd"
    workers = "rq:worker:* rq:workers rq:workers:* rq:results:* rq:executions:* rq:suspended"
    return (
        Grant(f"{lists} {hashes}", _keys("~", own)),
        Grant(_RQ_WORKER, _keys("~", workers)),
        Grant("subscribe unsubscribe", "&rq:pubsub:*"),
    )


# What storing and deleting needs; a producer's key patterns, less what only a worker may read.
_STORE = (
    # GET on b:v: only: on b:r: and b:a: there is the right to write and none to read.
    Grant("set get del exists", _keys("%W~", "b:r:* b:a:*") + " " + _keys("~", f"b:v:* {HEADS}")),
    Grant("sadd srem scard exists", _keys("%W~", _INDEX)),
    Grant("hincrby hdel hget", _keys("~", "b:sizes b:stats")),
    Grant("hdel", _keys("%W~", "b:replies b:drafts")),
)
_READ = (
    "get mget getrange strlen exists type ttl hget hmget hgetall hkeys hexists hlen hscan scard sscan "
    "smembers sismember srandmember lrange llen lindex zcard zrange zscore zscan sort_ro "
    "xrange xrevrange xread xlen xinfo|stream xinfo|groups"
)

_FOLLOW = "exists xrange xrevrange xread xlen xinfo|stream xinfo|groups"
# To ask for a reply, and to take what was written (replies.py); drafts are no review's text.
_ASK = (
    Grant("getrange", _keys("%R~", "b:r:* b:a:*")),
    Grant("hget hmget hset hdel hgetall hlen hexists", _keys("~", "b:replies b:drafts")),
    Grant("hmget hget hset del", _keys("~", "rq:job:*")),
    Grant("llen rpush", _keys("~", f"rq:queue:{LIVE} b:wake:{LIVE}")),
    Grant("zrem", _keys("%W~", f"rq:failed:{LIVE}")),
    Grant("sadd", _keys("%W~", "rq:queues")),
)
# What every script appends to the feed (lua.py: TELL).
_TELL = (Grant("xadd", "%W~b:feed"), Grant("get", "%R~b:feed:most"))

# To put dead letters back or drop them, whole (recovery.py): a right short of what a script does would
# stop it halfway. Not those of `training`, whose plans name teachers.
_SETTLE = (
    Grant("zrem", _keys("%W~", f"rq:failed:{LIVE} rq:failed:{BACKFILL}")),
    Grant("hset hdel del", _keys("~", "rq:job:* rq:results:*")),
    Grant(
        "llen rpush",
        _keys("~", f"rq:queue:{LIVE} rq:queue:{BACKFILL} b:wake:{LIVE} b:wake:{BACKFILL}"),
    ),
)

ROLES: dict[str, tuple[Grant, ...]] = {
    # Webhook, backfill, poll: store, replace and delete reviews, enqueue. Reads no text, takes no job.
    "producer": (
        Grant(f"{_SESSION} waitaof"),
        *_STORE,
        Grant(
            "llen rpush",
            _keys("~", f"rq:queue:{LIVE} rq:queue:{BACKFILL} b:wake:{LIVE} b:wake:{BACKFILL}"),
        ),
        Grant("hmget hset del", _keys("~", "rq:job:*")),
        Grant("zrem", _keys("%W~", f"rq:failed:{LIVE} rq:failed:{BACKFILL}")),
        Grant("sadd", _keys("%W~", "rq:queues")),
        Grant("get set del", _keys("~", "b:event:* b:backfill:* b:door:*")),
        # `beyond poll`: whose turn it is and how far it read; names that notifications left; warnings.
        Grant("hmget hget hset hincrby", "~b:poll:*"),
        Grant("zcard zadd zrange zscore zrem", "~b:wanted:*"),
        Grant("hset hdel", "%W~b:warnings"),
        *_TELL,
    ),
    # `beyond work`: reads reviews, saves analyses, lets old ones go; its own queues alone.
    "worker": (
        Grant(_SESSION),
        *_work(LIVE, BACKFILL),
        *_ASK,
        *_STORE,
        Grant("get getrange exists", _keys("%R~", "b:r:* b:a:*")),
        Grant("hkeys hgetall", _keys("%R~", "b:sizes b:stats")),
        Grant("hmget", _keys("%R~", "b:stats")),
        Grant("sscan scard", _keys("%R~", _INDEX)),
        Grant("incrby expire", _keys("~", "b:rate:*")),
        *_TELL,
        # The record that `beyond work` keeps beside its workers.
        Grant(f"get mget {_FOLLOW}", _keys("%R~", "b:r:* b:a:* b:feed b:feed:most")),
        Grant("set", "%W~b:feed:most"),
    ),
    # status, show, insights, export: all is to be read, nothing written.
    "reader": (Grant(f"{_SESSION} {_READ}", "%R~*"),),
    # `beyond record`, `feed --group` and `dashboard`: as reader; and where they are in the feed, and
    # what people say of issues and replies; dead letters put back or dropped.
    "record": (
        Grant(f"{_SESSION} {_READ}", "%R~*"),
        Grant("xreadgroup xack xautoclaim xgroup|create xgroup|setid xinfo|groups", "~b:feed"),
        Grant("set", "%W~b:feed:most"),
        Grant("hset hdel hgetall", _keys("~", "b:verdicts")),
        *_ASK,
        *_SETTLE,
    ),
    # sample, schedule and the worker of the queue `training`: reads reviews, writes none.
    "trainer": (
        Grant(_SESSION),
        *_work(TRAINING),
        Grant(
            "get mget getrange exists hgetall hget hkeys sscan scard",
            _keys("%R~", f"b:r:* b:a:* b:sizes b:stats {_INDEX}"),
        ),
        *_TELL,
        Grant("llen", _keys("%R~", f"rq:queue:{LIVE} rq:queue:{BACKFILL}")),
        # redis-py's lock names its key to its scripts: the right to run them belongs to that key.
        Grant("evalsha set get del exists pexpire pttl", _keys("~", "b:training:*")),
    ),
}
ADMIN = "admin"
# Asks whether the server lives, for a container's health check; it has no password and no other right.
HEALTH = "user health on nopass resetkeys resetchannels -@all +ping"
NAMES = (*ROLES, ADMIN)


def acl_file(passwords: Mapping[str, str]) -> str:
    """The server's `aclfile`: a line a user; without a password nobody comes in. Passwords are stored hashed.

    Args:
        passwords: of each of NAMES.
    """
    lines = ["user default off resetpass resetkeys resetchannels -@all", HEALTH]
    for name, grants in ROLES.items():
        first, *more = grants
        selectors = " ".join(f"({grant})" for grant in more)
        lines.append(
            f"user {name} on {_hash(passwords[name])} resetkeys resetchannels {first} {selectors}"
        )
    lines.append(f"user {ADMIN} on {_hash(passwords[ADMIN])} ~* &* +@all")
    return "".join(line.rstrip() + "\n" for line in lines)


def _hash(password: str) -> str:
    return "#" + hashlib.sha256(password.encode()).hexdigest()


_COPY = f"""
for i = 1, #ARGV do
  local head = redis.call('GETRANGE', 'b:r:' .. ARGV[i], 0, {HEAD_BYTES - 1})
  if head ~= '' then redis.call('SET', 'b:v:' .. ARGV[i], head) end
end
"""


def prepare(connection: redis.Redis) -> int:
    """From now on heads are kept apart from reviews, also those of reviews stored before; safe to repeat.

    Returns:
        How many reviews are stored.

    Raises:
        TemporaryFailure: the server cannot be used, or the user may not.
    """
    call(lambda: connection.set(HEADS, 1))
    copy, total = connection.register_script(_COPY), 0
    stored = (review.id for review, _ in Browse(connection).oldest_first())
    while page := list(islice(stored, PAGE_REVIEWS)):
        call(partial(copy, args=page))
        total += len(page)
    return total
