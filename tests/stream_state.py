"""How a test fills the stream and asks what became of it."""

from __future__ import annotations

from shared.stream.names import BACKFILL, LIVE
from shared.stream.recovery import load
from tests.conftest import make_review

QUEUES = (LIVE, BACKFILL)


def fill(store, count, texts=None, chunk=1, queue=LIVE):  # type: ignore[no-untyped-def]
    texts = texts or {}
    reviews = [
        make_review(i, texts.get(i, f"Review number {i}, the soup was cold.")) for i in range(count)
    ]
    for start in range(0, count, chunk):
        store.put(reviews[start : start + chunk], queue)
    return reviews


def analysed(store):  # type: ignore[no-untyped-def]
    return store.counts()["analysed"]


def settled(server) -> bool:  # type: ignore[no-untyped-def]
    return all(waiting == 0 and flying == 0 for waiting, flying, _ in load(server, QUEUES).values())


def flying(server) -> int:  # type: ignore[no-untyped-def]
    return sum(f for _, f, _ in load(server, QUEUES).values())
