"""The stream's invariant, checked by looking at everything on a real server."""

from __future__ import annotations

import zlib

import redis

from shared.stream.days import HEAD_BYTES, HEADS
from shared.stream.names import BACKFILL, LIVE, REPLY, failed_key, flight_key, job_key, queue_key
from shared.stream.recovery import _review_ids
from shared.stream.replies import Replies
from shared.stream.store import Store

QUEUES = (LIVE, BACKFILL)


def places(server: redis.Redis) -> dict[str, list[str]]:
    """Job id -> where it is, with the status that belongs there."""
    found: dict[str, list[str]] = {}
    for queue in QUEUES:
        for name in server.lrange(queue_key(queue), 0, -1):
            found.setdefault(name.decode(), []).append("queued")
        for entry in server.zrange(flight_key(queue), 0, -1):
            found.setdefault(entry.decode().rsplit(":", 1)[0], []).append("started")
        for name in server.zrange(failed_key(queue), 0, -1):
            found.setdefault(name.decode(), []).append("failed")
    return found


def check(server: redis.Redis, store: Store) -> None:
    """The invariant, by looking at everything."""
    where = places(server)
    jobs = {k.decode().removeprefix("rq:job:") for k in server.scan_iter("rq:job:*", count=1000)}
    assert jobs == set(where), f"jobs without a place, or places without a job: {jobs ^ set(where)}"
    named: set[str] = set()
    answering: set[str] = set()
    for name, at in where.items():
        status, data = server.hmget(job_key(name), "status", "data")
        assert at == [status.decode()], f"job {name} is {at} and calls itself {status}"
        (answering if REPLY.encode() in zlib.decompress(data) else named).update(_review_ids(data))
    stored = {k.decode().removeprefix("b:r:") for k in server.scan_iter("b:r:*", count=1000)}
    reviews = [r for r in store.reviews(sorted(stored)) if r is not None]
    waiting = {r.id for r in store.pending([r.id for r in reviews])}
    assert waiting <= named, f"stored, not analysed, and nowhere: {waiting - named}"
    counts = store.counts()
    assert counts["stored"] == len(stored)
    assert counts["analysed"] == len(stored) - len(waiting)
    heads = {k.decode().removeprefix("b:v:") for k in server.scan_iter("b:v:*", count=1000)}
    assert heads == (stored if server.exists(HEADS) else set())
    check_replies(server, {r.id: r.version for r in reviews}, waiting, answering)
    for name in heads:
        assert server.get(f"b:v:{name}") == server.getrange(f"b:r:{name}", 0, HEAD_BYTES - 1)


def check_replies(
    server: redis.Redis, versions: dict[str, str], waiting: set[str], answering: set[str]
) -> None:
    """Requests and drafts are of stored, analysed versions; who wants a reply has a job for it."""
    wanted = {r.review_id: r.version for r in Replies(server).requests([*versions]) if r}
    assert server.hlen("b:replies") == len(wanted), "a request outlived its review"
    assert wanted.keys() <= answering, f"asked for, and nowhere: {wanted.keys() - answering}"
    drafts = {d.review_id: d.version for d in Replies(server).drafts()}
    for review_id, version in [*wanted.items(), *drafts.items()]:
        assert versions.get(review_id) == version and review_id not in waiting
