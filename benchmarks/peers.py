"""The jobs of benchmarks/queue_overhead.py's peers: they count themselves and do nothing else.

python -m benchmarks.peers dramatiq|celery COUNT     enqueues; prints jobs a second
"""

from __future__ import annotations

import os
import sys
import time

import redis

SOCKET = os.environ.get("PEER_URL", "")
server = redis.Redis(unix_socket_path=SOCKET)
celery_app = None

if "dramatiq" in (os.environ.get("PEER"), *sys.argv[1:2]):
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    dramatiq.set_broker(RedisBroker(url=f"unix://{SOCKET}"))

    @dramatiq.actor(max_retries=3)
    def count(review_id: str) -> None:
        server.incr("peer:done")

    send = count.send
else:
    from celery import Celery

    celery_app = Celery("peers", broker=f"redis+socket://{SOCKET}")
    celery_app.conf.update(task_ignore_result=True, task_acks_late=True)

    @celery_app.task(name="count")
    def count_task(review_id: str) -> None:
        server.incr("peer:done")

    send = count_task.delay

if __name__ == "__main__":
    begun = time.perf_counter()
    for number in range(int(sys.argv[2])):
        send(str(number))
    print(int(sys.argv[2]) / (time.perf_counter() - begun))
