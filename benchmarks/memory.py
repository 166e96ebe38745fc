"""What a stored review costs in the server's memory, by part, before and after analyses became bytes.

    python benchmarks/memory.py REVIEWS.jsonl [--reviews 1000]   (Yelp Open Dataset JSON lines)
    python benchmarks/memory.py --train   writes shared/stream/analyses-2.dict anew: only for a NEW
                                          number, stored records need the old one

Real reviews, the packaged models, a real server; sizes are MEMORY USAGE of each key (key, value and
their overhead) and, as a check on these, the growth of used_memory.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zstandard  # noqa: E402

from producers import formats  # noqa: E402
from producers.intake import make_review  # noqa: E402
from shared.inference.emotions import load_emotions  # noqa: E402
from shared.review import Analysis, Review  # noqa: E402
from shared.settings import Settings, load_settings  # noqa: E402
from shared.stream import broker, records  # noqa: E402
from shared.stream.names import BACKFILL  # noqa: E402
from shared.stream.store import Store  # noqa: E402
from workers.build import build_writer  # noqa: E402
from workers.pipeline import Pipeline  # noqa: E402

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
CHUNK, COPIES, DICTIONARY_BYTES = 64, 20, 32 * 1024


def pipeline(settings: Settings, store: Store) -> Pipeline:
    return Pipeline(store, load_emotions(settings), build_writer(settings, store, lambda: None))


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def as_before(version: bytes, analysis: Analysis) -> bytes:
    """The layout until version 0.1: zstd of all JSON with the reviews' dictionary."""
    return version + records._REVIEWS.pack(analysis.model_dump_json().encode())


def usage(store: Store, prefix: str, ids: Sequence[str]) -> float:
    pipe = store.connection.pipeline(transaction=False)
    for review_id in ids:
        pipe.memory_usage(f"{prefix}{review_id}", samples=0)
    return sum(pipe.execute()) / len(ids)


def measure(reviews: Sequence[Review], made: Sequence[Analysis], settings: Settings) -> None:
    connection = broker.connect(settings)
    store = Store(connection)
    print(
        f"{len(reviews)} reviews of {sum(len(r.text) for r in reviews) / len(reviews):.0f} characters, "
        f"{sum(a.insight is not None for a in made) / len(made):.0%} with an insight"
    )
    # Many, so that what the server needs anyway does not count: each is packed by itself, so copies
    # under other ids, spread over a year, are as good as others.
    pairs = [(copy(r, n), a) for n in range(COPIES) for r, a in zip(reviews, made, strict=True)]
    store.put([pairs[0][0]])
    store.save(pairs[:1])
    empty = connection.info("memory")["used_memory"]
    for part in chunks(pairs):
        store.put([r for r, _ in part], BACKFILL)
        store.save(part)
    connection.delete(*connection.scan_iter("rq:*", count=1000), "b:wake:backfill")
    each = (connection.info("memory")["used_memory"] - empty) / len(pairs)
    index = sum(
        connection.memory_usage(key, samples=0)
        for pattern in ("b:day:*", "b:leaves:*", "b:sizes")
        for key in connection.scan_iter(pattern, count=1000)
    ) / len(pairs)
    ids = [r.id for r, _ in pairs[: len(reviews)]]
    review, analysis = usage(store, "b:r:", ids), usage(store, "b:a:", ids)
    for one, found in pairs[: len(reviews)]:
        connection.set(f"b:a:{one.id}", as_before(bytes.fromhex(one.version), found))
    before = usage(store, "b:a:", ids)
    print(f"review                {review:6.0f} bytes")
    print(f"analysis, before      {before:6.0f} bytes")
    print(f"analysis, now         {analysis:6.0f} bytes ({analysis / before:.0%})")
    print(f"its share of the index{index:6.0f} bytes, {len(pairs)} reviews over 365 days")
    print(f"together              {review + analysis + index:6.0f} bytes")
    print(f"growth of used_memory {each:6.0f} bytes a review, the table of keys included")
    print(f"so 10 million take    {each / 100:6.1f} GB")


def copy(review: Review, number: int) -> Review:
    """The same under another id, on another day and at another time."""
    seed = hashlib.sha256(f"{review.id} {number}".encode()).digest()
    moment = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(
        seconds=int.from_bytes(seed[:8], "big") % (365 * 86400)
    )
    name = base64.b32encode(seed[8:20]).decode().rstrip("=").lower()
    return review.model_copy(update={"id": name, "created_at": moment})


def train(settings: Settings) -> None:
    """The dictionary of analyses, from texts that are in the repository."""
    gold = [json.loads(line) for line in (ROOT / "trainer/data/gold.jsonl").open(encoding="utf-8")]
    reviews = [
        Review(
            source="gold",
            external_id=g["id"],
            text=g["review"],
            rating=g["rating"],
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for g in gold
    ]
    store = Store(broker.connect(settings))
    models = pipeline(settings, store)
    samples = []
    for part in chunks(reviews):
        for analysis in models.analyse(part):
            samples.append(records._kept(analysis, records._QUOTED))
    target = ROOT / "shared/stream/analyses-2.dict"
    target.write_bytes(zstandard.train_dictionary(DICTIONARY_BYTES, samples).as_bytes())
    print(f"{len(samples)} analyses -> {target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--reviews", type=int, default=1000)
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(home=Path(folder) / "home")
        if options.train:
            train(settings)
        elif options.file is None:
            parser.error("a file of reviews is needed")
        else:
            rows = options.file.read_text(encoding="utf-8").splitlines()[: options.reviews]
            found = {
                r.id: r for r in (make_review(formats.yelp(json.loads(x)), b"k" * 32) for x in rows)
            }
            reviews = list(found.values())
            models = pipeline(settings, Store(broker.connect(settings)))
            made = [a for part in chunks(reviews) for a in models.analyse(part)]
            measure(reviews, made, settings)


if __name__ == "__main__":
    main()
