from __future__ import annotations

import json
import threading
import zlib

import pytest

from producers import formats
from producers.intake import make_review as intake_review
from shared.errors import Overloaded
from shared.review import Analysis
from shared.stream.names import BACKFILL, LIVE
from shared.stream.recovery import load
from shared.stream.store import Store
from tests.conftest import DATA, EPOCH, make_review
from tests.fakes import ANGRY


def analysis(review, **change):  # type: ignore[no-untyped-def]
    return Analysis(
        review_id=review.id, emotions=ANGRY, insight_reason="test", analysed_at=EPOCH, **change
    )


def waiting(server):  # type: ignore[no-untyped-def]
    return sum(w for w, _, _ in load(server, (LIVE, BACKFILL)).values())


def test_a_review_is_stored_with_its_job_once(store, server):
    review = make_review()
    assert [store.put([review]) for _ in range(3)] == [["new"], ["same"], ["same"]]
    assert waiting(server) == 1 and store.counts()["stored"] == 1
    assert store.reviews([review.id, "nobody"]) == [review, None]


def test_a_chunk_is_one_job_and_known_reviews_are_told_apart(store, server):
    reviews = [make_review(i) for i in range(10)]
    store.put(reviews[:3], BACKFILL)
    assert store.put(reviews, BACKFILL) == ["same"] * 3 + ["new"] * 7
    assert store.put(reviews, BACKFILL) == ["same"] * 10
    assert waiting(server) == 2 and store.known(reviews) == [True] * 10


def test_another_text_supersedes_the_old_analysis(store, server):
    old, new = make_review(1, "The soup was cold."), make_review(1, "The soup was warm after all.")
    store.put([old])
    assert store.save([(old, analysis(old))]) == 1 and store.counts()["analysed"] == 1
    assert store.put([new]) == ["updated"]
    assert store.analyses([new.id]) == [None] and store.counts()["analysed"] == 0
    assert store.pending([new.id]) == [new] and waiting(server) == 1
    assert store.save([(old, analysis(old))]) == 0, "a late analysis of the old text was saved"


def test_saving_twice_counts_once(store):
    review = make_review()
    store.put([review])
    assert [store.save([(review, analysis(review))]) for _ in range(2)] == [1, 1]
    assert store.counts()["analysed"] == 1 and store.pending([review.id]) == []


def test_deleting_removes_text_analysis_and_index_entry(store, server):
    review = make_review()
    store.put([review])
    store.save([(review, analysis(review))])
    assert store.delete([review.id, "nobody"]) == 1
    assert not [k for k in server.keys("b:*") if review.id.encode() in k]
    assert (
        list(store.all()) == []
        and store.counts()["analysed"] == 0
        and store.counts()["stored"] == 0
    )
    assert store.save([(review, analysis(review))]) == 0, (
        "an analysis of a deleted review was saved"
    )
    assert store.put([review]) == ["new"], "a deleted review cannot come back"


def test_a_full_queue_stores_nothing(server):
    store = Store(server, max_queued=2)
    store.put([make_review(1)])
    store.put([make_review(2)])
    with pytest.raises(Overloaded, match="BEYOND_MAX_QUEUED"):
        store.put([make_review(3)])
    assert store.counts()["stored"] == 2 and waiting(server) == 2
    assert store.put([make_review(1)]) == ["same"], "a repeat is no load"


def test_many_writers_of_the_same_reviews_make_one_job_each(store, server):
    reviews = [make_review(i) for i in range(40)]
    outcomes: list[str] = []

    def write() -> None:
        mine = Store(server)
        outcomes.extend(mine.put([r])[0] for r in reviews)

    threads = [threading.Thread(target=write) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert outcomes.count("new") == 40 and waiting(server) == 40


def test_all_is_ordered_by_time(store):
    reviews = [make_review(i) for i in (3, 1, 2)]
    for review in reviews:
        store.put([review])
    assert [r.created_at for r, _ in store.all()] == sorted(r.created_at for r in reviews)


@pytest.mark.usefixtures("own_server")
def test_durable_put_is_in_the_append_only_file(store, server, home):
    store.put([make_review(7)], durable_seconds=5)
    files = list((home / "server" / "appendonlydir").glob("*.aof"))
    assert any(make_review(7).id.encode() in f.read_bytes() for f in files)


def test_memory_per_review_is_close_to_its_compressed_json(server):
    """At most 1.3 x the review's zlib-compressed JSON on real reviews.

    Keys and index are included; jobs, which go, and the feed, which is trimmed, are not.
    """
    file = DATA / "reviews" / "yelp_academic_truncated.jsonl"
    if not file.exists():
        pytest.skip("needs ../shared/data/reviews, which may not be committed")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:-1]]
    reviews = [intake_review(formats.yelp(row), b"k" * 32) for row in rows]
    store, before = Store(server), server.info("memory")["used_memory"]
    for start in range(0, len(reviews), 50):
        store.put(reviews[start : start + 50], BACKFILL)
    server.delete("b:feed", *server.keys("rq:*"))
    each = (server.info("memory")["used_memory"] - before) / len(reviews)
    compressed = sum(len(zlib.compress(r.model_dump_json().encode())) for r in reviews) / len(
        reviews
    )
    assert each <= 1.3 * compressed, (each, compressed)
