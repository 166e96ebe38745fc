"""An RQ worker that runs many jobs as one batch and settles each alone. RQ contact 2 of 2.

    rq worker --serializer json --worker-class workers.batch_worker.BatchWorker
              --queue-class shared.stream.queues.ReliableQueue live backfill

RQ's loop, registration and signals stay; replaced are claiming, leases, settling and recovery
(shared/stream), and execution. What runs is on an allow-list: a job that names any other function
is failed, never imported. It does not know reviews: a batch is a list of ids and a function that
returns None or an exception for each.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import WorkerStatus

from shared.errors import Misconfigured, TemporaryFailure
from shared.settings import Settings, load_settings
from shared.stream import leases
from shared.stream.leases import Settled
from shared.stream.names import ALLOWED, ANALYSE, LIVE
from shared.stream.queues import ReliableQueue, job_fields, lane_of
from shared.stream.recovery import sweep
from shared.telemetry import configure, log
from workers.allowed import allowed
from workers.few_beats import FewBeats
from workers.flight import Flight
from workers.functions import BATCH_FUNCTIONS, BatchFunction
from workers.hold import Hold
from workers.outage import Outage
from workers.rolling import Rolling

# Seconds an idle worker may take to stop; it needs one or two.
_STOP_SECONDS = 10
# Commands are repeated for about so many seconds while the server is away, before it is an outage.
_PATIENCE_SECONDS = 10
EX_CONFIG = 78  # sysexits.h; the supervisor does not restart a worker that can never start
# The surroundings failed, not a job: claims are given back and cost no retry.
_AWAY = (TemporaryFailure, redis.ConnectionError, redis.TimeoutError)


class BatchWorker(FewBeats, SimpleWorker):
    """Claims jobs of one queue and one lane, runs them as one batch, settles each; see the module's docstring."""

    _stop_requested: bool  # RQ's
    settings: Settings | None = (
        None  # `rq worker` constructs us: settings come from the environment
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.settings = self.settings or load_settings()
        kwargs["worker_ttl"] = max(5, self.settings.lease_seconds)
        kwargs["maintenance_interval"] = max(1, self.settings.lease_seconds // 2)
        super().__init__(*args, **kwargs)
        # A restarting server is waited for, also in the middle of settling.
        self.connection.set_retry(Retry(ExponentialBackoff(cap=1.0, base=0.05), _PATIENCE_SECONDS))
        if self.serializer is not JSONSerializer:  # the default is pickle, which runs code
            raise SystemExit("BatchWorker reads JSON only: add --serializer json")
        if not issubclass(self.queue_class, ReliableQueue):
            raise SystemExit(
                "BatchWorker needs --queue-class shared.stream.queues.ReliableQueue: "
                "stock queues lose jobs on kill -9"
            )
        self.queue_class.lease_seconds = self.settings.lease_seconds
        self.queue_class.worker_name = self.name
        self.log_job_description = False
        self._functions: dict[str, BatchFunction] = {}
        self._in_batch = False
        self._log = log("worker")
        self._hold = Hold(self.settings, self._log)
        self._outage = Outage(self.connection, self.name, self._log)

    # -- the stop signal -------------------------------------------------------------------------

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
        self._log.warning("stopped_without_server")
        os._exit(1)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> Any:
        """RQ's wait for a job, in slices of 1 s, so that a stop signal is seen while idle and leases are swept often."""
        idle_until = None if max_idle_time is None else time.monotonic() + max_idle_time
        while not self._stop_requested:
            if self._outage.resting():
                time.sleep(min(1.0, self._outage.seconds_left()))
                continue
            step = None if timeout is None else 1
            found = super().dequeue_job_and_maintain_ttl(step, step)
            if found is not None or timeout is None:
                return found
            if idle_until is not None and time.monotonic() >= idle_until:
                return None
        return None

    # -- one batch -------------------------------------------------------------------------------

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Claim companions for `job`, run them together, settle each; give all back in an outage."""
        self._in_batch = True
        in_hand = {job.id: job}
        try:
            self.set_state(WorkerStatus.BUSY)
            if (rolling := self._rolling(queue)) is not None and lane_of(job) == 0:
                return self._roll(rolling, job, queue)
            in_hand |= {j.id: j for j in self._companions(job, queue)}
            with self._hold.held(self.connection, queue.name, in_hand, self._beat):
                for name, group in self.by_function(list(in_hand.values()), queue, in_hand).items():
                    self.run(name, group, queue, in_hand)
            self._outage.over()
        except _AWAY as error:
            held = [(j.id, j.lease.entry) for j in in_hand.values()]
            self._outage.give_back(queue.name, held, error, lambda: self._stop_requested)
        finally:
            self._in_batch = False

    def _rolling(self, queue: Queue) -> Rolling | None:
        """What keeps reviews of this queue in flight at a served writer, if that is how they are written."""
        found = self._functions.get(ANALYSE)
        return (
            found if isinstance(found, Rolling) and ANALYSE in ALLOWED.get(queue.name, ()) else None
        )

    def _roll(self, rolling: Rolling, first: Job, queue: Queue) -> None:
        """Keep reviews in flight at the served writer until none of these queues has more."""
        queues = [q for q in self.queues if self._rolling(q) is rolling]
        flight = Flight(rolling, self, queues, self._outage.over)
        with ExitStack() as stack:
            for q in queues:
                stack.enter_context(
                    self._hold.held(self.connection, q.name, flight.in_hand[q.name], self._beat)
                )
            try:
                flight.run(first, queue)
            except _AWAY as error:
                for name, jobs in flight.in_hand.items():
                    held = [(j.id, j.lease.entry) for j in jobs.values()]
                    if held:
                        self._outage.give_back(name, held, error, lambda: self._stop_requested)

    def _companions(self, first: Job, queue: Queue) -> list[Job]:
        """More jobs of the same lane: all that wait, up to a batch; when there are none, a short linger."""
        assert self.settings is not None
        lane = lane_of(first)
        if lane:  # failed or lost before: an eighth of a batch together, then each alone
            limit = max(1, self.settings.batch_reviews >> 3) if lane == 1 else 1
        elif queue.name == LIVE:
            limit = self.settings.batch_reviews
        else:  # a backfill job is a chunk already; a second one keeps the model busy
            limit = max(1, self.settings.batch_reviews // 32)
        got = ReliableQueue.claim(queue, limit - 1, lane) if limit > 1 else []
        if not got and limit > 1 and lane == 0 and self.settings.linger_seconds:
            time.sleep(self.settings.linger_seconds)  # idle: companions may be on their way
            got = ReliableQueue.claim(queue, limit - 1, lane)
        return got

    def by_function(
        self, jobs: list[Job], queue: Queue, in_hand: dict[str, Job]
    ) -> dict[str, list[Job]]:
        """Jobs by the function that they name; those that may not run are failed, tried chunks split."""
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            try:
                name = allowed(job, queue.name, self._functions)
            except Exception as error:  # undecodable jobs raise whatever their damage provokes
                self.fail(job, error, queue, in_hand, final=True)
                continue
            if lane_of(job) and len(job.args[0]) > 1:
                # A chunk that failed or lost its worker becomes a job a review: whichever is to
                # blame then stands alone.
                self.settle([(job, job.args[0])], queue, in_hand)
            else:
                groups.setdefault(name, []).append(job)
        return groups

    def run(self, name: str, jobs: list[Job], queue: Queue, in_hand: dict[str, Job]) -> None:
        """Run jobs that name the same function as one batch, and end each."""
        ids = [i for job in jobs for i in job.args[0]]
        begun = time.monotonic()
        outcomes = dict(zip(ids, self._functions[name](ids), strict=True))
        done = []
        for job in jobs:
            failed = [i for i in job.args[0] if outcomes[i] is not None]
            if not failed or len(job.args[0]) > 1:
                done.append((job, failed))
        self.settle(done, queue, in_hand)
        for job in jobs:
            if len(job.args[0]) == 1 and (error := outcomes[job.args[0][0]]) is not None:
                self.fail(job, error, queue, in_hand)
        self._log.info(
            "batch",
            queue=queue.name,
            jobs=len(jobs),
            reviews=len(ids),
            seconds=round(time.monotonic() - begun, 3),
        )

    def settle(
        self, done: Sequence[tuple[Job, list[str]]], queue: Queue, in_hand: dict[str, Job]
    ) -> None:
        """Jobs are done and vanish; reviews of a chunk that failed get a job each, in a smaller lane."""
        settled = [
            Settled(
                job.id,
                job.lease.entry,
                [
                    (f"{i}-{queue.name}", job_fields(self.connection, [i], queue.name, tried=1))
                    for i in failed
                ],
            )
            for job, failed in done
        ]
        leases.settle(self.connection, queue.name, settled)
        for job, _ in done:
            in_hand.pop(job.id, None)

    def fail(
        self,
        job: Job,
        error: Exception,
        queue: Queue,
        in_hand: dict[str, Job],
        *,
        final: bool = False,
    ) -> None:
        """A retry while there are any left, then a dead letter with the reason."""
        reason = f"{type(error).__name__}: {error}"
        left = leases.fail(
            self.connection, queue.name, job.id, job.lease.entry, reason, final=final
        )
        in_hand.pop(job.id, None)
        self._log.warning("job_failed", job=job.id, reason=reason, retries_left=left)

    # -- staying alive ---------------------------------------------------------------------------

    def _beat(self) -> None:
        """Beside the renewal of the leases."""
        assert self.settings is not None
        self.heartbeat(self.settings.lease_seconds + 60)

    def tick(self) -> None:
        """Called after every model call: the time until the watchdog bites starts anew."""
        self._hold.tick()

    def run_maintenance_tasks(self) -> None:
        """Sweep every queue for leases that ran out; RQ calls this every half lease."""
        assert self.settings is not None
        self.last_cleaned_at = now()
        sweep(self.connection, self.queue_names(), grace_seconds=self.settings.lease_seconds)

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Our logging and the models, then RQ's start: before the first claim, so that a missing model costs no job a retry."""
        assert self.settings is not None
        configure(self.settings.log_format, self.settings.log_level, self.settings.metrics_port)
        try:
            wanted = {one for name in self.queue_names() for one in ALLOWED.get(name, ())}
            self._functions = {name: BATCH_FUNCTIONS[name](self) for name in sorted(wanted)}
        except Misconfigured as error:
            self._log.error("cannot_start", reason=str(error))
            raise SystemExit(EX_CONFIG) from error
        self._install_signal_handlers()  # RQ does so only after others can see the worker
        super().bootstrap(*args, **kwargs)
