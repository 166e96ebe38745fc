"""Files as people have them: their own headers, dates, ratings; rows without a date.

Rejects that tell on nobody.
"""

from __future__ import annotations

import io
import json
import shlex
import sys
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from consumers.export_files import write_jsonl
from consumers.export_source import from_store
from consumers.record.filters import Filters
from producers import suggest
from producers.backfill import Backfill, Options
from producers.formats import detect, parse_map
from producers.intake import Intake
from shared.errors import Misconfigured
from shared.review import Review, review_id
from tests.conftest import EPOCH, make_review


@pytest.fixture
def backfill(store, server, tmp_path):  # type: ignore[no-untyped-def]
    def run(path, mapping="text=text,rating=rating,created_at=date", **options):  # type: ignore[no-untyped-def]
        reader = Backfill(
            Intake(store, b"k" * 32),
            server,
            Options(mapping=parse_map(mapping) if mapping else None, **options),
            tmp_path / "rejects.jsonl",
        )
        return reader.run(str(path))

    return run


def table(path, *rows, header="text,rating,date"):  # type: ignore[no-untyped-def]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def dates(store):  # type: ignore[no-untyped-def]
    return {r.text: f"{r.created_at:%Y-%m-%d}" for r, _ in store.all()}


@pytest.mark.parametrize(
    "telling, both", [("15.01.2026", "2026-04-03"), ("01.15.2026", "2026-03-04")]
)
def test_the_last_row_of_a_file_decides_what_its_first_date_means(
    backfill, store, tmp_path, telling, both
):
    rows = [f"Soup {i},★★★★☆,03.04.2026" for i in range(2000)]
    tally = backfill(table(tmp_path / "f.csv", *rows, f"last,4/5,{telling}"))
    assert (tally.new, tally.rejected) == (2001, 0)
    assert dates(store)["Soup 0"] == both and dates(store)["last"] == "2026-01-15"
    assert {r.rating for r, _ in store.all()} == {4}


def test_a_file_whose_dates_never_tell_stores_nothing_and_names_the_options(
    backfill, store, tmp_path
):
    file = table(tmp_path / "f.csv", "Cold,1,03/04/2026", "Late,2,05/06/2026")
    with pytest.raises(Misconfigured, match=r"f\.csv.*03/04/2026.*--day-first or --month-first"):
        backfill(file)
    assert store.counts()["stored"] == 0
    assert backfill(file, day_first=True).new == 2 and dates(store)["Cold"] == "2026-04-03"


def test_a_pipe_cannot_be_read_twice_so_it_asks_for_the_order(backfill, store, monkeypatch):
    text = b"text,rating,date\nCold,1,15/01/2026\n"

    class Stdin:
        buffer = io.BytesIO(text)

    monkeypatch.setattr(sys, "stdin", Stdin)
    with pytest.raises(Misconfigured, match="standard input.*--day-first"):
        backfill("-")
    Stdin.buffer = io.BytesIO(text)
    assert backfill("-", day_first=True).new == 1 and dates(store)["Cold"] == "2026-01-15"


