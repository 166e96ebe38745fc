"""Queue names, the job that carries review ids, and the queue class that claims jobs atomically. RQ contact 1 of 2.

A claim moves a job from the queue straight into RQ's started registry inside one script, so there
is no moment in which a kill -9 could lose it: RQ's own recovery (StartedJobRegistry.cleanup)
re-queues it once its lease runs out. It does not know what a job does or how its result is kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis
from redis.exceptions import TimeoutError as RedisTimeout
from rq import Queue, Retry, Worker
from rq.exceptions import DequeueTimeout
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat

LIVE, BACKFILL, TRAINING = "live", "backfill", "training"
ANALYSE = "workers.pipeline.analyse"  # a name, not an import: producers know no worker code
TRAIN = "trainer.cycle.train"
# What a worker of a queue may run; a job that names anything else is failed, never imported.
ALLOWED = {LIVE: ANALYSE, BACKFILL: ANALYSE, TRAINING: TRAIN}
MAX_RETRIES = 3
_IDLE_BLOCK_SECONDS = 1

# KEYS: queue, started registry. ARGV: most jobs, lease end (epoch s), execution id, now (ISO),
# worker, max retries, lane wanted or "". A claim takes jobs of one lane only, from the head.
# Returns job ids; one whose hash is gone is dropped.
_CLAIM = """
local ids, lane, limit = {}, tonumber(ARGV[7]), tonumber(ARGV[1])
while #ids < limit do
  local id = redis.call('LINDEX', KEYS[1], 0)
  if not id then break end
  local key = 'rq:job:' .. id
  local job = redis.call('HMGET', key, 'retries_left', 'status')
  if not job[2] then
    redis.call('LPOP', KEYS[1])
  else
    local own = math.min(2, math.max(0, tonumber(ARGV[6]) - (tonumber(job[1]) or 0)))
    if lane == nil then lane = own elseif own ~= lane then break end
    redis.call('LPOP', KEYS[1])
    redis.call('ZADD', KEYS[2], ARGV[2], id .. ':' .. ARGV[3])
    redis.call('HSET', key, 'status', 'started', 'started_at', ARGV[4], 'last_heartbeat', ARGV[4], 'worker_name', ARGV[5])
    redis.call('PERSIST', key)
    ids[#ids + 1] = id
  end
end
return ids
"""


class ReliableQueue(Queue):
    """RQ's queue with strict priorities and an atomic claim; for `workers.batch_worker.BatchWorker` only.

    Stock RQ pops from several queues by BLPOP, which loses the job if the worker dies right after
    it; from one queue it parks the job in an intermediate list for a minute or more. This claim
    does neither.
    """

    lease_seconds = 20
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
            # A list moved onto its own head is a blocking *peek*: it wakes us and takes nothing.
            # Only the first queue wakes us at once; the others are looked at every second.
            hottest = queues[0].key
            try:
                queues[0].connection.blmove(hottest, hottest, _IDLE_BLOCK_SECONDS, "LEFT", "LEFT")
            except RedisTimeout:
                pass

    @classmethod
    def claim(cls, queue: Queue, most: int, lane: int | None = None) -> list[Job]:
        """Claim up to `most` jobs of one lane; each gets `job.execution_id`. One script, one fetch: 2 round trips."""
        execution = uuid4().hex
        registry = StartedJobRegistry.key_template.format(queue.name)
        ids = queue.connection.eval(
            _CLAIM,
            2,
            queue.key,
            registry,
            most,
            time.time() + cls.lease_seconds,
            execution,
            utcformat(now()),
            cls.worker_name,
            MAX_RETRIES,
            "" if lane is None else lane,
        )
        if not ids:
            return []
        names = [i.decode() for i in ids]
        found = queue.job_class.fetch_many(
            names, connection=queue.connection, serializer=queue.serializer
        )
        for job in found:
            if job is not None:
                job.execution_id = execution
        return [job for job in found if job is not None]


def lane_of(job: Job) -> int:
    """0 for a job never tried, 1 after one failure or lost worker, 2 after more: it runs with ever fewer companions."""
    return min(2, max(0, MAX_RETRIES - (job.retries_left or 0)))


def review_job(
    connection: redis.Redis,
    ids: Sequence[str],
    queue: str,
    job_id: str,
    *,
    tried: int = 0,
    function: str = ANALYSE,
) -> tuple[str, dict[str, Any]]:
    """The job that analyses `ids`, as (Redis key, hash fields), ready for one HSET. Nothing is sent.

    Args:
        connection: only carried by the Job object.
        ids: review ids, the job's only argument.
        queue: LIVE or BACKFILL.
        job_id: letters, digits, `_` and `-`.
        tried: start as if it had failed so many times, i.e. in a smaller lane.
        function: name on the worker's allow-list.
    """
    job = Job.create(
        function,
        args=[list(ids)],
        connection=connection,
        serializer=JSONSerializer,
        id=job_id,
        origin=queue,
        timeout=-1,
        result_ttl=0,
        status=JobStatus.QUEUED,
        description=f"analyse {len(ids)}",
        retry=Retry(max=MAX_RETRIES),
    )
    job.retries_left = MAX_RETRIES - tried
    job.enqueued_at = now()
    return job.key, {k: v for k, v in job.to_dict().items() if v != ""}


# KEYS: queue, slot's mark, job. ARGV: job id, seconds to remember the slot, then the job's fields.
# 1 if it was enqueued.
_ONCE = """
if redis.call('LLEN', KEYS[1]) > 0 or redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
if not redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[2]) then return 0 end
redis.call('HSET', KEYS[3], unpack(ARGV, 3))
redis.call('SADD', 'rq:queues', KEYS[1])
redis.call('RPUSH', KEYS[1], ARGV[1])
return 1
"""
_REMEMBER_SECONDS = 30 * 86400


def enqueue_training(connection: redis.Redis, plan: str, slot: str) -> bool:
    """Enqueue one training for a slot of the schedule, once however many schedulers ask; False: done or waiting already.

    Args:
        connection: the server.
        plan: JSON of trainer.cycle.Plan.
        slot: names the moment, e.g. "t1764000000" or "n3"; part of the job id.
    """
    key, fields = review_job(connection, [plan], TRAINING, f"train-{slot}", function=TRAIN)
    args = [f"train-{slot}", _REMEMBER_SECONDS, *(part for pair in fields.items() for part in pair)]
    return bool(connection.eval(_ONCE, 3, queue_key(TRAINING), f"b:training:{slot}", key, *args))


def rq_command(url: str, queues: Sequence[str] = (LIVE, BACKFILL)) -> list[str]:
    """The stock command of one worker; compose.yaml and the README use the same one."""
    return [
        sys.executable,
        "-m",
        "rq.cli",
        "worker",
        "--url",
        url,
        "--serializer",
        "json",
        "--worker-class",
        "workers.batch_worker.BatchWorker",
        "--queue-class",
        "shared.stream.queues.ReliableQueue",
        "--quiet",
        *queues,
    ]


def queue_key(name: str) -> str:
    """The Redis key of a queue's list of job ids."""
    return f"{Queue.redis_queue_namespace_prefix}{name}"


