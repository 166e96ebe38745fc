"""Claims jobs as room frees at a served writer, and settles each when its own reviews have ended.

Only fresh jobs fly: what failed or lost its worker runs in small batches as before, after the
flight has landed. It does not know reviews or models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from shared.stream.names import ANALYSE, LIVE
from shared.stream.queues import ReliableQueue
from workers.rolling import Rolling

# How long to wait for an answer before the queues are looked at again: a new review waits so long
# at most, and an idle look is one small call.
_LOOK_SECONDS = 0.1


class Crew(Protocol):
    """What a flight asks of the worker (batch_worker.py)."""

    _stop_requested: bool
    should_run_maintenance_tasks: bool

    def by_function(self, jobs: list[Any], queue: Any, in_hand: dict[str, Any]) -> dict[str, Any]:
        """Jobs that may run; others are failed or split."""

    def run(self, name: str, jobs: list[Any], queue: Any, in_hand: dict[str, Any]) -> None:
        """Run jobs that are no reviews to analyse as one batch, and end each."""

    def settle(self, done: Sequence[tuple[Any, list[str]]], queue: Any, in_hand: Any) -> None:
        """End jobs."""

    def fail(self, job: Any, error: Exception, queue: Any, in_hand: Any) -> None:
        """A try of a job of one review failed."""

    def tick(self) -> None:
        """The watchdog's time starts anew."""

    def run_maintenance_tasks(self) -> None:
        """Sweep."""


class Flight:
    """One flight, from the first job to an empty queue.

    Args:
        rolling: where reviews are begun and arrive.
        crew: the worker.
        queues: to claim from, most urgent first.
        went_well: called after each settled job.
    """

    def __init__(
        self, rolling: Rolling, crew: Crew, queues: Sequence[Any], went_well: Callable[[], None]
    ) -> None:
        self._rolling, self._crew, self._queues = rolling, crew, list(queues)
        self._went_well = went_well
        # By queue: claimed and not settled. Whoever holds the leases looks here.
        self.in_hand: dict[str, dict[str, Any]] = {q.name: {} for q in queues}

    def run(self, first: Any, queue: Any) -> None:
        """Until nothing is in flight and no fresh job waits, or the worker is told to stop.

        Raises:
            TemporaryFailure, redis.RedisError: the surroundings failed; `in_hand` is to be given back.
        """
        try:
            self._begin([first], queue)
            full = True
            while full or any(self.in_hand.values()):
                full = self._fill()
                if any(self.in_hand.values()):
                    self._land(self._rolling.arrive(_LOOK_SECONDS))
                if self._rolling.progressed():
                    self._crew.tick()
                if self._crew.should_run_maintenance_tasks:
                    self._crew.run_maintenance_tasks()
        except BaseException:
            self._rolling.abandon()
            raise

    def _fill(self) -> bool:
        """Claim what there is room for, the most urgent queue first; whether anything was claimed."""
        claimed = False
        while (room := self._rolling.room) and not self._crew._stop_requested:
            for queue in self._queues:
                # A live job is one review, a backfill job a chunk.
                jobs = ReliableQueue.claim(queue, room if queue.name == LIVE else 1, 0)
                if jobs:
                    self._begin(jobs, queue)
                    claimed = True
                    break
                if queue.count:  # tried before: they run when all is landed, before lesser queues
                    return claimed
            else:
                return claimed
        return claimed

    def _begin(self, jobs: list[Any], queue: Any) -> None:
        in_hand = self.in_hand[queue.name]
        in_hand |= {job.id: job for job in jobs}
        found = self._crew.by_function(jobs, queue, in_hand)
        groups = {job.id: job.args[0] for job in found.pop(ANALYSE, ())}
        for name, others in found.items():  # they do not fly
            self._crew.run(name, others, queue, in_hand)
        if groups:
            self._land(self._rolling.begin(groups))

    def _land(self, ended: dict[str, dict[str, Exception]]) -> None:
        """Settle what ended: done, tried again, or followed by a job for each review that failed."""
        for queue in self._queues:
            in_hand, done, alone = self.in_hand[queue.name], [], []
            for name in [n for n in ended if n in in_hand]:
                failed = ended[name]
                job = in_hand[name]
                if failed and len(job.args[0]) == 1:
                    alone.append((job, next(iter(failed.values()))))
                else:
                    done.append((job, list(failed)))
            if done:
                self._crew.settle(done, queue, in_hand)
                self._went_well()
            for job, error in alone:
                self._crew.fail(job, error, queue, in_hand)
