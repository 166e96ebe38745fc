"""RQ's side of the queues: the job that carries review ids, and the queue class. RQ contact 1 of 2.

A claim moves a job from the queue straight into the flight set inside one script (leases.py), so
there is no moment in which a kill -9 could lose it. It does not know what a job does or how its
result is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

import redis
from redis.exceptions import TimeoutError as RedisTimeout
from rq import Queue, Retry
from rq.exceptions import DequeueTimeout
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat

from shared.stream import leases
from shared.stream.leases import Fields
from shared.stream.names import ANALYSE, MAX_RETRIES, wake_key

# An idle worker looks again after so long even if no token woke it: a worker that was killed may
# have taken the token along.
_IDLE_BLOCK_SECONDS = 1
DAMAGED = "its record on the server cannot be read"


class ReliableQueue(Queue):
    """RQ's queue with strict priorities and an atomic claim; for `workers.batch_worker.BatchWorker` only.

    Stock RQ pops from several queues by BLPOP, which loses the job if the worker dies right after
    it; from one queue it parks the job in an intermediate list for a minute or more. This claim
    does neither.
    """

    lease_seconds: float = 20
    worker_name = ""

    @classmethod
    def dequeue_any(
        cls,
        queues: Iterable[Queue],
        timeout: int | None,
        connection: redis.Redis | None = None,
        **_: Any,
    ) -> tuple[Job, Queue] | None:
        """Claim one job from the first queue that has any; `timeout` in seconds, None: do not wait.

        Raises:
            DequeueTimeout: nothing came within `timeout`.
        """
        queues = list(queues)
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            for queue in queues:
                claimed = cls.claim(queue, 1)
                if claimed:
                    return claimed[0], queue
            if end is None:
                return None
            if time.monotonic() >= end:
                raise DequeueTimeout(timeout, [q.key for q in queues])
            # Each job brings one token, which wakes one of the idle workers and not all of them.
            try:
                queues[0].connection.blpop([wake_key(q.name) for q in queues], _IDLE_BLOCK_SECONDS)
            except RedisTimeout:
                pass

    @classmethod
    def claim(cls, queue: Queue, limit: int, lane: int | None = None) -> list[Job]:
        """Claim up to `limit` jobs of one lane, `job.lease` set on each; damaged ones become dead letters.

        One round trip, and one more where something is damaged.
        """
        found = leases.claim(
            queue.connection,
            queue.name,
            limit,
            execution=uuid4().hex,
            lease_seconds=cls.lease_seconds,
            lane=lane,
            worker=cls.worker_name,
            started_at=utcformat(now()),
        )
        jobs = []
        for lease in found:
            job = queue.job_class(
                lease.job_id, connection=queue.connection, serializer=queue.serializer
            )
            try:
                job.restore(lease.fields)
            except Exception as error:  # whatever a damaged record provokes in RQ
                reason = f"{DAMAGED}: {type(error).__name__}: {error}"[:300]
                leases.fail(
                    queue.connection, queue.name, lease.job_id, lease.entry, reason, final=True
                )
                continue
            job.lease = lease
            jobs.append(job)
        return jobs


def lane_of(job: Job) -> int:
    """0 for a job never tried, 1 after one failure or lost worker, 2 after more: it runs with ever fewer companions."""
    return min(2, max(0, MAX_RETRIES - (job.retries_left or 0)))


def job_fields(
    connection: redis.Redis,
    arguments: Sequence[str],
    queue: str,
    *,
    tried: int = 0,
    function: str = ANALYSE,
) -> Fields:
    """The hash of a job as RQ reads it; nothing is sent. The id is chosen by the script that stores it.

    Args:
        connection: only carried by the Job object.
        arguments: the job's only argument, a list: review ids, or one training plan.
        queue: its origin.
        tried: start as if it had failed so many times, i.e. in a smaller lane.
        function: name on the worker's allow-list.
    """
    job = Job.create(
        function,
        args=[list(arguments)],
        connection=connection,
        serializer=JSONSerializer,
        origin=queue,
        timeout=-1,
        result_ttl=0,
        status=JobStatus.QUEUED,
        description=f"{function.rsplit('.', 1)[-1]} {len(arguments)}",
        retry=Retry(max=MAX_RETRIES),
    )
    job.retries_left = MAX_RETRIES - tried
    job.enqueued_at = now()
    return {name: value for name, value in job.to_dict().items() if value != ""}


def queue_of(name: str, connection: redis.Redis) -> ReliableQueue:
    """The queue object with the one serializer we use."""
    return ReliableQueue(name, connection=connection, serializer=JSONSerializer)
