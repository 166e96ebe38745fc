"""Names that the stream's files share: queues, the jobs they carry, and RQ's keys. No imports, no server.

RQ 3 keeps the ids of waiting jobs in a list, those in flight in a sorted set of `ID:EXECUTION` by
the end of their lease (epoch seconds), dead letters in a sorted set, and each job in a hash.
"""

from __future__ import annotations

LIVE, BACKFILL, TRAINING = "live", "backfill", "training"
ANALYSE = "workers.pipeline.analyse"  # a name, not an import: producers know no worker code
REPLY = "workers.replies.reply"
TRAIN = "trainer.schedule.train"
# What a worker of a queue may run; a job that names anything else is failed, never imported.
ALLOWED = {LIVE: (ANALYSE, REPLY), BACKFILL: (ANALYSE,), TRAINING: (TRAIN,)}
MAX_RETRIES = 3


def queue_key(queue: str) -> str:
    """LIST of waiting job ids, head first."""
    return f"rq:queue:{queue}"


def flight_key(queue: str) -> str:
    """ZSET of `job:execution` -> end of its lease."""
    return f"rq:wip:{queue}"


def failed_key(queue: str) -> str:
    """ZSET of dead letters."""
    return f"rq:failed:{queue}"


def wake_key(queue: str) -> str:
    """LIST of tokens; an idle worker blocks on it, one token wakes one worker."""
    return f"b:wake:{queue}"


def job_key(job_id: str) -> str:
    """HASH of a job."""
    return f"rq:job:{job_id}"
