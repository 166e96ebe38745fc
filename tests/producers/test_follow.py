"""A file that grows: every complete row once, whatever happens to the file or to us."""

from __future__ import annotations

import json
import os
import signal

import pytest

from producers.backfill import Options, StoppedAtBadLine
from producers.follow import Follower
from producers.intake import Intake
from producers.readers import MAX_LINE_BYTES
from producers.taking import Taker
from shared.errors import Misconfigured
from tests.conftest import wait_until
from tests.producers.test_backfill import YELP


def line(number: int, text: str = "The soup was cold.") -> str:
    return json.dumps({**YELP, "review_id": f"r{number}", "text": text}) + "\n"


@pytest.fixture
def file(tmp_path):  # type: ignore[no-untyped-def]
    return tmp_path / "reviews.jsonl"


@pytest.fixture
def following(store, server, file, tmp_path):  # type: ignore[no-untyped-def]
    made: list[Follower] = []

    def start(path=file, **options) -> Follower:  # type: ignore[no-untyped-def]
        chosen = Options(**options)
        taker = Taker(Intake(store, b"k" * 32), chosen, tmp_path / "rejects.jsonl")
        made.append(Follower(str(path), taker, chosen, server))
        return made[-1]

    yield start
    for one in made:
        one.close()


def append(path, text) -> None:  # type: ignore[no-untyped-def]
    with path.open("ab") as out:
        out.write(text if isinstance(text, bytes) else text.encode())


def drain(follower: Follower) -> None:
    """Until nothing is new twice: a file that took another's place is opened at the second look."""
    idle = 0
    while idle < 3:
        idle = 0 if follower.step() else idle + 1


def ids(store) -> list[str]:  # type: ignore[no-untyped-def]
    return sorted(str(r.external_id) for r, _ in store.all())


def test_rows_are_taken_as_they_come_and_a_partial_line_waits_for_its_rest(following, file, store):
    follower = following()
    assert follower.step() == 0, "no file yet"
    append(file, line(1) + line(2)[:20])
    drain(follower)
    assert ids(store) == ["r1"]
    append(file, line(2)[20:])
    drain(follower)
    assert ids(store) == ["r1", "r2"] and follower.place.tally.rejected == 0


def test_a_restart_goes_on_where_it_stopped(following, file, store):
    append(file, line(1))
    drain(following())
    append(file, "\n{oops\n" + line(2))
    second = following()
    drain(second)
    tally = second.place.tally
    assert ids(store) == ["r1", "r2"] and (tally.new, tally.same, tally.rejected) == (2, 0, 1)


def test_rejects_name_the_row_of_the_file(following, file, tmp_path):
    append(file, line(1) + "\n")
    follower = following()
    drain(follower)
    append(file, line(2) + "{oops\n")
    drain(follower)
    (entry,) = map(json.loads, (tmp_path / "rejects.jsonl").read_text().splitlines())
    assert entry["row"] == 4 and entry["file"] == str(file)


def test_a_part_that_begins_with_damage_is_still_json_lines(following, file, store):
    append(file, line(1))
    follower = following()
    drain(follower)
    append(file, "damage, with commas\n" + line(2))
    drain(follower)
    assert ids(store) == ["r1", "r2"] and follower.place.tally.rejected == 1


def test_a_truncated_file_is_read_from_its_beginning(following, file, store):
    append(file, line(1) + line(2))
    follower = following()
    drain(follower)
    file.write_text(line(3))
    drain(follower)
    assert ids(store) == ["r1", "r2", "r3"]


def test_a_file_that_was_written_anew_and_is_longer_already_is_noticed(following, file, store):
    append(file, line(1))
    follower = following()
    drain(follower)
    file.write_text(line(3) + line(4) + line(5))
    drain(follower)
    assert ids(store) == ["r1", "r3", "r4", "r5"]


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_renamed_file_is_read_to_its_end_before_the_one_that_took_its_place(following, file, store, end):  # fmt: skip
    append(file, line(1))
    follower = following()
    drain(follower)
    append(file, line(2) + line(3).rstrip("\n") + end)
    file.rename(file.with_name("reviews.jsonl.1"))
    drain(follower)
    assert len(ids(store)) == (3 if end else 2), "until another takes its place, it may grow"
    append(file, line(4))
    drain(follower)
    assert ids(store) == ["r1", "r2", "r3", "r4"]


def test_a_file_that_was_renamed_while_we_were_away_is_found(following, file, store):
    append(file, line(1))
    drain(following())
    append(file, line(2))
    file.rename(file.with_name("reviews.jsonl.1"))
    append(file, line(3))
    drain(following())
    assert ids(store) == ["r1", "r2", "r3"]


def test_a_csvs_header_explains_rows_that_come_later_also_after_a_restart(following, tmp_path, store):  # fmt: skip
    path = tmp_path / "r.csv"
    append(path, 'id,body,when\n1,"two\nlines, and a ""quote""",2026-01-02\n2,"half')
    options = {"mapping": {"external_id": "id", "text": "body", "created_at": "when"}}
    follower = following(path, **options)
    drain(follower)
    assert [r.text for r, _ in store.all()] == ['two\nlines, and a "quote"']
    append(path, '\nand half",2026-01-03\n')
    drain(follower)
    append(path, "3,last,2026-01-04\n")
    drain(following(path, **options))
    assert ids(store) == ["1", "2", "3"]


def test_a_line_without_end_is_rejected_once_in_bounded_memory(following, file, store):
    append(file, line(1))
    follower = following()
    drain(follower)
    for _ in range(10):
        append(file, b"x" * MAX_LINE_BYTES)
        drain(follower)
    append(file, "\n" + line(2))
    drain(follower)
    assert ids(store) == ["r1", "r2"] and follower.place.tally.rejected == 1


def test_strict_stops_and_a_dry_run_keeps_no_place(following, file, store, server):
    append(file, line(1))
    drain(following(dry_run=True))
    assert store.counts()["stored"] == 0 and server.keys("b:backfill:*") == []
    append(file, "{oops\n")
    with pytest.raises(StoppedAtBadLine, match="row 2"):
        drain(following(strict=True))


def test_what_cannot_be_followed_says_so(following, tmp_path):
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b" + bytes(50))
    with pytest.raises(Misconfigured, match="cannot be followed"):
        following(tmp_path / "x.gz").step()
    with pytest.raises(Misconfigured, match="folder does not exist"):
        following(tmp_path / "nowhere" / "x.jsonl")


def test_killed_again_and_again_while_the_file_grows_it_neither_loses_nor_repeats(processes, file, store):  # fmt: skip
    append(file, line(0))
    written = 1
    for turn in range(3):
        running = processes.beyond("backfill", "--follow", str(file))
        for _ in range(40):
            append(file, "".join(line(written + i, f"Text {written + i}") for i in range(50)))
            written += 50
        assert wait_until(lambda turn=turn: store.counts()["stored"] > turn * 2000, 60)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    last = processes.beyond("backfill", "--follow", str(file))
    assert wait_until(lambda: store.counts()["stored"] == written, 60), store.counts()
    last.send_signal(signal.SIGTERM)
    assert last.wait(30) == 0


def test_flags_that_contradict_each_other_are_refused(processes, file):
    for flags, said in (
        (("--follow", "--watch", "x"), "give one of them"),
        (("--follow", "--limit", "3", "x"), "no end"),
        (("--follow", "-"), "path of this machine"),
        (("--watch", "memory://x"), "path of this machine"),
        (("--watch", str(file)), "no such folder"),
    ):
        done = processes.run("backfill", *flags)
        assert done.returncode == 2 and said in done.stderr, done.stderr
