"""One job wakes one of the idle workers, not all of them."""

from __future__ import annotations

import threading
import time

import pytest
import redis
from rq.exceptions import DequeueTimeout

from shared.stream import queues
from shared.stream.names import BACKFILL, LIVE
from shared.stream.queues import ReliableQueue, queue_of
from tests.conftest import make_review, wait_until

IDLE = 50


def blocked(server: redis.Redis) -> int:
    return int(server.info("clients")["blocked_clients"])


@pytest.mark.usefixtures("own_server")
@pytest.mark.parametrize("queue", [LIVE, BACKFILL])
def test_of_fifty_idle_workers_one_job_wakes_one(store, server, settings, monkeypatch, queue):
    """Counted as scripts that the server runs: the put's one, and a claim for each queue that the woken looks at.

    Before: a job became visible to all that blocked on the queue's head.
    """
    monkeypatch.setattr(queues, "_IDLE_BLOCK_SECONDS", 60)  # no looks but those of the woken
    claimed: list[str] = []

    def work() -> None:
        from shared.stream.broker import connect

        connection = connect(settings)
        try:
            found = ReliableQueue.dequeue_any(
                [queue_of(LIVE, connection), queue_of(BACKFILL, connection)], 90
            )
            assert found is not None
            claimed.append(found[0].id)
        except (DequeueTimeout, redis.RedisError):
            pass

    threads = [threading.Thread(target=work, daemon=True) for _ in range(IDLE)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: blocked(server) == IDLE, 60)

    def scripts() -> int:
        found = server.info("commandstats")
        return sum(int(found.get(f"cmdstat_{n}", {}).get("calls", 0)) for n in ("eval", "evalsha"))

    before = scripts()
    store.put([make_review()], queue)
    assert wait_until(lambda: len(claimed) == 1, 20)
    time.sleep(0.5)  # time for others to wake, if they did
    assert blocked(server) == IDLE - 1
    # The put may be sent twice (EVALSHA, then SCRIPT LOAD and EVALSHA); the woken claims once or twice.
    assert scripts() - before <= 4