def queue_of(name: str, connection: redis.Redis) -> ReliableQueue:
    """The queue object with the one serializer we use."""
    return ReliableQueue(name, connection=connection, serializer=JSONSerializer)


def sweep(connection: redis.Redis, names: Sequence[str], every_seconds: int) -> None:
    """Put jobs whose lease ran out back on their queue, or among the failed ones when no retry is left.

    RQ's own cleanup does it, under our lock: RQ's lock outlives a killed holder by a minute, this
    one by `every_seconds`.
    """
    for name in names:
        if connection.set(f"b:sweep:{name}", 1, nx=True, ex=every_seconds):
            queue = queue_of(name, connection)
            StartedJobRegistry(queue=queue).cleanup()
            FailedJobRegistry(queue=queue).cleanup()


def load(connection: redis.Redis, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Per queue (waiting, in flight, dead letters), in jobs, all seen at one moment."""
    pipe = connection.pipeline(transaction=True)
    for name in names:
        pipe.llen(queue_key(name))
        pipe.zcard(StartedJobRegistry.key_template.format(name))
        pipe.zcard(FailedJobRegistry.key_template.format(name))
    found = pipe.execute()
    return {
        name: (found[3 * i], found[3 * i + 1], found[3 * i + 2]) for i, name in enumerate(names)
    }


@dataclass(frozen=True)
class DeadLetter:
    """A job that is out of retries: which reviews, since when, and why."""

    job_id: str
    queue: str
    review_ids: tuple[str, ...]
    failed_at: str
    reason: str


def dead_letters(connection: redis.Redis, names: Sequence[str]) -> list[DeadLetter]:
    """All dead letters, oldest first."""
    out = []
    for name in names:
        queue = queue_of(name, connection)
        ids = FailedJobRegistry(queue=queue).get_job_ids(
            cleanup=False
        )  # reading must not write: the disk may be full
        for job in Job.fetch_many(ids, connection=connection, serializer=JSONSerializer):
            if job is not None:
                latest = job.latest_result()
                text = (latest.exc_string if latest else None) or ""
                out.append(
                    DeadLetter(
                        job.id,
                        name,
                        _ids(job),
                        str(job.ended_at or job.started_at or ""),
                        _reason(text),
                    )
                )
    return out


def _ids(job: Job) -> tuple[str, ...]:
    try:
        return tuple(job.args[0])
    except Exception:  # a foreign or damaged job: its arguments may be anything
        return ()


def _reason(text: str) -> str:
    if "AbandonedJobError" in text:
        return "its worker died or hung on every try (killed, out of memory, crashed or stuck in a model call)"
    return text.strip().splitlines()[-1] if text.strip() else "unknown"


def requeue(connection: redis.Redis, letter: DeadLetter) -> None:
    """Try a dead letter again, from the smallest lane on: it may kill a worker once more, but alone."""
    function = ALLOWED.get(letter.queue, ANALYSE)
    key, fields = review_job(
        connection, letter.review_ids, letter.queue, letter.job_id, tried=1, function=function
    )
    pipe = connection.pipeline(transaction=True)
    pipe.zrem(FailedJobRegistry.key_template.format(letter.queue), letter.job_id)
    pipe.delete(key)
    pipe.hset(key, mapping=fields)
    pipe.rpush(queue_key(letter.queue), letter.job_id)
    pipe.execute()


def drop(connection: redis.Redis, letter: DeadLetter) -> None:
    """Forget a dead letter; its reviews stay stored, without analysis."""
    pipe = connection.pipeline(transaction=True)
    pipe.zrem(FailedJobRegistry.key_template.format(letter.queue), letter.job_id)
    pipe.delete(f"rq:job:{letter.job_id}", f"rq:results:{letter.job_id}")
    pipe.execute()


def workers(connection: redis.Redis) -> list[tuple[str, str, str]]:
    """(name, state, host) of every worker that has beaten lately."""
    return [
        (w.name, w.get_state(), f"{w.hostname}:{w.pid}") for w in Worker.all(connection=connection)
    ]
