"""The record is what the store is, whatever happened in whatever order, and a rebuild makes the same."""

from __future__ import annotations

import signal
import sys

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from consumers.record import schema
from consumers.record.database import open_database, writing
from consumers.record.project import apply
from consumers.record.projector import Projector
from shared.stream.feed import FEED
from tests.conftest import make_review, wait_until
from tests.consumers.record.filled import filled, synthetic
from tests.consumers.record.life import Life, everything, ids_of


def test_news_that_fail_for_one_review_keep_no_review_out_of_the_record(database, store):
    told = []

    def news(connection, pairs):  # type: ignore[no-untyped-def]
        if any(review.id == make_review(2).id for review, _ in pairs):
            raise RuntimeError("no reply can be written to this")
        told.extend(review.id for review, _ in pairs)

    projector = Projector(database, store, news=news)
    projector.catch_up()
    store.put([make_review(i) for i in range(4)], "backfill")
    projector.catch_up()
    assert ids_of(database) == {make_review(i).id for i in range(4)}
    assert told == [make_review(i).id for i in (0, 1, 3)]


@pytest.mark.parametrize("seed", range(3))
def test_the_record_kept_by_the_feed_is_the_one_made_again(database, store, seed):
    life, projector = Life(store, seed), Projector(database, store)
    for number in range(400):
        life.step()
        if life.draw.random() < 0.3:
            projector.step()
        if number == 200:
            projector.rebuild()
    projector.catch_up()
    kept = everything(database)
    assert len(kept["reviews"]) > 20 and kept["issues"] and kept["rollups"]
    projector.rebuild(anew=True)
    assert everything(database) == kept
    stored = {r.id for r, _ in store.all()}
    assert ids_of(database) == stored


def test_a_rebuild_repairs_what_was_damaged_and_leaves_what_people_wrote(database, store):
    life, projector = Life(store, 9), Projector(database, store)
    for _ in range(150):
        life.step()
    projector.catch_up()
    kept = everything(database)
    with writing(database) as connection:
        connection.execute(update(schema.reviews).values(text="damaged"))
        connection.execute(update(schema.rollups).values(amount=7))
        connection.execute(delete(schema.emotions))
        connection.execute(update(schema.issues).values(review_id="nobody"))
        apply(connection, synthetic(30, seed=77))  # the store has none of these
        connection.execute(insert(schema.voices), {"business": "b", "signature": "Ann"})
    projector.rebuild(anew=True)
    assert everything(database) == kept
    with database.connect() as connection:
        assert connection.scalar(select(schema.voices.c.signature)) == "Ann"


def test_a_projector_that_missed_entries_starts_over(database, store, server):
    projector = Projector(database, store)
    gone, kept, late = (make_review(i) for i in range(3))
    store.put([gone, kept], "backfill")
    projector.catch_up()
    store.delete([gone.id])
    store.put([late])
    server.xtrim(FEED, 1, approximate=False)
    projector.catch_up()
    assert ids_of(database) == {kept.id, late.id}
    with database.connect() as connection:
        amount = select(func.sum(schema.rollups.c.amount)).where(schema.rollups.c.kind == "review")
        assert connection.scalar(amount) == 2


def test_a_record_that_was_never_filled_takes_what_the_store_has(database, store, server):
    store.put([make_review(1)])
    server.delete(FEED)
    Projector(database, store).catch_up()
    assert ids_of(database) == {make_review(1).id}


def test_the_same_entries_again_change_nothing(database, store):
    life, projector = Life(store, 5), Projector(database, store)
    for _ in range(60):
        life.step()
    projector.catch_up()
    kept = everything(database)
    with writing(database) as connection:
        connection.execute(update(schema.progress).values(entry="0-0"))
    assert projector.catch_up() == 0
    assert everything(database) == kept


def test_one_review_that_cannot_be_written_holds_up_no_other(database, store, server):
    projector = Projector(database, store)
    projector.catch_up()
    store.put([make_review(i) for i in range(5)], "backfill")
    server.set(f"b:r:{make_review(2).id}", b"no review at all, but bytes that somebody put there")
    projector.catch_up()
    assert ids_of(database) == {make_review(i).id for i in (0, 1, 3, 4)}


def test_a_projector_killed_at_any_point_goes_on_and_counts_nothing_twice(
    record_settings, database, store, processes
):
    extra = {}
    if record_settings.database_url:
        extra["BEYOND_DATABASE_URL"] = record_settings.database_url.get_secret_value()
    pairs = [p for p in synthetic(3000, 4) if p[1] is not None]
    for first in range(0, len(pairs), 60):
        some = pairs[first : first + 60]
        store.put([r for r, _ in some], "backfill")
        store.save(some)
    for share in (0.1, 0.5):
        running = processes.spawn(sys.executable, "beyond.py", "record", **extra)
        assert wait_until(lambda share=share: len(ids_of(database)) > share * len(pairs))
        running.send_signal(signal.SIGKILL)
        running.wait()
        store.delete([r.id for r, _ in pairs[: int(share * 100)]])
    running = processes.spawn(sys.executable, "beyond.py", "record", "--once", **extra)
    assert running.wait(120) == 0
    kept = everything(database)
    assert len(kept["reviews"]) == len(pairs) - 50
    Projector(database, store).rebuild(anew=True)
    assert everything(database) == kept


def test_full_text_follows_a_rebuild(settings, store):
    engine = filled(open_database(settings), 20)
    Projector(engine, store).rebuild(anew=True)
    with engine.connect() as connection:
        found = text("SELECT count(*) FROM reviews_text WHERE reviews_text MATCH 'visit'")
        assert connection.scalar(found) == 0
