"""An RQ worker that runs many jobs as one batch and settles each alone. RQ contact 2 of 2.

    rq worker --serializer json --worker-class workers.batch_worker.BatchWorker
              --queue-class shared.stream.queues.ReliableQueue live backfill

RQ's loop, heartbeats, registries and failure handling stay; replaced are claiming
(shared/stream/queues.py), execution and the lease. What runs is on an allow-list: a job that names
any other function is failed, never imported. It does not know reviews: a batch is a list of ids and
a function that returns None or an exception for each.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.utils import now
from rq.worker import WorkerStatus

from shared.errors import Misconfigured
from shared.settings import Settings, load_settings
from shared.stream.queues import (
    ALLOWED,
    ANALYSE,
    LIVE,
    TRAIN,
    ReliableQueue,
    lane_of,
    review_job,
    sweep,
)
from shared.telemetry import configure, log

BatchFunction = Callable[[Sequence[str]], "list[Exception | None]"]
# What a job may name, and how to make the function that runs it, which loads models.
BATCH_FUNCTIONS: dict[str, Callable[[BatchWorker], BatchFunction]] = {}
_STOP_SECONDS = 10  # an idle worker needs one or two to stop
EX_CONFIG = 78  # sysexits.h; the supervisor does not restart a worker that can never start


class NotAllowed(Exception):
    """A job names a function outside the allow-list, or carries callbacks."""


class BatchWorker(SimpleWorker):
    """Claims jobs of one queue and one lane, runs them as one batch, settles each; see the module's docstring."""

    _stop_requested: bool  # RQ's
    settings: Settings | None = (
        None  # `rq worker` constructs us, so settings come from the environment
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.settings = self.settings or load_settings()
        kwargs["worker_ttl"] = max(5, self.settings.lease_seconds)
        kwargs["maintenance_interval"] = max(1, self.settings.lease_seconds // 2)
        super().__init__(*args, **kwargs)
        # A restarting server is waited for, also in the middle of settling.
        self.connection.set_retry(Retry(ExponentialBackoff(cap=1.0, base=0.05), 30))
        if not issubclass(self.queue_class, ReliableQueue):
            raise SystemExit(
                "BatchWorker needs --queue-class shared.stream.queues.ReliableQueue: stock queues lose jobs on kill -9"
            )
        self.queue_class.lease_seconds = self.settings.lease_seconds
        self.queue_class.worker_name = self.name
        self.log_job_description = False
        self._functions: dict[str, BatchFunction] = {}
        self._in_batch = False
        self._say = log("worker")

    # -- the stop signal
    # -------------------------------------------------------------------------------------------

    def _shutdown(self) -> None:
        """Warm stop: finish and settle the batch in hand. RQ would raise in the middle of a claim (rq #2236)."""
        if not self._stop_requested:
            threading.Thread(target=self._leave_anyway, daemon=True).start()
        self._stop_requested = True

    def _leave_anyway(self) -> None:
        """RQ's wait for a lost server never looks at the stop flag: an idle worker that is still here after a while goes."""
        idle_seconds = 0
        while idle_seconds < _STOP_SECONDS:
            time.sleep(1)
            idle_seconds = 0 if self._in_batch else idle_seconds + 1
        self._say.warning("stopped_without_server")
        os._exit(1)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> Any:
        """RQ's wait for a job, in slices of 1 s, so that a stop signal is seen while idle and leases are swept often."""
        idle_until = None if max_idle_time is None else time.monotonic() + max_idle_time
        while not self._stop_requested:
            step = None if timeout is None else 1
            found = super().dequeue_job_and_maintain_ttl(step, step)
            if found is not None or timeout is None:
                return found
            if idle_until is not None and time.monotonic() >= idle_until:
                return None
        return None

    # -- one batch
    # -------------------------------------------------------------------------------------------------

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Seconds a claim holds without a beat."""
        return self._lease

    @property
    def _lease(self) -> int:
        assert self.settings is not None
        return self.settings.lease_seconds

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Claim companions for `job`, run them together, settle each."""
        self._in_batch = True
        self.set_state(WorkerStatus.BUSY)
        jobs = [job, *self._companions(job, queue)]
        executions = {
            j.id: Execution(j.execution_id, j.id, self.connection, self.name) for j in jobs
        }
        try:
            with self._beating(jobs, executions), self._watched():
                for name, group in self._by_function(jobs, queue, executions).items():
                    self._run(name, group, queue, executions)
        finally:
            self._in_batch = False
            self.set_state(WorkerStatus.IDLE)

    def _companions(self, first: Job, queue: Queue) -> list[Job]:
        """More jobs of the same lane: all that wait, up to a batch; when there are none, a short linger."""
        assert self.settings is not None
        lane = lane_of(first)
        if (
            lane
        ):  # failed or lost before: 8 reviews together, then each alone; chunks are split up first
            most = max(1, self.settings.batch_reviews >> 3) if lane == 1 else 1
        else:  # a backfill job is a chunk already; a second one keeps the model busy
            most = (
                self.settings.batch_reviews
                if queue.name == LIVE
                else max(1, self.settings.batch_reviews // 32)
            )
        got = ReliableQueue.claim(queue, most - 1, lane) if most > 1 else []
        if not got and most > 1 and lane == 0 and self.settings.linger_seconds:
            time.sleep(self.settings.linger_seconds)  # idle: companions may be on their way
            got = ReliableQueue.claim(queue, most - 1, lane)
        return got

    def _by_function(
        self, jobs: list[Job], queue: Queue, executions: dict[str, Execution]
    ) -> dict[str, list[Job]]:
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            try:
                name = job.func_name
                if name not in self._functions or ALLOWED.get(queue.name) != name:
                    raise NotAllowed(f"{name} is not on the allow-list of queue {queue.name}")
                if (
                    job._success_callback_name
                    or job._failure_callback_name
                    or job._stopped_callback_name
                    or job.webhooks
                ):
                    raise NotAllowed("jobs with callbacks or webhooks are not run")
                if (
                    len(job.args) != 1
                    or not isinstance(job.args[0], list)
                    or not all(isinstance(i, str) for i in job.args[0])
                ):
                    raise NotAllowed("a job's only argument is a list of strings")
                if lane_of(job) and len(job.args[0]) > 1:
                    self._split(job, queue, executions)
                else:
                    groups.setdefault(name, []).append(job)
            except Exception as error:  # undecodable jobs raise whatever their damage provokes
                job.retries_left = 0
                self._fail(job, error, queue, executions)
        return groups

    def _run(
        self, name: str, jobs: list[Job], queue: Queue, executions: dict[str, Execution]
    ) -> None:
        ids = [i for job in jobs for i in job.args[0]]
        begun = time.monotonic()
        outcomes = dict(zip(ids, self._functions[name](ids), strict=True))
        with self.connection.pipeline() as pipe:
            for job in jobs:
                failed = {i: outcomes[i] for i in job.args[0] if outcomes[i] is not None}
                if not failed or len(job.args[0]) > 1:
                    self._settle(job, list(failed), queue, executions, pipe)
            pipe.execute()
        for job in jobs:
            if len(job.args[0]) == 1 and (error := outcomes[job.args[0][0]]) is not None:
                self._fail(job, error, queue, executions)
        self._say.info(
            "batch",
            queue=queue.name,
            jobs=len(jobs),
            reviews=len(ids),
            seconds=round(time.monotonic() - begun, 3),
        )

    def _split(self, job: Job, queue: Queue, executions: dict[str, Execution]) -> None:
        """A chunk that failed or lost its worker becomes one job per review: whichever is to blame then stands alone."""
        with self.connection.pipeline() as pipe:
            self._settle(job, job.args[0], queue, executions, pipe)
            pipe.execute()

    def _settle(
        self, job: Job, failed: list[str], queue: Queue, executions: dict[str, Execution], pipe: Any
    ) -> None:
        """The job is done and vanishes; reviews of a chunk that failed get a job each, in a smaller lane."""
        for review in failed:
            key, fields = review_job(
                self.connection, [review], queue.name, f"{review}-{job.id[-12:]}", tried=1
            )
            pipe.hset(key, mapping=fields)
            pipe.rpush(queue.key, key.removeprefix("rq:job:"))
        executions.pop(job.id).delete(job=job, pipeline=pipe)
        pipe.delete(job.key)
        self.increment_successful_job_count(pipeline=pipe)

    def _fail(
        self, job: Job, error: Exception, queue: Queue, executions: dict[str, Execution]
    ) -> None:
        """RQ's failure path: a retry while there are any left, then the FailedJobRegistry with the reason."""
        job.ended_at = now()
        job.started_at = job.started_at or job.ended_at
        reason = f"{type(error).__name__}: {error}"
        self.handle_job_failure(job, queue, exc_string=reason, execution=executions.pop(job.id))
        self._say.warning("job_failed", job=job.id, reason=reason, retries_left=job.retries_left)

    # -- staying alive, and not staying hung
    # -----------------------------------------------------------------------

    @contextmanager
    def _beating(self, jobs: Sequence[Job], executions: dict[str, Execution]) -> Iterator[None]:
        """Renew the leases of what is in hand every third of a lease; a lost connection is tried again, not fatal."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._lease / 3):
                try:
                    with self.connection.pipeline() as pipe:
                        for job in jobs:
                            if (execution := executions.get(job.id)) is not None:
                                registry = StartedJobRegistry(
                                    job.origin, connection=self.connection
                                )
                                registry.add_execution(
                                    execution, pipeline=pipe, ttl=self._lease, xx=True
                                )
                        self.heartbeat(self._lease + 60, pipeline=pipe)
                        pipe.execute()
                except redis.RedisError as error:
                    self._say.warning("beat_missed", reason=str(error))

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(1)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Exit the process when no model call returns for `hang_seconds`.

        A hung native call holds the interpreter, so no Python timeout would fire; the C-level
        watchdog of faulthandler does. The lease then runs out and the jobs restart elsewhere, in a
        smaller lane.
        """
        self.tick()
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def tick(self) -> None:
        """Called after every model call: the time until the watchdog bites starts anew."""
        assert self.settings is not None
        faulthandler.dump_traceback_later(self.settings.hang_seconds, exit=True)

    def run_maintenance_tasks(self) -> None:
        """Sweep every queue for leases that ran out; RQ calls this every half lease."""
        self.last_cleaned_at = now()
        sweep(self.connection, self.queue_names(), max(1, self._lease // 4))

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Our logging and the models, then RQ's start: before the first claim, so that a missing model costs no job a retry."""
        assert self.settings is not None
        configure(self.settings.log_format, self.settings.log_level, self.settings.metrics_port)
        try:
            wanted = {ALLOWED[name] for name in self.queue_names() if name in ALLOWED}
            self._functions = {name: BATCH_FUNCTIONS[name](self) for name in sorted(wanted)}
        except Misconfigured as error:
            self._say.error("cannot_start", reason=str(error))
            raise SystemExit(EX_CONFIG) from error
        super().bootstrap(*args, **kwargs)


def _analyse(worker: BatchWorker) -> BatchFunction:
    from workers.build import build_pipeline

    assert worker.settings is not None
    return build_pipeline(worker.settings, worker.connection, tick=worker.tick).run


def _train(worker: BatchWorker) -> BatchFunction:
    # By name, when a worker of the training queue starts: workers know no trainer code, and need
    # none of its packages.
    assert worker.settings is not None
    batch: BatchFunction = importlib.import_module("trainer.schedule").batch(
        worker.settings, worker.connection, worker.tick
    )
    return batch


BATCH_FUNCTIONS[ANALYSE] = _analyse
BATCH_FUNCTIONS[TRAIN] = _train
