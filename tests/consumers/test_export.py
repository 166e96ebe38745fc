"""Exports: the same entries from record and store, safe for spreadsheets, in constant memory."""

from __future__ import annotations

import csv
import io
import json
import random
import tracemalloc

import pytest
from pyarrow import parquet

from consumers.export import COLUMNS
from consumers.export_files import write_csv, write_jsonl, write_parquet
from consumers.export_source import complete, fits, from_record, from_store
from consumers.record.database import open_database, writing
from consumers.record.filters import Filters, parse
from consumers.record.project import apply
from consumers.record.scope import Scope, owner_scope
from shared.errors import Misconfigured
from shared.review import Analysis, Insight, Issue, Review
from shared.stream.store import Store
from tests.conftest import EPOCH, make_review
from tests.consumers.record.conftest import database, postgresql, record_settings  # noqa: F401
from tests.consumers.record.filled import filled, synthetic
from tests.fakes import ANGRY

OWNER = owner_scope()
ALL = Filters()


def analysed(review: Review, *spans: tuple[int, int], **of_issue: object) -> Analysis:
    fields = {"theme": "quality", "problem": "p", "action": "@do it"} | of_issue
    issues = [Issue(evidence=review.text[a:b], start=a, end=b, **fields) for a, b in spans]
    insight = Insight(
        issues=issues, urgency="normal", urgency_reason="", adapter="a", prompt_version="issues-1"
    )
    return Analysis(review_id=review.id, emotions=ANGRY, insight=insight, analysed_at=EPOCH)


