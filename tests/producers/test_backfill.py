"""Files in every state they come in; nothing lost silently, nothing stored twice."""

from __future__ import annotations

import gzip
import json
import signal
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import zstandard

from producers import formats
from producers.backfill import Backfill, Options, StoppedAtBadLine
from producers.intake import Intake
from producers.readers import MAX_LINE_BYTES, Bad, Source, rows
from shared.errors import Misconfigured
from tests.conftest import DATA, EPOCH, wait_until

YELP = {
    "review_id": "a1",
    "user_id": "u",
    "business_id": "b",
    "stars": 4.0,
    "date": "2017-01-14 20:54:15",
    "text": "Fine.",
}


@pytest.fixture
def backfill(store, server, tmp_path):  # type: ignore[no-untyped-def]
    def run(path, **options):  # type: ignore[no-untyped-def]
        intake = Intake(store, b"k" * 32)
        return Backfill(intake, server, Options(**options), tmp_path / "rejects.jsonl").run(
            str(path)
        )

    run.rejects = lambda: [
        json.loads(x) for x in (tmp_path / "rejects.jsonl").read_text().splitlines()
    ]  # type: ignore[attr-defined]
    return run


def jsonl(path, *records, end="\n"):  # type: ignore[no-untyped-def]
    path.write_bytes(
        "\n".join(r if isinstance(r, str) else json.dumps(r) for r in records).encode()
        + end.encode()
    )
    return path


def texts(store):  # type: ignore[no-untyped-def]
    return [r.text for r, _ in store.all()]


def test_yelp_json_lines(backfill, store, tmp_path):
    tally = backfill(jsonl(tmp_path / "y.json", YELP, {**YELP, "review_id": "a2", "text": "Bad."}))
    assert (tally.new, tally.rejected) == (2, 0)
    review = next(iter(store.all()))[0]
    assert (review.source, review.rating, review.business) == (
        "yelp",
        4,
        "b",
    ) and review.author != "u"
    assert str(review.created_at) == "2017-01-14 20:54:15+00:00"


def test_kaggle_csv_with_newlines_in_quotes(backfill, store, tmp_path):
    file = tmp_path / "yelp.csv"
    file.write_text(
        'business_id,date,review_id,stars,text,type,user_id\nb,2011-01-26,r1,5,"One ""good"" line\n\nand more",review,u\nb,2011-01-27,r2,1,bad,review,u\n'
    )
    assert backfill(file).new == 2
    assert texts(store) == ['One "good" line\n\nand more', "bad"]


def test_yelp_review_full_in_parquet_counts_labels_from_0(backfill, store, tmp_path):
    parquet.write_table(
        pa.table({"label": [0, 4], "text": ['Bad.\\nVery \\"bad\\".', "Good."]}),
        tmp_path / "f.parquet",
    )
    assert backfill(tmp_path / "f.parquet").new == 2
    assert {(r.rating, r.text) for r, _ in store.all()} == {
        (1.0, 'Bad.\nVery "bad".'),
        (5.0, "Good."),
    }


def test_yelp_review_full_in_csv_counts_labels_from_1(backfill, store, tmp_path):
    (tmp_path / "f.csv").write_text('"1","Bad.\\nVery \\""bad\\""."\n"5","Good."\n')
    assert backfill(tmp_path / "f.csv").new == 2
    assert {(r.rating, r.text) for r, _ in store.all()} == {
        (1.0, 'Bad.\nVery "bad".'),
        (5.0, "Good."),
    }


def test_amazon_2023(backfill, store, tmp_path):
    row = {
        "rating": 2.0,
        "title": "Meh",
        "text": "Broke.",
        "asin": "A",
        "parent_asin": "P",
        "user_id": "U",
        "timestamp": 1588687728923,
        "verified_purchase": True,
    }
    assert backfill(jsonl(tmp_path / "a.jsonl", row)).new == 1
    review = next(iter(store.all()))[0]
    assert (review.title, review.business, review.created_at.year) == ("Meh", "P", 2020)


