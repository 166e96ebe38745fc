"""Several projectors, a rebuild and a database that throws them out do no harm to the record."""

from __future__ import annotations

import signal

import pytest
from sqlalchemy import text

from consumers.record.projector import Projector
from shared.stream.feed import Feed
from tests.conftest import make_review, wait_until
from tests.consumers.record.life import Life, everything, ids_of


def url_of(settings):  # type: ignore[no-untyped-def]
    """For a process: where its record is."""
    found = settings.database_url
    return {"BEYOND_DATABASE_URL": found.get_secret_value()} if found else {}


def test_two_projectors_and_a_rebuild_at_once_make_the_same_record(
    record_settings, database, store, server, processes
):
    life, feed = Life(store, 21), Feed(server)
    running = [processes.beyond("record", **url_of(record_settings)) for _ in range(2)]
    assert wait_until(lambda: sum(c["cmd"] == "xread" for c in server.client_list()) == 2)
    here = Projector(database, store)
    for number in range(300):
        life.step()
        if number % 100 == 50:
            here.rebuild(anew=True)
    assert wait_until(lambda: here.place() == feed.last())
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    here.catch_up()  # a rebuild that ended late has set its place back
    kept = everything(database)
    assert kept["issues"] and ids_of(database) == {r.id for r, _ in store.all()}
    here.rebuild(anew=True)
    assert everything(database) == kept


@pytest.mark.parametrize("record_settings", ["postgresql"], indirect=True)
def test_a_projector_whose_connections_are_cut_goes_on(record_settings, database, store, processes):
    running = processes.beyond("record", **url_of(record_settings))
    for number in range(3):
        store.put([make_review(number)])
        assert wait_until(lambda number=number: len(ids_of(database)) == number + 1)
        with database.connect() as connection:
            cut = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert connection.scalar(text(cut)) >= 1
    store.put([make_review(9)])
    assert wait_until(lambda: len(ids_of(database)) == 4)
    assert running.poll() is None
