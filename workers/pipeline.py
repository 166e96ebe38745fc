"""The pipeline's law: N reviews in, N outcomes out, same order; one bad review never harms its batch.

Emotions for all, insights for those that need one, one save for all. It does not know queues or
jobs; `analyse` is the name that jobs carry, and the batch worker calls `Pipeline.run` with the ids
of many jobs at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from redis.exceptions import ConnectionError, TimeoutError

from shared.errors import TemporaryFailure
from shared.inference.emotions import EmotionClassifier
from shared.insight_rule import why_no_insight
from shared.language import why_not_read
from shared.review import Analysis, Emotions, Insight, Review
from shared.stream.store import Store
from shared.telemetry import BATCH_REVIEWS, REVIEWS_DONE, STAGE_SECONDS, log
from workers.insights import InsightWriter

# Failures of the surroundings, not of a review: bisecting would only repeat them.
_NOT_THE_REVIEW = (
    TemporaryFailure,
    ConnectionError,
    TimeoutError,
    KeyboardInterrupt,
    SystemExit,
    MemoryError,
)
Outcome = Exception | None
T = TypeVar("T")


@dataclass(frozen=True)
class Read:
    """What the classifier found in a review, why it needs no insight (None: it does), and seconds by stage."""

    emotions: Emotions
    reason: str | None
    seconds: Mapping[str, float]


def analyse(review_ids: list[str]) -> None:
    """The job's name. It runs in batches only: the stock worker must not take it.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(
        "run it by `beyond work`, or rq worker --worker-class workers.batch_worker.BatchWorker"
    )


class Pipeline:
    """Analyses stored reviews and saves the result.

    Args:
        store: where reviews come from and analyses go.
        emotions: classifies all.
        insights: writes for those that need it; None: emotions only.
        clock: seconds, monotonic.
        emotions_read: languages (ISO 639-1) that the classifier reads; empty: whatever comes.
        insights_read: the same of the writer.
    """

    def __init__(
        self,
        store: Store,
        emotions: EmotionClassifier,
        insights: InsightWriter | None,
        clock: Callable[[], float] = time.perf_counter,
        *,
        emotions_read: Sequence[str] = (),
        insights_read: Sequence[str] = (),
    ) -> None:
        self._emotions_read, self._insights_read = emotions_read, insights_read
        self._store, self._emotions, self._insights, self._clock = store, emotions, insights, clock
        self._log = log("pipeline")

    def run(self, ids: Sequence[str]) -> list[Outcome]:
        """Analyse and save; per id None when settled, or the exception that this review alone caused.

        An id that is unknown, deleted or analysed already counts as settled. What is done is saved
        even if others fail.

        Raises:
            TemporaryFailure: the server was lost; nothing is settled, repeating is safe.
        """
        if self._insights is not None:
            self._insights.refresh()  # outside `each`: no review is blamed for what it raises
        failed: dict[str, Exception] = {}
        reviews = self.pending(ids)
        self.save(self.each(reviews, failed, self.analyse), failed)
        return [failed.get(i) for i in ids]

    @property
    def writer(self) -> InsightWriter | None:
        """Who writes insights."""
        return self._insights

    def pending(self, ids: Sequence[str]) -> list[Review]:
        """The reviews of these ids that still lack an analysis, each once."""
        reviews = self._store.pending(list(dict.fromkeys(ids)))
        BATCH_REVIEWS.observe(len(reviews))
        return reviews

    def save(
        self, done: Sequence[tuple[Review, Analysis]], failed: Mapping[str, Exception]
    ) -> None:
        """Keep what is done, in one round trip; count it and what failed."""
        with self._timed("save", {}):
            saved = self._store.save(done)
        REVIEWS_DONE.labels("analysed").inc(saved)
        REVIEWS_DONE.labels("failed").inc(len(failed))

    def each(
        self,
        reviews: Sequence[Review],
        failed: dict[str, Exception],
        step: Callable[[Sequence[Review]], list[T]],
    ) -> list[tuple[Review, T]]:
        """`step` for all together; where that raises, for the halves, down to the reviews that fail.

        These are put into `failed`. What is nobody's fault is raised.
        """
        if not reviews:
            return []
        try:
            return list(zip(reviews, step(reviews), strict=True))
        except _NOT_THE_REVIEW:
            raise
        except Exception as error:
            if len(reviews) == 1:
                self._log.warning(
                    "review_failed",
                    review_id=reviews[0].id,
                    reason=f"{type(error).__name__}: {error}",
                )
                failed[reviews[0].id] = error
                return []
            half = len(reviews) // 2
            return self.each(reviews[:half], failed, step) + self.each(reviews[half:], failed, step)

    def read(self, reviews: Sequence[Review]) -> list[Read]:
        """Emotions of each review, and why it needs no insight (None: it needs one)."""
        seconds: dict[str, float] = {}
        with self._timed("emotions", seconds):
            found = self._emotions.classify(
                [_spoken(r) for r in reviews], [r.rating for r in reviews]
            )
        each = seconds["emotions"] / len(reviews)
        out = []
        for review, felt in zip(reviews, found, strict=True):
            emotions = self._claimed(review, felt)
            reason = why_not_read(review.language, self._insights_read) or why_no_insight(
                review, emotions
            )
            if reason is None and self._insights is None:
                reason = "no insight model is configured"
            out.append(Read(emotions, reason, {"emotions": each}))
        return out

    def conclude(
        self, review: Review, read: Read, found: Insight | str, insight_seconds: float | None = None
    ) -> Analysis:
        """The Analysis of one review, given its insight or the reason for none."""
        models = {"emotions": self._emotions.name}
        if self._insights is not None:
            models["insights"] = self._insights.name
        spent = dict(read.seconds)
        if insight_seconds is not None:
            spent["insights"] = insight_seconds
        return Analysis(
            review_id=review.id,
            emotions=read.emotions,
            models=models,
            seconds={stage: round(seconds, 6) for stage, seconds in spent.items()},
            analysed_at=datetime.now(UTC),
            insight=found if isinstance(found, Insight) else None,
            insight_reason=None if isinstance(found, Insight) else found,
        )

    def analyse(self, reviews: Sequence[Review]) -> list[Analysis]:
        """One Analysis per review, same order; nothing is saved."""
        read = self.read(reviews)
        seconds: dict[str, float] = {}
        need = [i for i, one in enumerate(read) if one.reason is None]
        insights: dict[int, Insight | str] = {}
        if need and self._insights is not None:
            with self._timed("insights", seconds):
                written = self._insights.write([(reviews[i], read[i].emotions) for i in need])
            insights = dict(zip(need, written, strict=True))
        each = seconds["insights"] / len(reviews) if seconds else None
        return [
            self.conclude(review, one, insights.get(i, one.reason or ""), each)
            for i, (review, one) in enumerate(zip(reviews, read, strict=True))
        ]

    def _claimed(self, review: Review, emotions: Emotions) -> Emotions:
        """The emotions as found; none is present where the classifier does not read the review's language.

        "neutral" would be a claim, too. The probabilities stay, as what the model put out.
        """
        unread = why_not_read(review.language, self._emotions_read)
        return emotions.model_copy(update={"present": ()}) if unread else emotions

    @contextmanager
    def _timed(self, stage: str, seconds: dict[str, float]) -> Iterator[None]:
        begun = self._clock()
        yield
        seconds[stage] = self._clock() - begun
        STAGE_SECONDS.labels(stage).observe(seconds[stage])


def _spoken(review: Review) -> str:
    """What the customer wrote: title and text."""
    return f"{review.title}. {review.text}" if review.title else review.text
