"""Reviews in flight at a served writer: each is concluded when its own answer arrives.

Emotions are read here as the reviews come, together; insights are asked for one by one and arrive
in any order. A group is whatever its caller wants to end together (a job). It does not know queues
or jobs.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

from redis.exceptions import ConnectionError, TimeoutError

from shared.errors import TemporaryFailure
from shared.review import Analysis, Insight, Review
from workers.pipeline import Outcome, Pipeline, Read
from workers.served import ServedWriter

_AWAY = (TemporaryFailure, ConnectionError, TimeoutError)
_BATCH, _LOOK_SECONDS = "batch", 0.2


@dataclass
class _Group:
    """Reviews that end together: how many are in flight, and which failed."""

    flying: int = 0
    failed: dict[str, Exception] = field(default_factory=dict)
    given_up: bool = False


@dataclass(frozen=True)
class _Asked:
    group: str
    review: Review
    read: Read
    since: float


class Rolling:
    """A pipeline whose insights come from a served writer.

    One thread calls it; `room` requests are in flight at most, further ones wait in line.
    """

    def __init__(self, pipeline: Pipeline, writer: ServedWriter) -> None:
        self._pipeline, self._writer = pipeline, writer
        self._groups: dict[str, _Group] = {}
        self._asked: dict[Future[Insight | str], _Asked] = {}
        self._arrived: queue.SimpleQueue[Future[Insight | str]] = queue.SimpleQueue()
        self._away: Exception | None = None

    @classmethod
    def over(cls, pipeline: Pipeline) -> Rolling | None:
        """Rolling, where the pipeline's writer is a served one."""
        writer = pipeline.writer
        return cls(pipeline, writer) if isinstance(writer, ServedWriter) else None

    def __call__(self, ids: Sequence[str]) -> list[Outcome]:
        """One batch, all ended together: what `Pipeline.run` does, without asking for any review twice.

        Raises:
            TemporaryFailure: the server was lost; nothing is settled, repeating is safe.
        """
        try:
            ended = self.begin({_BATCH: ids})
            while _BATCH not in ended:
                ended = self.arrive(_LOOK_SECONDS)
                if self.progressed():
                    self._writer.tick()
        except BaseException:
            self.abandon()
            raise
        return [ended[_BATCH].get(i) for i in ids]

    @property
    def flying(self) -> int:
        """Reviews whose answers have not arrived."""
        return len(self._asked)

    @property
    def room(self) -> int:
        """How many more may be begun now; none while the server is away."""
        return 0 if self._away else max(0, self._writer.room - self.flying)

    def begin(self, groups: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Exception]]:
        """Read these groups' reviews, ask for the insights that they need.

        Returns:
            The groups that need none and have ended, with what failed in each, by review id.

        Raises:
            TemporaryFailure: the server was lost; these groups are not begun.
        """
        self._writer.refresh()
        failed: dict[str, Exception] = {}
        of = {i: name for name, ids in groups.items() for i in ids}
        pairs = self._pipeline.each(self._pipeline.pending(list(of)), failed, self._pipeline.read)
        self._groups |= {name: _Group() for name in groups}
        for review_id, error in failed.items():
            self._groups[of[review_id]].failed[review_id] = error
        done = []
        for review, read in pairs:
            if read.reason is not None:
                done.append((review, self._pipeline.conclude(review, read, read.reason)))
                continue
            self._groups[of[review.id]].flying += 1
            future = self._writer.submit((review, read.emotions))
            self._asked[future] = _Asked(of[review.id], review, read, time.perf_counter())
            future.add_done_callback(self._arrived.put)
        self._pipeline.save(done, failed)
        return self._ended()

    def arrive(self, wait_seconds: float) -> dict[str, dict[str, Exception]]:
        """Wait for an answer, save what has arrived; returns the groups that ended, as `begin` does.

        Raises:
            TemporaryFailure: the server is away, and nothing is in flight any more: groups that
                have not ended are forgotten, for their owner to give back.
        """
        done: list[tuple[Review, Analysis]] = []
        failed: dict[str, Exception] = {}
        try:
            self._take(self._arrived.get(timeout=wait_seconds), done, failed)
            while True:
                self._take(self._arrived.get_nowait(), done, failed)
        except queue.Empty:
            pass
        if done or failed:
            self._pipeline.save(done, failed)
        ended = self._ended()
        if self._away is not None and not ended and not self._asked:
            error, self._away = self._away, None
            self._groups.clear()
            raise error
        return ended

    def abandon(self) -> None:
        """Forget all: what is in flight is asked for in vain, what waits in line is not asked for."""
        for future in list(self._asked):
            future.cancel()
        self._asked.clear()
        self._groups.clear()
        self._arrived, self._away = queue.SimpleQueue(), None

    def progressed(self) -> bool:
        """Whether the server gave a sign of life since the last call."""
        return self._writer.progressed()

    def _take(
        self,
        future: Future[Insight | str],
        done: list[tuple[Review, Analysis]],
        failed: dict[str, Exception],
    ) -> None:
        asked = self._asked.pop(future, None)
        if asked is None:  # abandoned
            return
        group = self._groups[asked.group]
        group.flying -= 1
        try:
            found, spent = future.result(), time.perf_counter() - asked.since
            done.append(
                (asked.review, self._pipeline.conclude(asked.review, asked.read, found, spent))
            )
        except (*_AWAY, CancelledError) as error:
            group.given_up = True
            if not isinstance(error, CancelledError):
                self._away = error
                for waiting in list(self._asked):  # in line: they would meet the same
                    waiting.cancel()
        except Exception as error:  # this review's own fault
            group.failed[asked.review.id] = failed[asked.review.id] = error

    def _ended(self) -> dict[str, dict[str, Exception]]:
        names = [n for n, g in self._groups.items() if not g.flying and not g.given_up]
        return {name: self._groups.pop(name).failed for name in names}
