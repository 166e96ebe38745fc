"""The record opens, finds words, and a schema of before comes forward with what people wrote."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.engine import URL

from consumers.record import schema
from consumers.record.database import open_database, open_url, record_path, writing
from consumers.record.project import apply
from consumers.record.text_search import matching
from shared.errors import Misconfigured, TemporaryFailure
from shared.settings import Settings
from tests.conftest import make_review
from tests.consumers.record.filled import filled

TEXTS = (
    "The soup was cold, and slow.Never again!",
    "Cold soup. We had to check-in twice.",
    "Une crème brûlée parfaite; don't miss it",
    "スープが冷たかったです。อาหารไม่อร่อยเลย",
)


def numbers_found(engine, words):  # type: ignore[no-untyped-def]
    with engine.connect() as connection:
        query = select(schema.reviews.c.external_id).where(matching(engine.dialect, words))
        return {int(name[1:]) for name in connection.scalars(query)}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("soup cold", {0, 1}),
        ('"cold soup"', {1}),
        ("SOUP -twice", {0}),
        ("-soup", {2, 3}),
        ("never", {0}),
        ("check-in", {1}),
        ("brûlée don't", {2}),
        ("冷たかった ไม่อร่อย", {3}),
        ("-冷たかった -cold", {2}),
        ("冷たかった soup", set()),
        ("", {0, 1, 2, 3}),
        ("!!! ' \" ( * NEAR OR", set()),
        ("sou", set()),
    ],
)
def test_words_find_the_reviews_that_contain_them(database, words, found):
    with writing(database) as connection:
        apply(connection, [(make_review(i, text), None) for i, text in enumerate(TEXTS)])
    assert numbers_found(database, words) == found


def test_a_changed_or_deleted_text_is_found_by_its_new_words_only(database):
    for words in ("The soup was cold.", "The fish was warm."):
        with writing(database) as connection:
            apply(connection, [(make_review(1, words), None)])
    assert (numbers_found(database, "soup"), numbers_found(database, "fish")) == (set(), {1})
    with writing(database) as connection:
        apply(connection, [], [make_review(1).id])
    assert numbers_found(database, "fish") == set()


def test_an_older_schema_comes_forward_with_what_people_wrote_and_a_copy_of_the_file(tmp_path):
    url = URL.create("sqlite", database=str(tmp_path / "record.db"))
    old = filled(open_url(url), 5)
    with writing(old) as connection:
        connection.execute(text("ALTER TABLE voices DROP COLUMN tone"))
        connection.execute(text("INSERT INTO voices (business, signature) VALUES ('b', 'Ann')"))
        connection.execute(text("UPDATE schema_version SET version = 0"))
    old.dispose()
    step = "ALTER TABLE voices ADD COLUMN tone VARCHAR(20) NOT NULL DEFAULT 'warm'"
    new = open_url(url, {0: [step]})
    with new.connect() as connection:
        assert connection.execute(select(schema.voices)).all() == [("b", "warm", "Ann")]
        assert connection.scalar(select(func.count()).select_from(schema.reviews)) == 0
    with closing(sqlite3.connect(f"{url.database}.v0")) as copy:
        assert copy.execute("SELECT count(*) FROM reviews").fetchall() == [(5,)]
    filled(new, 5)
    with new.connect() as connection:
        found = select(schema.reviews.c.id).where(matching(new.dialect, "visit"))
        assert connection.execute(found).all()


def test_a_newer_schema_is_left_alone(settings):
    with writing(open_database(settings)) as connection:
        connection.execute(text("UPDATE schema_version SET version = 999"))
    with pytest.raises(Misconfigured, match="schema version 999"):
        open_database(settings)


def test_a_file_that_is_no_database_is_an_error_that_says_where(settings):
    settings.home.mkdir()
    record_path(settings).write_text(
        "this is not a database, but long enough to look like a file" * 9
    )
    with pytest.raises(TemporaryFailure, match="record.db"):
        open_database(settings)


@pytest.mark.parametrize("url", ["mysql://a/b", "nonsense"])
def test_only_postgresql_is_taken_as_a_url(home, url):
    with pytest.raises(Misconfigured, match="BEYOND_DATABASE_URL"):
        open_database(Settings(home=home, database_url=url))


def test_readers_see_the_state_before_while_a_writer_writes(settings):
    engine = open_database(settings)
    with writing(engine) as connection:
        connection.execute(insert(schema.voices), {"business": "b"})
        with open_database(settings).connect() as reader:
            assert reader.scalar(select(func.count()).select_from(schema.voices)) == 0
