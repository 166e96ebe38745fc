"""The pipeline's law: N reviews in, N outcomes out, same order; one bad review never harms its batch.

Emotions for all, insights for those that need one, one save for all. It does not know queues or
jobs; `analyse` is the name that jobs carry, and the batch worker calls `Pipeline.run` with the ids
of many jobs at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

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
            self._insights.refresh()  # outside `_bisect`: no review is blamed for what it raises
        failed: dict[str, Exception] = {}
        reviews = self._store.pending(list(dict.fromkeys(ids)))
        BATCH_REVIEWS.observe(len(reviews))
        done = self._bisect(reviews, failed)
        with self._timed("save", {}):
            saved = self._store.save(done)
        REVIEWS_DONE.labels("analysed").inc(saved)
        REVIEWS_DONE.labels("failed").inc(len(failed))
        return [failed.get(i) for i in ids]

    def _bisect(
        self, reviews: list[Review], failed: dict[str, Exception]
    ) -> list[tuple[Review, Analysis]]:
        """Analyse together.

        Where that raises, the halves, down to the reviews that cannot be analysed.
        """
        if not reviews:
            return []
        try:
            return list(zip(reviews, self.analyse(reviews), strict=True))
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
            return self._bisect(reviews[:half], failed) + self._bisect(reviews[half:], failed)

    def analyse(self, reviews: Sequence[Review]) -> list[Analysis]:
        """One Analysis per review, same order; nothing is saved."""
        seconds: dict[str, float] = {}
        with self._timed("emotions", seconds):
            read = self._emotions.classify(
                [_spoken(r) for r in reviews], [r.rating for r in reviews]
            )
        emotions = [self._claimed(r, e) for r, e in zip(reviews, read, strict=True)]
        reasons = [
            why_not_read(r.language, self._insights_read) or why_no_insight(r, e)
            for r, e in zip(reviews, emotions, strict=True)
        ]
        need = [i for i, reason in enumerate(reasons) if reason is None]
        insights: dict[int, Insight | str] = {}
        if self._insights is None:
            insights = dict.fromkeys(need, "no insight model is configured")
        elif need:
            with self._timed("insights", seconds):
                insights = dict(
                    zip(
                        need,
                        self._insights.write([(reviews[i], emotions[i]) for i in need]),
                        strict=True,
                    )
                )
        each = {stage: round(spent / len(reviews), 6) for stage, spent in seconds.items()}
        models = {
            "emotions": self._emotions.name,
            **({"insights": self._insights.name} if self._insights else {}),
        }
        now = datetime.now(UTC)
        out = []
        for index, (review, felt) in enumerate(zip(reviews, emotions, strict=True)):
            found: Any = insights.get(index, reasons[index])
            out.append(
                Analysis(
                    review_id=review.id,
                    emotions=felt,
                    models=models,
                    seconds=each,
                    analysed_at=now,
                    insight=found if isinstance(found, Insight) else None,
                    insight_reason=None if isinstance(found, Insight) else found,
                )
            )
        return out

    def _claimed(self, review: Review, emotions: Emotions) -> Emotions:
        """The emotions as found; none is present where the classifier does not read the review's language.

        "neutral" would be a claim, too. The probabilities stay, as what the model put out.
        """
        unread = why_not_read(review.language, self._emotions_read)
        return emotions.model_copy(update={"present": ()}) if unread else emotions

    @contextmanager
    def _timed(self, stage: str, seconds: dict[str, float]):  # type: ignore[no-untyped-def]
        begun = self._clock()
        yield
        seconds[stage] = self._clock() - begun
        STAGE_SECONDS.labels(stage).observe(seconds[stage])


def _spoken(review: Review) -> str:
    """What the customer wrote: title and text."""
    return f"{review.title}. {review.text}" if review.title else review.text
