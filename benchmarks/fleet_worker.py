"""Workers of benchmarks/fleet.py: real claims, leases and settling in threads; a model that sleeps as phi-2 on an H100 would.

    python -m benchmarks.fleet_worker FOLDER WORKERS NAME SLOWER

A process with WORKERS of them, whose GPUs are SLOWER times slower. They wait for FOLDER/go, then note each batch in FOLDER/NAME.jsonl.
Records go to the model and back as the bytes they are: reading and packing them costs a GPU node's
own cores, which a hundred of them here do not have.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from shared.settings import load_settings
from shared.stream.broker import connect
from shared.stream.calls import call
from shared.stream.launch import QUEUES
from shared.stream.names import ANALYSE, LIVE
from shared.stream.queues import ReliableQueue
from shared.stream.scripts import PENDING, SAVE
from workers.batch_worker import BATCH_FUNCTIONS, BatchFunction, BatchWorker

# Roofline of phi-2 in bf16 on an H100, 300 tokens of prompt and 100 of answer: 6 reviews/s alone, 134
# at 64 together, 161 at 128. A straight line through them: a fixed part for reading the weights, and
# a part for each review.
TOGETHER = 128
FIXED_SECONDS, EACH_SECONDS = 0.162, 0.00495
REVIEWS_A_SECOND = TOGETHER / (FIXED_SECONDS + TOGETHER * EACH_SECONDS)
SLOWER = float(sys.argv[4]) if __name__ == "__main__" else 1.0
# What an analysis takes on the server (docs/growing.md), less the version in front.
_ANALYSIS = bytes(random.Random(0).randbytes(150))


def gpu_seconds(reviews: int) -> float:
    """How long one GPU of this process takes for so many reviews, up to 128 at once."""
    full, rest = divmod(reviews, TOGETHER)
    alone = FIXED_SECONDS + rest * EACH_SECONDS if rest else 0.0
    return SLOWER * (full * (FIXED_SECONDS + TOGETHER * EACH_SECONDS) + alone)


class Notes:
    """One line a batch in a file, and how long the claims before it took."""

    def __init__(self, path: Path) -> None:
        self._file, self._lock = path.open("a", buffering=1), threading.Lock()
        self.claims: list[float] = []

    def write(self, **fields: Any) -> None:
        """Append a line, so that a killed process leaves what it had done."""
        with self._lock:
            claims, self.claims = self.claims, []
            self._file.write(json.dumps({**fields, "claims": claims}) + "\n")


class TimedQueue(ReliableQueue):
    """The real queue; notes how long each claim took that found something."""

    notes: Notes

    @classmethod
    def claim(cls, queue: Queue, limit: int, lane: int | None = None) -> list[Job]:
        """As ReliableQueue's."""
        begun = time.perf_counter()
        found = super().claim(queue, limit, lane)
        if found:
            cls.notes.claims.append(time.perf_counter() - begun)
        return found


class ThreadWorker(BatchWorker):
    """The real worker in a thread; its process stops it."""

    notes: Notes
    go: Path

    def _install_signal_handlers(self) -> None:
        """Only a main thread may."""

    def stop(self) -> None:
        """Finish the batch in hand, then leave."""
        self._stop_requested = True

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Wait for all others; then start anywhere within a batch, as workers that ran for long do."""
        super().bootstrap(*args, **kwargs)
        assert self.settings is not None
        while not self.go.exists() and not self._stop_requested:
            time.sleep(0.05)
        time.sleep(random.random() * gpu_seconds(2 * self.settings.batch_reviews))

    def run(self, name: str, jobs: list[Job], queue: Queue, in_hand: dict[str, Job]) -> None:
        """As BatchWorker's; notes the batch."""
        begun = time.time()
        live = [i for job in jobs for i in job.args[0]] if queue.name == LIVE else []
        count = sum(len(job.args[0]) for job in jobs)
        super().run(name, jobs, queue, in_hand)
        self.notes.write(
            worker=self.name, begun=begun, ended=time.time(), reviews=count, live=live,
            model=gpu_seconds(count), cpu=time.process_time(), process=os.getpid(),
        )  # fmt: skip


def _sleeping(worker: BatchWorker) -> BatchFunction:
    pending = worker.connection.register_script(PENDING)
    save = worker.connection.register_script(SAVE)

    def run(ids: Sequence[str]) -> list[Exception | None]:
        blobs = call(lambda: pending(args=list(ids)))
        if not blobs:
            return [None] * len(ids)
        time.sleep(gpu_seconds(len(blobs)))
        if len(blobs) < len(ids):  # some are done already: PENDING does not say which
            waiting = set(blobs)
            blobs = worker.connection.mget([f"b:r:{i}" for i in ids])
            pairs = [(i, b) for i, b in zip(ids, blobs, strict=True) if b in waiting]
        else:
            pairs = list(zip(ids, blobs, strict=True))
        args: list[object] = []
        for review, blob in pairs:
            args += [review, blob[:6], blob[:6] + _ANALYSIS]
        call(lambda: save(args=args))
        return [None] * len(ids)

    return run


def main() -> None:
    """Run until SIGTERM."""
    folder, count, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    BATCH_FUNCTIONS[ANALYSE] = _sleeping
    notes = Notes(folder / f"{name}.jsonl")
    TimedQueue.notes = ThreadWorker.notes = notes
    ThreadWorker.go = folder / "go"
    settings = load_settings()
    workers = []
    for number in range(count):
        connection = connect(settings)
        queues = [TimedQueue(q, connection=connection, serializer=JSONSerializer) for q in QUEUES]
        workers.append(
            ThreadWorker(
                queues, name=f"{name}.{number}", connection=connection,
                serializer=JSONSerializer, queue_class=TimedQueue,
            )
        )  # fmt: skip
    threads = [threading.Thread(target=w.work, kwargs={"logging_level": "ERROR"}) for w in workers]
    signal.signal(signal.SIGTERM, lambda *_: [w.stop() for w in workers])
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
