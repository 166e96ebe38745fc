"""`beyond schedule`: enqueue a cycle every N new reviews or by a cron expression; run it, one at a time across machines.

A moment of the schedule has a name (a slot), for each task its own. Enqueuing is one script that
does nothing when the slot was enqueued before or a training of the task waits, so any number of
schedulers may run. The job's worker holds a lock in Redis while it trains. It does not know the
steps of a cycle.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import redis
from pydantic import ValidationError
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from shared.errors import BeyondError, Misconfigured, TemporaryFailure
from shared.settings import Settings
from shared.stream.store import Store
from shared.stream.training import LOCK, enqueue_training
from shared.telemetry import log
from trainer.cycle import Cycle
from trainer.run import Plan, Run, open_run

# One for all tasks: two trainings on one GPU or two cores take turns at its memory and end later
# than one after the other. Trainings of different tasks wait beside each other in the queue.


class Schedule:
    """When a cycle is due.

    Args:
        connection: the server.
        store: counts the reviews.
        plan: what each cycle does.
        every: after so many stored reviews, and again after so many more; 0: never.
        cron: five fields, UTC; None: never.
        clock: epoch seconds.
    """

    def __init__(
        self,
        connection: redis.Redis,
        store: Store,
        plan: Plan,
        *,
        every: int = 0,
        cron: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        from croniter import croniter

        if bool(every) == bool(cron):
            raise Misconfigured("give either --every N or --cron EXPRESSION")
        if cron and not croniter.is_valid(cron):
            raise Misconfigured(
                f"--cron {cron!r} is no cron expression; five fields, e.g. '0 3 * * *' for 3:00 UTC every day"
            )
        self._redis, self._store, self._plan = connection, store, plan
        self._every, self._cron, self._clock = every, cron, clock
        self._begun = clock()

    def slot(self) -> str | None:
        """The name of the latest moment that is due, or None; the same on every machine."""
        if self._every:
            number = self._store.counts()["stored"] // self._every
            return f"n{self._every}-{number}" if number else None
        from croniter import croniter

        latest = croniter(self._cron, datetime.fromtimestamp(self._clock(), UTC)).get_prev(float)
        return f"t{int(latest)}" if latest >= self._begun else None

    def enqueue(self) -> str | None:
        """Enqueue a cycle if one is due; returns its slot, or None."""
        slot = self.slot()
        if slot is None or not enqueue_training(
            self._redis, self._plan.task, self._plan.model_dump_json(), slot
        ):
            return None
        log("schedule").info("training_enqueued", slot=slot, task=self._plan.task)
        return slot


@contextmanager
def exclusive(
    connection: redis.Redis, seconds: float, waiting: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Hold the training lock; waits until it is free, and renews it meanwhile.

    Args:
        connection: the server.
        seconds: a silent holder loses the lock after this.
        waiting: called with a sentence every second while another holds it.

    Yields:
        A function that raises TemporaryFailure once the lock was lost: then another machine may be
        training.
    """
    lock = Lock(connection, LOCK, timeout=seconds, thread_local=False)
    while not lock.acquire(blocking_timeout=1):
        waiting(
            f"another training holds the lock, or was killed less than {seconds:g} s ago: waiting"
        )
    stop, lost = threading.Event(), threading.Event()

    def renew() -> None:
        last = time.monotonic()
        while not stop.wait(seconds / 4):
            try:
                lock.reacquire()
                last = time.monotonic()
            except (
                LockError
            ):  # run out: a suspended machine, a restarted server; ours again if nobody took it
                if not lock.acquire(blocking=False):
                    lost.set()
                    return
            except RedisError:  # a restarting server: try again while the lock would still be ours
                if time.monotonic() - last > seconds:
                    lost.set()
                    return

    def ours() -> None:
        if lost.is_set():
            raise TemporaryFailure(
                "the training lock was lost, another machine may be training; this cycle goes on later"
            )

    threading.Thread(target=renew, daemon=True).start()
    try:
        yield ours
    finally:
        stop.set()
        try:
            lock.release()
        except (LockError, RedisError):
            pass  # it has run out or will by itself


def batch(
    settings: Settings, connection: redis.Redis, tick: Callable[[], None]
) -> Callable[[Sequence[str]], list[Exception | None]]:
    """The function that a worker of the `training` queue runs: a list of plans (JSON) in, None or the error for each out.

    It raises TemporaryFailure when the surroundings failed and nothing was trained: the worker
    then gives the jobs back, which costs no retry.
    """
    store = Store(connection)
    progress_log = log("trainer")

    def run(plans: Sequence[str]) -> list[Exception | None]:
        out: list[Exception | None] = []
        for text in plans:
            try:
                error = _one(Plan.model_validate_json(text))
            except ValidationError as wrong:
                error = Misconfigured(f"the job's plan is not one of this version: {wrong}")
            if isinstance(error, TemporaryFailure) and None not in out:
                raise error  # a finished training must not be given back: it would run again
            out.append(error)
        return out

    def _one(plan: Plan) -> Exception | None:
        kind = f"training {plan.task}"
        try:
            with exclusive(connection, settings.lease_seconds, lambda text: tick()) as ours:

                def progress(line: str) -> None:
                    tick()
                    ours()
                    progress_log.info("training", step=line)

                train(plan, settings, store, progress)
        except TemporaryFailure as error:
            return error  # shown by the worker's own warning of the outage
        except (
            Exception
        ) as error:  # out of memory, a full disk, a damaged model: not the worker's end
            if not isinstance(error, BeyondError):
                progress_log.exception("training_failed", task=plan.task)
            store.warn(kind, str(error) or type(error).__name__)
            return error
        store.warn(kind, None)
        return None

    return run


def train(
    plan: Plan,
    settings: Settings,
    store: Store,
    say: Callable[[str], None],
    name: str | None = None,
    *,
    new: bool = False,
) -> Run:
    """A whole cycle.

    Goes on with the unfinished run of the same plan unless a `new` one is wanted.
    """
    run = open_run(settings.home, plan, name, new=new, say=say)
    say(f"run {run.folder}")
    Cycle(run, settings, store, say).until()
    return run
