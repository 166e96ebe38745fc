"""The feed: a stream on the server with an entry for each change, in order; for whoever follows what happens.

    kind  put, save, delete: `changes` says which reviews, in which version (of what is gone: `delete`)
          reply: a draft of a reply was written (replies.py); the review and its analysis are as before
          dead: a job became a dead letter, with its queue and reason (recovery.dead_letters has more)

The scripts append to it in the same step that makes the change (lua.py), so nothing is told that
did not happen, and nothing happens untold. An entry says that something changed, not into what:
read the store for that, which may be further already. Old entries are trimmed; a reader that was
away for longer gets FellBehind and starts over by walking the days (browse.py).

A reader keeps its own place, beside what it made of the entries (`Feed`), or lets the server keep
it (`Group`: several processes share the work, and each entry comes at least once). It does not know
who reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import redis

from shared.errors import FellBehind
from shared.stream.calls import call

FEED = "b:feed"
_MOST = "b:feed:most"
# The place before the first entry of a feed that was never trimmed.
START = "0-0"
_VERSION_BYTES = 6

Kind = Literal["put", "save", "delete", "reply", "dead"]


@dataclass(frozen=True)
class Change:
    """A review and the version of it that was stored, analysed or deleted (twelve hex characters)."""

    review_id: str
    version: str


@dataclass(frozen=True)
class Entry:
    """What one script changed. `id` is its place: larger ones are later."""

    id: str
    kind: Kind
    changes: tuple[Change, ...] = ()
    job: str = ""
    queue: str = ""
    reason: str = ""

    @property
    def at(self) -> datetime:
        """When, by the server's clock."""
        return datetime.fromtimestamp(int(self.id.split("-")[0]) / 1000, UTC)

    def shown(self) -> dict[str, Any]:
        """For people and programs outside, as JSON."""
        out: dict[str, Any] = {"entry": self.id, "at": self.at.isoformat(), "kind": self.kind}
        if self.kind == "dead":
            return {**out, "job": self.job, "queue": self.queue, "reason": self.reason}
        return {**out, "reviews": [{"id": c.review_id, "version": c.version} for c in self.changes]}


class Feed:
    """For a reader that keeps its place itself.

    All raise TemporaryFailure when the server cannot be used.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def keep(self, entries: int) -> None:
        """From now on the feed keeps about so many entries."""
        call(lambda: self._redis.set(_MOST, entries))

    def last(self) -> str:
        """The id of the newest entry; START where there is none."""
        found = call(lambda: self._redis.xrevrange(FEED, count=1))
        return found[0][0].decode() if found else START

    def oldest(self, limit: int = 500) -> list[Entry]:
        """The oldest entries that are left, whatever was trimmed before them."""
        return [entry_of(*pair) for pair in call(lambda: self._redis.xrange(FEED, count=limit))]

    def after(self, place: str, limit: int = 500) -> list[Entry]:
        """The next entries after `place`, oldest first, at most `limit`; empty: none came yet.

        Raises:
            FellBehind: `place` is not in the feed any more. It was trimmed, or the server lost its
                data, so what came after it may be missing.
        """
        found = call(lambda: self._redis.xrange(FEED, min=place, count=limit + 1))
        entries = [entry_of(*pair) for pair in found]
        if entries and entries[0].id == place:
            return entries[1:]
        if place == START and is_there(self._redis, START):
            return entries[:limit]
        raise FellBehind(f"the feed does not have the entry {place} any more")

    def wait(self, place: str, seconds: float) -> bool:
        """Whether an entry after `place` is there; waits for one, at most so long."""
        milliseconds = max(1, int(seconds * 1000))
        return bool(call(lambda: self._redis.xread({FEED: place}, count=1, block=milliseconds)))


class Group:
    """For readers whose place the server keeps: processes of one name share the entries.

    An entry comes until somebody says `done`: again to another process when the first one is silent
    for `idle_seconds`. So each comes at least once, and order holds within one process only.

    Args:
        connection: the server.
        name: of the group; a new one begins with the next entry.
        consumer: of this process; a restarted one takes up what it left.
        idle_seconds: longer than any process needs for what it took.
    """

    def __init__(
        self, connection: redis.Redis, name: str, consumer: str, idle_seconds: float = 60
    ) -> None:
        self._redis, self._name, self._consumer = connection, name, consumer
        self._idle_milliseconds = int(idle_seconds * 1000)
        self._left = True  # what this consumer took before it was restarted comes first
        call(self._create)

    def _create(self) -> None:
        try:
            self._redis.xgroup_create(FEED, self._name, id="$", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def read(self, limit: int = 100, wait_seconds: float = 1) -> list[Entry]:
        """The next entries for this process, oldest first; empty: none came in that time.

        Raises:
            FellBehind: entries were trimmed that the group has not seen. It goes on with what comes
                from now on; what is in the store already is the caller's to read.
        """
        if self._left:
            if found := self._group("0", limit, None):
                return found
            self._left = False
        silent = call(
            lambda: self._redis.xautoclaim(
                FEED, self._name, self._consumer, self._idle_milliseconds, count=limit
            )
        )[1]
        if silent:
            return [entry_of(*pair) for pair in silent]
        place = self._place()
        if not is_there(self._redis, place):
            call(lambda: self._redis.xgroup_setid(FEED, self._name, "$"))
            raise FellBehind(f"the feed does not have the entry {place} any more")
        return self._group(">", limit, max(1, int(wait_seconds * 1000)))

    def _place(self) -> str:
        """The newest entry that any process of the group was given."""
        groups = call(lambda: self._redis.xinfo_groups(FEED))
        ours = next(g for g in groups if g["name"].decode() == self._name)
        return str(ours["last-delivered-id"].decode())

    def done(self, entries: Sequence[Entry]) -> None:
        """These need not come again."""
        if entries:
            call(lambda: self._redis.xack(FEED, self._name, *(e.id for e in entries)))

    def _group(self, place: str, limit: int, block: int | None) -> list[Entry]:
        found = call(
            lambda: self._redis.xreadgroup(
                self._name, self._consumer, {FEED: place}, count=limit, block=block
            )
        )
        # One that was trimmed before it was done has no fields any more.
        return [entry_of(*pair) for _, pairs in found or [] for pair in pairs if pair[1]]


def is_there(connection: redis.Redis, place: str) -> bool:
    """Whether all that came after `place` is still in the feed."""
    if place != START:
        return bool(call(lambda: connection.xrange(FEED, min=place, max=place)))
    if not call(lambda: connection.exists(FEED)):
        return True
    facts = call(lambda: connection.xinfo_stream(FEED))
    return bool(facts["entries-added"] == facts["length"])


def entry_of(place: bytes, fields: dict[bytes, bytes]) -> Entry:
    """An entry as redis-py gives it."""
    told = {name.decode(): value for name, value in fields.items()}
    kind: Any = told["kind"].decode()
    if kind == "dead":
        job, queue, reason = (told[n].decode(errors="replace") for n in ("job", "queue", "reason"))
        return Entry(place.decode(), kind, (), job, queue, reason)
    versions = told["versions"].hex()
    width = 2 * _VERSION_BYTES
    changes = tuple(
        Change(identity, versions[i * width : (i + 1) * width])
        for i, identity in enumerate(told["ids"].decode().split(" "))
    )
    return Entry(place.decode(), kind, changes)
