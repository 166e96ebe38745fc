"""What the feed costs intake: Store.put as it is, and with the one XADD taken out of its script.

    python benchmarks/feed.py [--rounds 50]

Both variants alternate on one real server; each round stores new reviews, packing included, one a
script (as webhooks do) and 64 a script (as files do). The least of the rounds counts, in wall time
and in CPU time of client and server together: what else runs on the machine only adds. Real intake does more than
this (checks, redaction, languages, the disk), so its share is smaller.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import redis  # noqa: E402

from shared.review import Review  # noqa: E402
from shared.settings import Settings  # noqa: E402
from shared.stream import broker  # noqa: E402
from shared.stream.feed import FEED  # noqa: E402
from shared.stream.names import BACKFILL, LIVE  # noqa: E402
from shared.stream.scripts import PUT  # noqa: E402
from shared.stream.store import Store  # noqa: E402
from tests.consumers.record.filled import synthetic  # noqa: E402

SILENT = re.sub(r"redis\.call\('XADD'.*", "", PUT)
assert SILENT != PUT


def cost(
    server: redis.Redis, reviews: list[Review], chunk: int, script: str
) -> tuple[float, float]:
    """(wall, CPU) seconds of storing them all."""
    server.flushall()
    store = Store(server, max_queued=10**9)
    store._put = server.register_script(script)
    begun, cpu = time.perf_counter(), time.process_time() + server_cpu(server)
    for first in range(0, len(reviews), chunk):
        store.put(reviews[first : first + chunk], BACKFILL if chunk > 1 else LIVE)
    return time.perf_counter() - begun, time.process_time() + server_cpu(server) - cpu


def server_cpu(server: redis.Redis) -> float:
    facts = server.info("cpu")
    return float(facts["used_cpu_user"] + facts["used_cpu_sys"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    reviews = [review for review, _ in synthetic(1024)]
    with tempfile.TemporaryDirectory() as folder:
        server = broker.connect(Settings(home=Path(folder)))
        for chunk in (1, 64):
            took: dict[str, list[tuple[float, float]]] = {PUT: [], SILENT: []}
            for number in range(rounds):
                for script in (PUT, SILENT) if number % 2 else (SILENT, PUT):
                    took[script].append(cost(server, reviews, chunk, script))
            cost(server, reviews, chunk, PUT)
            size = (server.memory_usage(FEED, samples=0) or 0) / len(reviews)
            (wall, cpu), (wall_without, cpu_without) = (
                [min(x) for x in zip(*took[script], strict=True)] for script in (PUT, SILENT)
            )
            print(
                f"{chunk:>2} a script: {len(reviews) / wall:7,.0f} reviews/s; the feed takes "
                f"{wall / wall_without - 1:+.1%} wall, {cpu / cpu_without - 1:+.1%} CPU "
                f"({(cpu - cpu_without) / len(reviews) * 1e6:+.1f} us) and {size:.0f} bytes a review"
            )
        broker.release(Path(folder))


if __name__ == "__main__":
    main()
