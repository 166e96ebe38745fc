"""Hand-written fakes of the two model protocols, and a worker that serves with them: for faults no
real model shows."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from shared.errors import TemporaryFailure
from shared.review import EMOTIONS, Emotions, Insight, Review
from shared.stream.names import ANALYSE
from shared.stream.store import Store
from workers.batch_worker import BatchWorker
from workers.build import build_writer
from workers.functions import BATCH_FUNCTIONS, BatchFunction
from workers.pipeline import Pipeline
from workers.rolling import Rolling

ANGRY = Emotions(
    probabilities={e: 0.9 if e == "anger" else 0.01 for e in EMOTIONS}, present=("anger",)
)


class FakeEmotions:
    """Everything is anger; certain words in a text raise, kill the process, hang it, or take
    time."""

    name = "fake"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def classify(
        self, texts: Sequence[str], ratings: Sequence[float | None] | None = None
    ) -> list[Emotions]:
        self.batches.append(len(texts))
        if (away := os.environ.get("FAKE_AWAY")) and os.path.exists(away):
            raise TemporaryFailure("the model server is away")
        time.sleep(float(os.environ.get("FAKE_SECONDS", 0)))
        for text in texts:
            if "RAISE" in text:
                raise ValueError("this text cannot be classified")
            if "KILL" in text:
                os.kill(os.getpid(), signal.SIGKILL)
            if "HANG" in text:
                time.sleep(3600)
        return [ANGRY for _ in texts]


class FakeWriter:
    """No issue, ever; fast."""

    name = "fake"

    def refresh(self) -> None:
        """Nothing to swap."""

    def write(self, items: Sequence[tuple[Review, Emotions]]) -> list[Insight | str]:
        return [
            Insight(
                issues=(),
                urgency="low",
                urgency_reason="no issue was found",
                adapter="fake",
                prompt_version="issues-1",
            )
            for _ in items
        ]


def _analyse(worker: BatchWorker) -> BatchFunction:
    return Pipeline(Store(worker.connection), FakeEmotions(), FakeWriter()).run


class FakeWorker(BatchWorker):
    """The real worker with fake models."""


class StoppedAtBirthWorker(BatchWorker):
    """The real worker with fake models, told to stop as soon as others can see it."""

    def register_birth(self) -> None:
        super().register_birth()
        os.kill(os.getpid(), signal.SIGTERM)


class SlowSaveWorker(BatchWorker):
    """The real worker with fake models, killed in the middle of saving its first batch."""


class _DiesSaving(Store):
    def save(self, pairs):  # type: ignore[no-untyped-def]
        pairs = list(pairs)
        super().save(pairs[: len(pairs) // 2])
        os.kill(os.getpid(), signal.SIGKILL)


def _dying(worker: BatchWorker) -> BatchFunction:
    return Pipeline(_DiesSaving(worker.connection), FakeEmotions(), FakeWriter()).run


class ServedWorker(BatchWorker):
    """The real worker with fake emotions, and the real writer that asks BEYOND_OPENAI_URL."""


def _served(worker: BatchWorker) -> BatchFunction:
    assert worker.settings is not None
    store = Store(worker.connection)
    writer = build_writer(worker.settings, store, worker.tick)
    found = Rolling.over(Pipeline(store, FakeEmotions(), writer))
    assert found is not None
    return found


_MADE = {SlowSaveWorker: _dying, ServedWorker: _served}
BATCH_FUNCTIONS[ANALYSE] = lambda worker: _MADE.get(type(worker), _analyse)(worker)
