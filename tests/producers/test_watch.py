"""A watched folder: each file once, when it is complete."""

from __future__ import annotations

import gzip
import json
import signal

import pytest

from producers.backfill import Backfill, Options
from producers.intake import Intake
from producers.watch import SETTLE_SECONDS, Watch
from tests.conftest import wait_until
from tests.producers.test_follow import line


@pytest.fixture
def folder(tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


class Watched:
    """A Watch whose time a test moves."""

    def __init__(self, folder, store, server, tmp_path) -> None:  # type: ignore[no-untyped-def]
        self.now, self.told = 0.0, []
        backfill = Backfill(Intake(store, b"k" * 32), server, Options(), tmp_path / "rejects.jsonl")
        self._watch = Watch(
            folder, backfill, lambda p, t: self.told.append((p.name, t)), lambda: self.now
        )

    def after(self, seconds: float) -> int:
        self.now += seconds
        return self._watch.look()


@pytest.fixture
def watched(folder, store, server, tmp_path):  # type: ignore[no-untyped-def]
    return lambda: Watched(folder, store, server, tmp_path)


def test_a_file_is_read_once_it_stands_still(watched, folder, store):
    one = watched()
    (folder / "a.jsonl").write_text(line(1))
    assert one.after(0) == 0
    with (folder / "a.jsonl").open("a") as out:
        out.write(line(2))
    assert one.after(SETTLE_SECONDS) == 0, "it grew meanwhile"
    assert one.after(SETTLE_SECONDS) == 1 and store.counts()["stored"] == 2
    assert one.after(100) == 0


def test_files_that_are_being_written_by_their_name_are_left_alone(watched, folder):
    one = watched()
    for name in (".hidden.jsonl", "a.jsonl.part", "b.tmp", "c.crdownload", "d~"):
        (folder / name).write_text(line(1))
    (folder / "sub").mkdir()
    (folder / "empty.jsonl").touch()
    one.after(0)
    assert one.after(100) == 0
    (folder / "a.jsonl.part").rename(folder / "a.jsonl")
    one.after(0)
    assert one.after(SETTLE_SECONDS) == 1


def test_a_restart_and_a_copy_read_nothing_again(watched, folder, store):
    (folder / "a.jsonl").write_text(line(1))
    first, second = watched(), watched()
    first.after(0)
    first.after(SETTLE_SECONDS)
    (folder / "copy.jsonl").write_text(line(1))
    second.after(0)
    second.after(SETTLE_SECONDS)
    assert store.counts()["stored"] == 1
    assert [t.new for _, t in first.told] == [1] and len(second.told) == 2


def test_a_changed_file_is_read_again_and_its_known_rows_stay(watched, folder, store):
    one = watched()
    (folder / "a.jsonl").write_text(line(1))
    one.after(0)
    one.after(SETTLE_SECONDS)
    (folder / "a.jsonl").write_text(line(1) + line(2))
    one.after(0)
    one.after(SETTLE_SECONDS)
    tally = one.told[-1][1]
    assert (tally.new, tally.same) == (1, 1) and store.counts()["stored"] == 2


def test_a_file_that_cannot_be_read_is_told_once_and_the_others_are_read(watched, folder, store):
    one = watched()
    (folder / "a.json").write_text(json.dumps([1]))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(line(1).encode()))
    one.after(0)
    one.after(SETTLE_SECONDS)
    assert one.after(100) == 0
    assert "jq" in str(one.told[0][1]) and one.told[1][1].new == 1
    assert store.counts()["stored"] == 1


def test_the_command_watches_until_it_is_stopped(processes, folder, store):
    running = processes.beyond("backfill", "--watch", str(folder))
    (folder / "a.jsonl").write_text(line(1))
    assert wait_until(lambda: store.counts()["stored"] == 1, 60)
    (folder / "b.jsonl").write_text(line(2))
    assert wait_until(lambda: store.counts()["stored"] == 2, 60)
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 0
