"""Inputs that fsspec reaches, by real file systems: memory, local files by address, and HTTP."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator

import fsspec
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from producers.addresses import expanded, opened, shown
from producers.backfill import Backfill, Options
from producers.intake import Intake
from shared.errors import Misconfigured, TemporaryFailure
from tests.conftest import ROOT, free_port
from tests.producers.poll.conftest import Played, reply
from tests.producers.test_follow import line


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    found = fsspec.filesystem("memory")
    yield found
    found.store.clear()
    found.pseudo_dirs[:] = [""]


@pytest.fixture
def backfill(store, server, tmp_path):  # type: ignore[no-untyped-def]
    reader = Backfill(Intake(store, b"k" * 32), server, Options(), tmp_path / "rejects.jsonl")
    return lambda address: reader.run(str(address))


def test_json_lines_packed_files_and_parquet_in_a_remote_place(memory, backfill, store):
    memory.pipe("/in/a.jsonl", line(1).encode())
    memory.pipe("/in/b.jsonl.gz", gzip.compress(line(2).encode()))
    table, out = pa.table({"label": [0], "text": ["Bad."]}), io.BytesIO()
    parquet.write_table(table, out)
    memory.pipe("/in/c.parquet", out.getvalue())
    for address in expanded("memory://in/*"):
        assert backfill(address).new == 1, address
    assert store.counts()["stored"] == 3
    assert backfill("memory://in/a.jsonl").complete, "resumed, as local files are"


def test_an_address_of_a_local_file_and_a_glob_that_finds_nothing(backfill, tmp_path):
    (tmp_path / "a.jsonl").write_text(line(1))
    assert backfill(f"file://{tmp_path}/a.jsonl").new == 1
    assert expanded(f"file://{tmp_path}/*.jsonl") == [f"file://{tmp_path}/a.jsonl"]
    with pytest.raises(Misconfigured, match="no such files"):
        expanded("memory://nowhere/*")
    assert expanded("a*b") == ["a*b"], "a shell does this"


def test_over_http(backfill, store):
    pytest.importorskip("aiohttp")
    played = Played()
    body = "".join(line(n) for n in range(2000)).encode()

    def answer(_, __, headers):  # type: ignore[no-untyped-def]
        first, last = 0, len(body) - 1
        if asked := headers.get("range"):
            first, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(first), min(int(end or last), last)
        where = {"Content-Range": f"bytes {first}-{last}/{len(body)}"} if asked else {}
        return 206 if asked else 200, {"Accept-Ranges": "bytes", **where}, body[first : last + 1]

    played.answer = answer
    try:
        assert backfill(f"{played.url}/reviews.jsonl?token=hush").new == 2000
        assert store.counts()["stored"] == 2000
        played.answer = lambda *_: reply({}, 404)
        with pytest.raises(Misconfigured, match="no such file"):
            backfill(f"{played.url}/other.jsonl")
    finally:
        played.stop()
    with pytest.raises(TemporaryFailure, match="not reached"):
        backfill(f"http://127.0.0.1:{free_port()}/x.jsonl")


def test_a_connection_that_is_lost_is_no_damaged_file(memory, backfill, monkeypatch, tmp_path):
    """Else the rest of the file would count as read, and the next run would skip it."""
    memory.pipe("/a.jsonl", "".join(line(n) for n in range(3000)).encode())
    whole = type(memory.open("/a.jsonl")).read
    fail = {"now": True}

    def read(self, size=-1):  # type: ignore[no-untyped-def]
        if fail["now"] and self.tell() > 100_000:
            raise ConnectionError("reset by peer")
        return whole(self, size)

    monkeypatch.setattr(type(memory.open("/a.jsonl")), "read", read, raising=False)
    with pytest.raises(TemporaryFailure, match="lost while reading"):
        backfill("memory://a.jsonl")
    assert not (tmp_path / "rejects.jsonl").exists()
    fail["now"] = False
    tally = backfill("memory://a.jsonl")
    assert tally.accepted == 3000 and tally.rejected == 0


def test_a_missing_package_is_named(tmp_path):
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from producers.addresses import opened\n"
        "opened('s3://bucket/a.jsonl')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "s3:// needs a package that is not installed: pip install s3fs" in done.stderr


def test_unknown_schemes_and_missing_files_say_so():
    with pytest.raises(Misconfigured, match="nope"):
        opened("nope://x/a")
    with pytest.raises(Misconfigured, match="no such file"):
        opened("memory://x/a")


def test_what_people_see_of_an_address_has_no_secret():
    assert shown("https://me:hush@h.example:8/a.csv?sig=hush#x") == "https://h.example:8/a.csv"
    assert shown("s3://bucket/a.jsonl") == "s3://bucket/a.jsonl"
    assert (shown("-"), shown("/a?b")) == ("standard input", "/a?b")


def test_the_command_takes_addresses(processes, tmp_path, store):
    for n in (1, 2):
        (tmp_path / f"{n}.jsonl").write_text(line(n))
    done = processes.run("backfill", f"file://{tmp_path}/*.jsonl")
    assert done.stdout.count("1 new") == 2 and store.counts()["stored"] == 2, done.stderr
    assert json.loads(line(1))["review_id"] == "r1"
