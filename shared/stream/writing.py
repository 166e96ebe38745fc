"""What every write of reviews shares: the arguments of PUT, and waiting for the server's disk.

It does not know who writes or why.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any

import redis
from redis.client import Pipeline

from shared.errors import Overloaded, TemporaryFailure
from shared.review import Review
from shared.stream.calls import call
from shared.stream.queues import job_fields
from shared.stream.records import pack_review

# A disk with a cache of its own has confirmed by then; further PINGs follow at twice the distance.
FIRST_NUDGE_SECONDS = 0.002
LONGEST_NUDGE_SECONDS = 0.05


def put_arguments(
    connection: redis.Redis,
    reviews: Sequence[Review],
    queue: str,
    max_queued: int,
    chunk_reviews: int,
) -> list[object]:
    """ARGV of scripts.PUT: reviews and the one job for them."""
    out: list[object] = [max_queued, chunk_reviews, queue, job_name(reviews, queue), len(reviews)]
    for review in reviews:
        version, blob = pack_review(review)
        out += [review.id, version, blob]
    for field, value in job_fields(connection, [r.id for r in reviews], queue).items():
        out += [field, value]
    return out


def job_name(reviews: Sequence[Review], queue: str) -> str:
    """What a job is called, less its generation: by its review, or by a hash of a chunk's ids."""
    if len(reviews) == 1:
        return f"{reviews[0].id}-{queue}"
    digest = hashlib.sha256("".join(r.id for r in reviews).encode()).hexdigest()[:26]
    return f"{digest}-{queue}"


def durably(connection: redis.Redis, script: str, args: Sequence[object], seconds: float) -> Any:
    """A script, a write that always happens, and WAITAOF, on one connection and repeated only as a whole.

    WAITAOF speaks of its own connection's writes. A repeated script may write nothing, hence the
    counter; and a server that was killed in between must get it again, hence one pipeline.

    Raises:
        TemporaryFailure: the server cannot be used, or its disk did not confirm in time.
    """
    pipe = _Nudging(connection)
    pipe.eval(script, 0, *args)
    pipe.hincrby("b:stats", "durable", 1)
    pipe.execute_command("WAITAOF", 1, 0, int(seconds * 1000))
    out, _, confirmed = call(pipe.execute)
    if confirmed[0] < 1:
        raise TemporaryFailure("the server's disk did not confirm the write in time; is it full?")
    return out


class _Nudging(Pipeline):
    """A pipeline that wakes the server while its WAITAOF is out.

    Valkey and Redis fsync in a thread of their own, and their main loop looks for the result when it
    turns. An idle loop turns `hz` times a second, ten by default: a lone durable write waited 100 to
    200 ms for a disk that took less than one. A PING on another connection turns the loop.
    """

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, None)
        self._client = client

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """One answer of the pipeline; WAITAOF's is the one to wait for."""
        if command_name == "WAITAOF":
            pause = FIRST_NUDGE_SECONDS
            while not connection.can_read(pause):
                # It may be refused (a full disk) or lost. The answer must be read all the same: what is
                # left on a connection would be taken for the answer to whoever uses it next.
                with contextlib.suppress(redis.RedisError, OSError):
                    self._client.ping()
                pause = min(2 * pause, LONGEST_NUDGE_SECONDS)
        return super().parse_response(connection, command_name, **options)


def too_many(max_queued: int) -> Overloaded:
    """The error for PUT's answer "overloaded"."""
    return Overloaded(
        f"{max_queued} reviews are waiting already (BEYOND_MAX_QUEUED); start more workers"
    )
