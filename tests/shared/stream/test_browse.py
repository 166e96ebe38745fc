"""Reading some of the store costs some of it: by time, by day and at random.

Big days do not block.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest

from shared.review import Analysis, Review
from shared.stream.browse import Browse
from shared.stream.days import LEAF_IDS
from shared.stream.names import BACKFILL
from shared.stream.store import Store
from tests.conftest import EPOCH, make_review
from tests.fakes import ANGRY


def fill(store: Store, moments: list[datetime]) -> list[Review]:
    reviews = [
        make_review(i).model_copy(update={"created_at": moment}) for i, moment in enumerate(moments)
    ]
    for start in range(0, len(reviews), 500):
        store.put(reviews[start : start + 500], BACKFILL)
    return reviews


def analyse(store: Store, reviews: list[Review]) -> None:
    store.save(
        (r, Analysis(review_id=r.id, emotions=ANGRY, insight_reason="t", analysed_at=EPOCH))
        for r in reviews
    )


def moments(browse) -> list[datetime]:  # type: ignore[no-untyped-def]
    return [review.created_at for review, _ in browse]


@pytest.fixture
def spread(store):  # type: ignore[no-untyped-def]
    """900 reviews of a busy day, all hours, and 100 on each of the days around it."""
    times = [EPOCH + timedelta(minutes=(i * 7) % 1440) for i in range(900)]
    times += [EPOCH + timedelta(days=d, minutes=i) for d in (-1, 1, 5) for i in range(100)]
    return fill(store, times)


def test_both_directions_are_in_the_order_of_time_also_within_a_big_day(store, server, spread):
    expected = sorted(r.created_at for r in spread)
    assert moments(Browse(server).oldest_first()) == expected
    assert moments(Browse(server).newest_first()) == expected[::-1]
    assert moments(store.all()) == expected


def test_a_span_of_days_is_read_alone(server, spread):
    found = moments(Browse(server).oldest_first(date(2026, 3, 2), date(2026, 3, 6)))
    assert len(found) == 200 and min(found) >= EPOCH + timedelta(days=1)
    assert Browse(server).days() == {
        date(2026, 2, 28): 100,
        date(2026, 3, 1): 900,
        date(2026, 3, 2): 100,
        date(2026, 3, 6): 100,
    }


def test_the_newest_few_cost_the_same_in_a_store_ten_times_as_big(store, server):
    def commands(days: range) -> int:
        fill(store, [EPOCH + timedelta(days=d, minutes=i) for d in days for i in range(60)])
        before = server.info("stats")["total_commands_processed"]
        assert len(list(islice(Browse(server).newest_first(), 50))) == 50
        return int(server.info("stats")["total_commands_processed"] - before)

    small, big = commands(range(8)), commands(range(80))
    assert big <= small < 20, (small, big)


def test_the_newest_analysed_skip_those_that_wait(store, server, spread):
    chosen = sorted(spread, key=lambda r: r.created_at)[:300:100]
    analyse(store, chosen)
    assert moments(Browse(server, analysed=True).newest_first()) == [
        r.created_at for r in reversed(chosen)
    ]


def test_no_set_of_a_day_grows_big_though_all_its_reviews_are_of_midnight(store, server):
    """Undated imports: before, one set held them all, and one SMEMBERS fetched it."""
    reviews = fill(store, [EPOCH] * 20_000)
    sizes = [server.scard(key) for key in server.scan_iter("b:day:*", count=1000)]
    assert sum(sizes) == 20_000 and max(sizes) <= LEAF_IDS
    assert {server.object("encoding", k) for k in server.scan_iter("b:day:*", count=1000)} == {
        b"listpack"
    }
    assert server.info("commandstats").get("cmdstat_smembers") is None
    assert {r.id for r, _ in Browse(server).oldest_first()} == {r.id for r in reviews}
    assert server.info("commandstats").get("cmdstat_smembers") is None


def test_deleting_a_big_day_leaves_nothing_of_its_index(store, server):
    reviews = fill(store, [EPOCH] * 3000)
    assert store.delete([r.id for r in reviews[:2900]]) == 2900
    assert {r.id for r, _ in store.all()} == {r.id for r in reviews[2900:]}
    store.delete([r.id for r in reviews[2900:]])
    left = [k for p in ("b:day:*", "b:leaves:*", "b:sizes") for k in server.scan_iter(p)]
    assert left == []


def test_a_review_that_changes_its_date_moves(store, server):
    store.put([make_review(1)])
    moved = make_review(1, "Another text.").model_copy(
        update={"created_at": datetime(2020, 1, 1, tzinfo=UTC)}
    )
    store.put([moved])
    assert Browse(server).days() == {date(2020, 1, 1): 1}
    assert [r for r, _ in store.all()] == [moved]


def test_a_sample_has_the_wanted_size_no_review_twice_and_the_same_seed_gives_the_same(
    server, spread
):
    ids = [r.id for r, _ in Browse(server).sample(400, seed=1)]
    assert len(ids) == len(set(ids)) == 400
    assert ids == [r.id for r, _ in Browse(server).sample(400, seed=1)]
    assert set(ids) != {r.id for r, _ in Browse(server).sample(400, seed=2)}
    assert len(list(Browse(server).sample(5000))) == len(spread)


def test_each_review_has_the_same_chance_in_a_sample_whatever_its_day(server, spread):
    """60 samples of 200 from 1,200: each is expected 10 times, with a standard deviation of 2.9."""
    seen = Counter(r.id for seed in range(60) for r, _ in Browse(server).sample(200, seed=seed))
    assert all(seen[r.id] <= 26 for r in spread)
    by_day: Counter[date] = Counter()
    for review in spread:
        by_day[review.created_at.date()] += seen[review.id]
    # 9,000 of 12,000 draws are expected from the busy day; its share varies by 37 (one sigma).
    assert abs(by_day[EPOCH.date()] - 9000) < 185


def test_a_sample_reads_in_proportion_to_itself(store, server):
    fill(store, [EPOCH + timedelta(days=i % 200) for i in range(4000)])
    before = (
        server.info("commandstats")["cmdstat_mget"]["calls"]
        if ("cmdstat_mget" in server.info("commandstats"))
        else 0
    )
    assert len(list(Browse(server).sample(20))) == 20
    assert server.info("commandstats")["cmdstat_mget"]["calls"] - before <= 40
