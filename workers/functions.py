"""What a worker's jobs may run, by the name on the allow-list, and how it is made ready.

It does not know jobs or queues.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shared.stream.names import ANALYSE, REPLY, TRAIN

if TYPE_CHECKING:
    from workers.batch_worker import BatchWorker

# Ids in; None or an exception for each, in order. A Rolling (rolling.py) is one, too.
BatchFunction = Callable[[Sequence[str]], "list[Exception | None]"]


def _analyse(worker: BatchWorker) -> BatchFunction:
    from workers.build import build_pipeline
    from workers.rolling import Rolling

    assert worker.settings is not None
    pipeline = build_pipeline(worker.settings, worker.connection, tick=worker.tick)
    worker.precision = getattr(pipeline.writer, "precision", "")  # where it is a model in here
    return Rolling.over(pipeline) or pipeline.run


def _reply(worker: BatchWorker) -> BatchFunction:
    from workers.build import build_replier

    assert worker.settings is not None
    return build_replier(worker.settings, worker.connection, tick=worker.tick).run


def _train(worker: BatchWorker) -> BatchFunction:
    # By name, when a worker of the training queue starts: workers know no trainer code, and need
    # none of its packages.
    assert worker.settings is not None
    batch: BatchFunction = importlib.import_module("trainer.schedule").batch(
        worker.settings, worker.connection, worker.tick
    )
    return batch


# What a job may name, and how to make the function that runs it, which loads models.
BATCH_FUNCTIONS: dict[str, Callable[[BatchWorker], BatchFunction]] = {
    ANALYSE: _analyse,
    REPLY: _reply,
    TRAIN: _train,
}
