"""`beyond record` and the one that `beyond work` keeps beside its workers, as people run them."""

from __future__ import annotations

import os
import signal
import sys

from sqlalchemy import func, select, update

from consumers.record import schema
from consumers.record.database import open_database, writing
from tests.conftest import make_review, wait_until
from workers.beside import Beside
from workers.restarts import Restarts


def recorded(engine):  # type: ignore[no-untyped-def]
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(schema.reviews))


def test_it_follows_what_changes_until_it_is_stopped(settings, store, processes):
    engine = open_database(settings)
    store.put([make_review(1)])
    running = processes.beyond("record")
    assert wait_until(lambda: recorded(engine) == 1)
    store.put([make_review(2)])
    assert wait_until(lambda: recorded(engine) == 2)
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0


def test_a_rebuild_by_hand_says_how_many_reviews_it_made(settings, store, processes):
    store.put([make_review(1), make_review(2)], "backfill")
    assert processes.run("record", "--once").returncode == 0
    engine = open_database(settings)
    with writing(engine) as connection:
        connection.execute(update(schema.reviews).values(text="damaged"))
    done = processes.run("record", "--rebuild")
    assert done.returncode == 0 and "made again: 2 reviews" in done.stdout
    with engine.connect() as connection:
        assert connection.scalars(select(schema.reviews.c.text).distinct()).all() == [
            make_review().text
        ]


def test_work_keeps_a_projector_and_starts_a_killed_one_again(settings, store, server, processes):
    engine = open_database(settings)
    work = processes.beyond("work", BEYOND_RECORD="true", BEYOND_INSIGHT_MODEL="none")
    store.put([make_review(1)])
    assert wait_until(lambda: recorded(engine) == 1)
    children = open(f"/proc/{work.pid}/task/{work.pid}/children").read().split()
    commands = {pid: open(f"/proc/{pid}/cmdline").read().split("\0") for pid in children}
    (projector,) = [int(pid) for pid, words in commands.items() if "record" in words]
    os.kill(projector, signal.SIGKILL)
    store.put([make_review(2)])
    assert wait_until(lambda: recorded(engine) == 2)
    work.send_signal(signal.SIGTERM)
    assert work.wait(120) == 0


def test_a_burst_leaves_the_record_up_to_date(settings, store, processes):
    store.put([make_review(i) for i in range(5)], "backfill")
    done = processes.run("work", "--burst", BEYOND_RECORD="true", BEYOND_INSIGHT_MODEL="none")
    assert done.returncode == 0
    with open_database(settings).connect() as connection:
        read = select(func.count()).where(schema.reviews.c.analysed_at.is_not(None))
        assert connection.scalar(read) == 5


def test_one_that_cannot_run_is_not_started_again(tmp_path):
    starts = tmp_path / "starts"
    code = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(2)"
    beside = Beside([sys.executable, "-c", code], {})
    beside.step()
    assert wait_until(starts.exists)
    for _ in range(5):
        assert wait_until(lambda: beside._process is None or beside._process.poll() is not None)
        beside.step()
    assert starts.read_text() == "x"


def test_one_that_keeps_dying_is_left_alone(tmp_path):
    starts = tmp_path / "starts"
    code = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(3)"
    clock = iter(range(0, 10**6, 100))
    restarts = Restarts(limit=3, window_seconds=10**6)
    beside = Beside([sys.executable, "-c", code], {}, restarts, lambda: float(next(clock)))

    def given_up() -> bool:
        beside.step()
        return beside._due is None

    assert wait_until(given_up)
    assert starts.read_text() == "xxx"