def test_any_columns_by_map_and_an_unknown_format_says_how(backfill, store, tmp_path):
    file = tmp_path / "m.csv"
    file.write_text("body,score,when\nCold soup,2,2026-01-02\n")
    with pytest.raises(Misconfigured, match="--map text=body"):
        backfill(file)
    assert (
        backfill(
            file, mapping=formats.parse_map("text=body,rating=score,created_at=when"), source="mine"
        ).new
        == 1
    )
    assert next(iter(store.all()))[0].rating == 2
    with pytest.raises(Misconfigured, match="at least text"):
        formats.parse_map("rating=x")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_files(backfill, tmp_path, pack):
    (tmp_path / "y.bin").write_bytes(pack(json.dumps(YELP).encode() + b"\n"))
    assert backfill(tmp_path / "y.bin").new == 1


def test_a_cut_off_gzip_keeps_what_came_before_and_says_so(backfill, store, tmp_path):
    import os

    records = "".join(
        json.dumps({**YELP, "review_id": f"a{i}", "text": os.urandom(400).hex()}) + "\n"
        for i in range(300)
    )
    whole = gzip.compress(records.encode())
    (tmp_path / "y.json.gz").write_bytes(whole[: len(whole) // 2])
    tally = backfill(tmp_path / "y.json.gz")
    assert tally.new > 50 and tally.rejected == 1 and "cut off" in backfill.rejects()[0]["reason"]


def test_damage_is_rejected_line_by_line_with_number_and_reason(backfill, store, tmp_path):
    good = [json.dumps({**YELP, "review_id": f"g{i}"}) for i in range(3)]
    lines = [
        b"\xef\xbb\xbf" + good[0].encode(),  # BOM
        b"",
        b'{"broken": ',
        b'{"text": "no stars"}',
        good[1].encode().replace(b"Fine.", b"caf\xe9"),  # Latin-1
        json.dumps({**YELP, "review_id": "nul", "text": "a\x00b"}).encode(),  # escaped NUL: cleaned
        b'{"text": "raw \x00 nul", "stars": 1, "review_id": "x"}',
        json.dumps({**YELP, "stars": 9}).encode(),
        b"[1, 2]",
        good[2].encode(),
        good[0].encode()[:40],  # the file ends in mid-line
    ]
    (tmp_path / "d.json").write_bytes(b"\n".join(lines))
    tally = backfill(tmp_path / "d.json")
    assert (tally.new, tally.rejected) == (3, 7)
    reasons = {r["row"]: r["reason"] for r in backfill.rejects()}
    assert sorted(reasons) == [3, 4, 5, 7, 8, 9, 11]
    assert (
        "not JSON" in reasons[3]
        and "stars" in reasons[4]
        and "UTF-8" in reasons[5]
        and "rating" in reasons[8]
    )
    assert "ends in the middle" in reasons[11]
    assert "a b" in texts(store)


def test_a_50_mb_line_is_rejected_in_constant_memory(backfill, tmp_path):
    with (tmp_path / "big.json").open("wb") as out:
        out.write(json.dumps(YELP).encode() + b'\n{"text": "')
        for _ in range(50):
            out.write(b"x" * (1 << 20))
        out.write(b'"}\n' + json.dumps({**YELP, "review_id": "a2"}).encode() + b"\n")
    tracemalloc.start()
    tally = backfill(tmp_path / "big.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tally.new, tally.rejected) == (2, 1) and str(MAX_LINE_BYTES) in backfill.rejects()[0][
        "reason"
    ]
    assert peak < 12 << 20, f"{peak >> 20} MB for a 50 MB line"


def test_utf_16_and_a_json_array_say_how_to_convert(backfill, tmp_path):
    (tmp_path / "u.json").write_bytes(json.dumps(YELP).encode("utf-16"))
    with pytest.raises(Misconfigured, match="iconv"):
        backfill(tmp_path / "u.json")
    (tmp_path / "a.json").write_text(json.dumps([YELP]))
    with pytest.raises(Misconfigured, match="jq"):
        backfill(tmp_path / "a.json")


def test_an_empty_file_is_no_error(backfill, tmp_path):
    (tmp_path / "e.json").write_bytes(b"")
    assert backfill(tmp_path / "e.json").row == 0


def test_a_csv_row_with_missing_cells_is_rejected(tmp_path):
    (tmp_path / "c.csv").write_text("review_id,stars,text\n1,5,fine\n2,5\n3,4,ok\n")
    found = list(rows(Source(str(tmp_path / "c.csv"))))
    assert [n for n, r in found if isinstance(r, Bad)] == [2] and len(found) == 3


def test_lines_of_a_csv_that_are_no_text_are_rejected_where_they_stand(tmp_path):
    """Not collected until the end: a Latin-1 file of ten million lines would fill the memory."""
    lines = [b"review_id,stars,text", b"1,5,fine", b"2,5,caf\xe9", b"3,4,caf\xe9", b"4,4,ok"]
    (tmp_path / "c.csv").write_bytes(b"\n".join(lines) + b"\n")
    found = list(rows(Source(str(tmp_path / "c.csv"))))
    assert [(n, isinstance(r, Bad)) for n, r in found] == [
        (1, False),
        (2, True),
        (3, True),
        (4, False),
    ]
    assert "line 3 of the file: not UTF-8" in found[1][1].reason


def test_strict_stops_with_file_and_row(backfill, tmp_path):
    with pytest.raises(StoppedAtBadLine, match=r"s\.json: row 2"):
        backfill(jsonl(tmp_path / "s.json", YELP, "{oops"), strict=True)


def test_filters_limit_and_dry_run(backfill, store, tmp_path):
    many = [
        {**YELP, "review_id": str(i), "stars": 1 + i % 5, "date": f"20{10 + i % 10}-01-01"}
        for i in range(50)
    ]
    file = jsonl(tmp_path / "f.json", *many)
    assert backfill(file, dry_run=True).new == 50 and store.counts()["stored"] == 0
    tally = backfill(file, max_rating=2, since=EPOCH.replace(year=2015))
    assert (tally.new, tally.filtered) == (5, 45)
    assert backfill(file, limit=3).accepted == 3


def test_a_second_run_does_nothing_and_a_repeat_by_content_is_known(backfill, store, tmp_path):
    file = jsonl(tmp_path / "y.json", YELP)
    assert backfill(file).new == 1 and backfill(file).complete
    jsonl(tmp_path / "copy.json", YELP, {**YELP, "review_id": "new"})
    tally = backfill(tmp_path / "copy.json")
    assert (tally.new, tally.same) == (1, 1) and store.counts()["stored"] == 2


def test_killed_and_started_again_it_neither_loses_nor_repeats(store, processes, tmp_path):
    file = jsonl(
        tmp_path / "many.json",
        *({**YELP, "review_id": str(i), "text": f"Text {i}"} for i in range(20_000)),
    )
    first = processes.beyond("backfill", str(file))
    assert wait_until(lambda: store.counts()["stored"] > 1000, 30)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert 1000 < store.counts()["stored"] < 20_000
    done = processes.run("backfill", str(file))
    assert done.returncode == 0 and store.counts()["stored"] == 20_000, done.stderr
    ids = [i for job in store.connection.keys("rq:job:*") for i in _job_ids(job, store.connection)]
    assert len(ids) == len(set(ids)) == 20_000, "a review stands in two jobs"


def _job_ids(key, connection):  # type: ignore[no-untyped-def]
    import zlib

    return json.loads(zlib.decompress(connection.hget(key, "data")))[2][0]


def test_the_truncated_yelp_file_gives_one_reject(processes, store):
    file = DATA / "reviews" / "yelp_academic_truncated.jsonl"
    if not file.exists():
        pytest.skip("needs ../shared/data/reviews, which may not be committed")
    done = processes.run("backfill", str(file))
    assert (
        "3610 new" in done.stdout
        and "1 rejected" in done.stdout
        and store.counts()["stored"] == 3610
    )
