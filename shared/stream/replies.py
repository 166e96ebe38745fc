"""Replies on their way: who wants one (b:replies), and what a worker wrote, until the record has it (b:drafts).

A request and its job are one step, so a request waits where its job does: on the queue `live`, in
flight, or among the dead letters. It belongs to one version of a review: where the text changes or
is erased, request and draft go in the same step, and the job, when it runs, finds nothing to do. It
does not know how replies are worded, nor where people edit them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from json import dumps, loads
from typing import Literal

import redis

from shared.stream.calls import call
from shared.stream.lua import ENQUEUE, TELL
from shared.stream.names import LIVE, REPLY, job_key
from shared.stream.queues import job_fields

_REQUESTS, _DRAFTS = "b:replies", "b:drafts"
# Generations of one job's name that are looked at: in flight (twice, where a lease ran out), waiting.
_GENERATIONS = 4

# ARGV: id, version, request, job's name, then the job's fields. 1: asked for, now or before; 0: the
# store has no analysis of that version.
_ASK = (
    ENQUEUE
    + f"""
local id, version, request, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GETRANGE', 'b:r:' .. id, 0, 5) ~= version then return 0 end
if redis.call('GETRANGE', 'b:a:' .. id, 0, 5) ~= version then return 0 end
if redis.call('HGET', '{_REQUESTS}', id) == request then
  for generation = 0, {_GENERATIONS - 1} do
    local known = redis.pcall('HGET', 'rq:job:' .. name .. '-' .. generation, 'status')
    if known == 'queued' or known == 'started' then return 1 end
  end
end
redis.call('HSET', '{_REQUESTS}', id, request)
enqueue('{LIVE}', name, 5, #ARGV)
return 1
"""
)

# ARGV: id, version, request as it was read, draft. 1: kept; 0: it is not wanted any more.
_WRITE = (
    TELL
    + f"""
local id = ARGV[1]
if redis.call('HGET', '{_REQUESTS}', id) ~= ARGV[3] then return 0 end
redis.call('HSET', '{_DRAFTS}', id, ARGV[4])
redis.call('HDEL', '{_REQUESTS}', id)
tell_reviews('reply', {{id}}, {{ARGV[2]}})
return 1
"""
)

# ARGV: pairs (id, draft). Each goes, unless a newer one came.
_TAKEN = f"""
for i = 1, #ARGV, 2 do
  if redis.call('HGET', '{_DRAFTS}', ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', '{_DRAFTS}', ARGV[i])
  end
end
"""


@dataclass(frozen=True)
class Request:
    """A reply that somebody wants: to which version of a review, how the business speaks, who asked."""

    review_id: str
    version: str  # twelve hex characters
    tone: str
    signature: str
    by: str
    raw: bytes = field(default=b"", compare=False, repr=False)  # as the server has it


@dataclass(frozen=True)
class Draft:
    """What was written for a request, and by which composer or model."""

    review_id: str
    version: str
    text: str
    written_by: str
    by: str
    raw: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True)
class Wanted:
    """Where a request is.

    "failed": its job is a dead letter, or was dropped; `reason` says why. Asking again is right.
    """

    state: Literal["being written", "failed"]
    reason: str = ""


class Replies:
    """All methods raise TemporaryFailure when the server cannot be used."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def ask(self, request: Request) -> bool:
        """Keep the request and enqueue a job for it, in one step; the same again changes nothing.

        Returns:
            False where the store has no analysis of that version: it changed meanwhile, or waits.
        """
        fields = job_fields(self._redis, [request.review_id], LIVE, function=REPLY)
        args: list[object] = [request.review_id, bytes.fromhex(request.version), _packed(request)]
        args.append(f"{request.review_id}-{request.version}-reply")
        for name, value in fields.items():
            args += [name, value]
        return bool(call(lambda: self._redis.eval(_ASK, 0, *args)))  # type: ignore[arg-type]

    def requests(self, ids: Sequence[str]) -> list[Request | None]:
        """What is wanted of these reviews, None where nothing is, same order."""
        found = call(lambda: self._redis.hmget(_REQUESTS, list(ids))) if ids else []
        return [None if raw is None else Request(raw=raw, **loads(raw)) for raw in found]

    def write(self, request: Request, text: str, written_by: str) -> bool:
        """Keep a draft until the record has it; False, and nothing happens, where it is not wanted any more."""
        draft = Draft(request.review_id, request.version, text, written_by, request.by)
        version = bytes.fromhex(request.version)
        args = (request.review_id, version, request.raw, _packed(draft))
        return bool(call(lambda: self._redis.eval(_WRITE, 0, *args)))  # type: ignore[arg-type]

    def written(self) -> int:
        """How many drafts were written and not taken yet."""
        return int(call(lambda: self._redis.hlen(_DRAFTS)))

    def drafts(self) -> list[Draft]:
        """All that was written and not taken yet."""
        found = call(lambda: self._redis.hgetall(_DRAFTS))
        return [Draft(raw=raw, **loads(raw)) for raw in found.values()]

    def taken(self, drafts: Sequence[Draft]) -> None:
        """The record has these."""
        args = [part for draft in drafts for part in (draft.review_id, draft.raw)]
        if args:
            call(lambda: self._redis.eval(_TAKEN, 0, *args))

    def wanted(self, review_id: str) -> Wanted | None:
        """What became of the request for a reply to a review; None: there is none."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hget(_REQUESTS, review_id)
        pipe.hexists(_DRAFTS, review_id)
        request, written = call(pipe.execute)
        if request is None:
            return Wanted("being written") if written else None
        name = f"{review_id}-{loads(request)['version']}-reply"
        pipe = self._redis.pipeline(transaction=True)
        for generation in range(_GENERATIONS):
            pipe.hmget(job_key(f"{name}-{generation}"), "status", "reason")
        pipe.hexists(_REQUESTS, review_id)
        *jobs, still = call(pipe.execute)
        states = {status: reason or b"" for status, reason in jobs}
        if not still or {b"queued", b"started"} & states.keys():
            return Wanted("being written")
        return Wanted("failed", states.get(b"failed", b"its job was dropped").decode())


def _packed(one: Request | Draft) -> bytes:
    kept: Mapping[str, object] = {k: v for k, v in asdict(one).items() if k != "raw"}
    return dumps(kept, ensure_ascii=False, sort_keys=True).encode()