def test_a_reject_names_row_field_and_remedy(backfill, tmp_path):
    file = table(tmp_path / "f.csv", "Cold,great,2026-01-15", "Late,1,soon", "Fine,5,2026-01-16")
    assert backfill(file).rejected == 2
    kept = [json.loads(x) for x in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [k["row"] for k in kept] == [1, 2]
    assert "rating: 'great'" in kept[0]["reason"] and "'4/5'" in kept[0]["reason"]
    assert "created_at: 'soon'" in kept[1]["reason"] and "--date-format" in kept[1]["reason"]


def test_rejects_tell_on_nobody_and_only_their_owner_reads_them(backfill, tmp_path):
    (tmp_path / "rejects.jsonl").write_text('{"old": true}\n')
    (tmp_path / "rejects.jsonl").chmod(0o644)
    secret = "mail jo.doe@example.com or +44 20 7946 0958"
    file = tmp_path / "f.jsonl"
    rows = [
        {
            "text": f"{secret} " + "x" * 30,
            "stars": 9,
            "review_id": "1",
            "user_id": "Jo-Doe",
            "city": "12 Elm St",
        },
        {"text": "b", "stars": "jo.doe@example.com", "review_id": "2", "user_id": "Jo-Doe"},
    ]
    lines = [json.dumps(row) for row in rows] + ['{"user_id": "Jo-Doe", "text": "call Jo-Doe']
    file.write_text("\n".join(lines))
    assert backfill(file, mapping=None).rejected == 3
    kept = (tmp_path / "rejects.jsonl").read_text()
    for told in ("jo.doe", "7946", "Jo-Doe", "Elm St"):
        assert told not in kept, f"{told} stands in {kept}"
    entries = [json.loads(line) for line in kept.splitlines()][1:]
    assert entries[0]["fields"]["text"].startswith("mail [email] or [number] xxx")
    assert entries[0]["columns"] == ["text", "stars", "review_id", "user_id", "city"]
    assert "row" in entries[2] and entries[2]["fields"] == {}
    assert (tmp_path / "rejects.jsonl").stat().st_mode & 0o777 == 0o600


def test_reviews_without_a_date_get_the_time_of_import_marked_and_keep_their_id(
    backfill, store, server, tmp_path
):
    file = table(tmp_path / "f.csv", "Cold soup,1,", "Late,2,2026-01-15")
    assert backfill(file, imported_at=EPOCH).new == 2
    found = {r.text: r for r, _ in store.all()}
    assert (found["Cold soup"].created_at, found["Cold soup"].dated) == (EPOCH, False)
    assert found["Late"].dated
    for key in server.keys("b:backfill:*"):
        server.delete(key)
    again = backfill(file, imported_at=EPOCH + timedelta(days=9))
    assert (again.new, again.updated, again.same) == (0, 0, 2)
    assert store.counts()["stored"] == 2


def test_an_undated_review_is_the_one_that_earlier_versions_stored_in_2000():
    old = review_id("file", None, "Cold", datetime(2000, 1, 1, tzinfo=UTC))
    assert Review(source="file", text="Cold", created_at=EPOCH, dated=False).id == old


def test_undated_reviews_with_the_same_words_about_two_places_are_two(backfill, tmp_path):
    file = table(tmp_path / "f.csv", "Great!,Bar", "Great!,Inn", "Great!,Inn", header="text,place")
    tally = backfill(file, mapping="text=text,business=place")
    assert (tally.new, tally.same) == (2, 1)


def test_a_record_stored_before_dates_were_marked_has_a_date():
    stored = make_review().model_dump_json()
    assert "dated" not in stored and Review.model_validate_json(stored).dated


def test_since_leaves_out_reviews_whose_date_nobody_knows(backfill, tmp_path):
    file = table(tmp_path / "f.csv", "Cold soup,1,", "Late,2,2026-01-15")
    tally = backfill(file, since=datetime(2020, 1, 1, tzinfo=UTC))
    assert (tally.new, tally.filtered) == (1, 1)


def test_what_beyond_export_writes_backfill_reads_back(backfill, store, server, tmp_path):
    store.put([make_review(1)])
    store.put([Review(source="t", text="Cold", created_at=EPOCH, dated=False)])
    with (tmp_path / "out.jsonl").open("w") as out:
        assert write_jsonl(from_store(store, Filters()), out) == 2
    tally = backfill(tmp_path / "out.jsonl", mapping=None)
    assert (tally.new, tally.same, tally.rejected) == (0, 2, 0)


@pytest.mark.parametrize(
    "header, mapping",
    [
        ("review,stars", "text=review,rating=stars"),
        ("Body,Score,When", "text=Body,rating=Score,created_at=When"),
        ("id,content,date,author", "text=content,created_at=date,external_id=id,author=author"),
        (
            "Review Text,Star Rating,Store",
            "text=Review Text,rating=Star Rating,business=Store",
        ),
        ("text,overall,noise", "text=text,rating=overall"),
        ("aaa,bbb", "text=COLUMN"),
    ],
)
def test_an_unknown_header_gives_the_likely_command_ready_to_paste(header, mapping):
    with pytest.raises(Misconfigured) as caught:
        detect(dict.fromkeys(header.split(","), "x"), "my reviews.csv")
    line = str(caught.value).splitlines()[-1].strip()
    assert shlex.split(line) == ["beyond", "backfill", "my reviews.csv", "--map", mapping]


def test_a_column_that_map_cannot_name_is_not_suggested():
    assert suggest.mapping(["review", "rating=x", "date,utc"]) == {"text": "review"}


def test_the_command_line_offers_what_the_errors_name():
    from producers.commands import backfill as command

    shown = CliRunner().invoke(command, ["--help"]).output
    for option in ("--day-first", "--month-first", "--date-format", "--rating-scale"):
        assert option in shown