def rows_of(entries) -> list[dict[str, str]]:
    out = io.StringIO()
    write_csv(entries, out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def test_formulas_are_made_inert_and_each_issue_is_a_row(store):
    review = make_review(1, "=HYPERLINK(1) cold soup and rude staff")
    store.put([review])
    store.save([(review, analysed(review, (14, 23), (28, 38)))])
    rows = rows_of(from_store(store, ALL))
    assert [r["evidence"] for r in rows] == ["cold soup", "rude staff"]
    assert rows[0]["text"].startswith("'=") and rows[0]["action"] == "'@do it"


def test_an_empty_cell_stays_empty(store):
    """`""[:1] in "=+-@"` is true: an empty flag or external id became an apostrophe."""
    review = Review(source="t", text="cold soup", created_at=EPOCH, dated=False, business="")
    store.put([review])
    store.save([(review, analysed(review, (0, 4)))])
    (row,) = rows_of(from_store(store, ALL))
    empty = ("external_id", "business", "rating", "flags", "urgency_reason", "insight_reason")
    assert {row[name] for name in empty} == {""}
    assert row["dated"] == "False" and row["evidence"] == "cold"


def test_a_beginning_of_a_review_is_told_from_a_whole_one_from_both_sources(database, store):  # noqa: F811
    begun = Review(
        source="yelp", external_id="1", text="The soup...", created_at=EPOCH, excerpt=True
    )
    pairs = [(review, analysed(review, (4, 8))) for review in (begun, make_review(2))]
    store.put([review for review, _ in pairs])
    store.save(pairs)
    with writing(database) as connection:
        apply(connection, store.all())
    with database.connect() as connection:
        kept = list(from_record(connection, OWNER, ALL))
    assert kept == list(from_store(store, ALL))
    assert {e["id"]: e.get("excerpt") for e in kept} == {begun.id: True, make_review(2).id: None}
    told = {row["id"]: row["excerpt"] for row in rows_of(kept)}
    assert told == {begun.id: "True", make_review(2).id: "False"}
    out = io.BytesIO()
    write_parquet(kept, out)
    table = parquet.read_table(io.BytesIO(out.getvalue()))
    assert sorted(table["excerpt"].to_pylist()) == [False, True]


def test_waiting_reviews_are_lines_but_no_rows(store):
    store.put([make_review(1)])
    assert rows_of(from_store(store, ALL)) == []
    (entry,) = from_store(store, ALL)
    assert entry["analysis"] is None
    assert list(from_store(store, Filters(state="analysed"))) == []


@pytest.fixture
def both(database, store: Store):  # noqa: F811
    """The same 400 reviews in a record and in a store."""
    pairs = list(synthetic(400, seed=3))
    for first in range(0, len(pairs), 50):
        some = pairs[first : first + 50]
        store.put([review for review, _ in some], "backfill")
        store.save([pair for pair in some if pair[1] is not None])
    with writing(database) as connection:
        apply(connection, store.all())
    return database, store


def test_record_and_store_give_the_same_entries_in_the_same_order(both):
    engine, store = both
    with engine.connect() as connection:
        assert complete(connection, store)
        assert list(from_record(connection, OWNER, ALL)) == list(from_store(store, ALL))
        store.put([make_review(9)])
        assert not complete(connection, store)


def test_any_filters_choose_the_same_reviews_in_record_and_store(both):
    engine, store = both
    draw = random.Random(1)
    chosen = {
        "business": ["Harbour Grill", "Hotel Linde"],
        "source": ["google,csv", "judgeme"],
        "category": ["food", "lodging,clothing"],
        "rating": ["1,2", "5"],
        "rating_min": ["2.5"],
        "rating_max": ["4.5"],
        "emotion": ["anger,joy", "grief"],
        "theme": ["staff,waiting,safety,other", "billing"],
        "urgency": ["high", "low,normal"],
        "language": ["de", "en"],
        "since": ["2025-06-01"],
        "until": ["2026-02-01"],
        "min_confidence": ["0.4"],
        "state": ["analysed", "waiting"],
    }
    found = 0
    with engine.connect() as connection:
        cases = [{name: value} for name, values in chosen.items() for value in values]
        cases += [
            {name: draw.choice(chosen[name]) for name in draw.sample(sorted(chosen), 2)}
            for _ in range(30)
        ]
        for case in cases:
            filters = parse(case.items())
            kept = list(from_record(connection, OWNER, filters))
            assert kept == list(from_store(store, filters)), case
            found += bool(kept)
    assert found > 30, "most filters find something"


def test_the_store_says_which_filters_it_cannot_answer(store):
    with pytest.raises(Misconfigured, match="--q .*beyond record --once"):
        list(from_store(store, Filters(q="soup")))
    assert fits(make_review(1), None, Filters(q="soup")), "the record decides"


def test_a_scope_exports_its_own_business_only(both):
    engine, _ = both
    with engine.connect() as connection:
        entries = from_record(connection, Scope("x", business="Hotel Linde"), ALL)
        assert {entry["business"] for entry in entries} == {"Hotel Linde"}


def test_parquet_has_the_rows_of_the_csv_with_types(both):
    engine, _ = both
    out = io.BytesIO()
    with engine.connect() as connection:
        count = write_parquet(from_record(connection, OWNER, ALL), out)
        table = rows_of(from_record(connection, OWNER, ALL))
    read = parquet.read_table(io.BytesIO(out.getvalue()))
    assert read.column_names == list(COLUMNS) and read.num_rows == len(table)
    assert len(set(read["id"].to_pylist())) == count > 300
    assert read["text"].to_pylist() == [row["text"] for row in table]
    assert read["created_at"][0].as_py().tzinfo is not None
    assert read["rating"].to_pylist() == [
        float(r["rating"]) if r["rating"] else None for r in table
    ]


def test_memory_does_not_grow_with_the_number_of_reviews(settings):
    engine = open_database(settings)
    peaks = []

    class Nowhere(io.StringIO):
        def write(self, text: str) -> int:
            return len(text)

    for more in (3000, 9000):
        filled(engine, more, seed=more)
        with engine.connect() as connection:
            tracemalloc.start()
            write_jsonl(from_record(connection, OWNER, ALL), Nowhere())
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    engine.dispose()
    assert peaks[1] < 1.3 * peaks[0]


def test_the_command_filters_and_says_where_it_read(settings, store, processes):
    pairs = [(make_review(n), analysed(make_review(n), (0, 8))) for n in range(3)]
    store.put([review for review, _ in pairs], "backfill")
    store.save(pairs)
    told = processes.run("export", "--theme", "quality", "--since", "2026-01-01")
    assert told.stderr.strip() == "3 reviews exported from the store"
    engine = open_database(settings)
    with writing(engine) as connection:
        apply(connection, store.all())
    engine.dispose()
    again = processes.run("export", "--theme", "quality", "--since", "2026-01-01")
    assert again.stderr.strip() == "3 reviews exported from the record"
    assert again.stdout == told.stdout and len(told.stdout.splitlines()) == 3
    assert json.loads(told.stdout.splitlines()[0])["analysis"]["insight"]["urgency"] == "normal"
    wrong = processes.run("export", "--theme", "sauce")
    assert wrong.returncode == 2 and "theme" in wrong.stderr
    target = settings.home / "x.parquet"
    processes.run("export", "--format", "parquet", "--out", str(target))
    assert parquet.read_table(target).num_rows == 3
