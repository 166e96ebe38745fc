"""The record at size: how fast the projector fills it, and what every route and page costs to read.

    python benchmarks/reading.py [--reviews 100000] [--home FOLDER]

Synthetic analysed reviews (tests/consumers/record/filled.py). The projector's rate is measured over
its whole way: a real server, packed records, the feed, SQLite on this disk. The big record is
written by the projector's own functions without a server, and kept in FOLDER for a second run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reading_routes import print_routes  # noqa: E402
from sqlalchemy import Engine, func, select  # noqa: E402

from consumers.record.database import open_database, record_path  # noqa: E402
from consumers.record.projector import Projector, calm_collector  # noqa: E402
from consumers.record.schema import reviews  # noqa: E402
from shared.settings import Settings  # noqa: E402
from shared.stream import broker  # noqa: E402
from shared.stream.names import BACKFILL  # noqa: E402
from shared.stream.store import Store  # noqa: E402
from tests.consumers.record.filled import filled, synthetic  # noqa: E402

CHUNK, PROJECTED = 64, 20_000


def projector_rate(home: Path, count: int = PROJECTED) -> None:
    """Prints reviews a second of catching up, of walking a store of the same size, and of finding nothing to do."""
    settings = Settings(home=home)
    store = Store(broker.connect(settings), max_queued=10 * count)
    projector = Projector(open_database(settings), store)
    projector.catch_up()
    pairs = synthetic(count, in_order=True)
    while some := list(islice(pairs, CHUNK)):
        store.put([review for review, _ in some], BACKFILL)
        store.save([(r, analysis) for r, analysis in some if analysis is not None])
    for what, work in (
        ("projector: entry by entry", projector.catch_up),
        ("walk of the store, nothing changed", projector.rebuild),
        ("beyond record --rebuild", lambda: projector.rebuild(anew=True)),
    ):
        begun, cpu = time.perf_counter(), time.process_time()
        work()
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        print(f"{what:<36} {count / seconds:8,.0f} reviews/s  ({count / cpu:,.0f} a CPU second)")
    broker.release(home)


def big_record(home: Path, count: int) -> Engine:
    """A record of `count` reviews; made where it is not there yet."""
    engine = open_database(Settings(home=home))
    with engine.connect() as connection:
        there = connection.scalar(select(func.count()).select_from(reviews)) or 0
    if there < count:
        begun = time.perf_counter()
        filled(engine, count - there, seed=there, in_order=True)
        print(f"{count - there:,} reviews written in {time.perf_counter() - begun:.0f} s")
    size = sum(f.stat().st_size for f in home.glob(record_path(Settings(home=home)).name + "*"))
    print(f"the record: {count:,} reviews, {size / count:,.0f} bytes each, {size / 2**20:,.0f} MiB")
    return engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="keep the big record here")
    chosen = parser.parse_args()
    calm_collector()  # as `beyond record` does
    with tempfile.TemporaryDirectory() as folder:
        projector_rate(Path(folder) / "projected")
        home = chosen.home or Path(folder) / "big"
        big_record(home, chosen.reviews).dispose()
        print_routes(home, runs=30)


if __name__ == "__main__":
    main()
