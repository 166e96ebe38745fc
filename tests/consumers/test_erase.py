"""Nothing of an erased review is left: not in the store, the record's bytes, what people wrote, or the trainer's files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sqlalchemy import func, insert, select

from consumers.alerts.raising import raise_alerts
from consumers.alerts.rules import UrgencyRule, Watch
from consumers.erase import erase, ids_by
from consumers.out.message import Message
from consumers.out.outbox import enqueue, letters
from consumers.record.database import open_database, record_path, writing
from consumers.record.project import apply
from consumers.record.schema import (
    derived,
    history,
    issue_id,
    issue_state,
    people,
    topic_issues,
    topics,
)
from consumers.record.scope import owner_scope
from consumers.replies import drafts
from consumers.topics.embed import Told, Vectors
from producers.intake import make_review as received
from shared.privacy import author_hash
from shared.stream.replies import Replies, Request
from shared.stream.training import LOCK
from shared.stream.verdicts import Verdict, note_verdicts, read_verdicts
from tests.conftest import EPOCH
from tests.consumers.record.conftest import database, postgresql, record_settings  # noqa: F401
from tests.consumers.replies.test_compose import analysis_of
from tests.consumers.replies.test_drafts import urgent
from trainer.examples import Label
from trainer.label import Cache
from trainer.run import Plan, Run, open_run

NOW = int(EPOCH.timestamp()) + 3600
OWNER = owner_scope()
SECRET_WORD = "zanzibarquince"


def written(settings, number: int, author: str, word: str = "soup"):
    fields = {
        "source": "t",
        "external_id": f"x{number}",
        "text": f"The {word} was awful and burnt my tongue.",
        "rating": 1,
        "business": "b",
        "author": author,
        "created_at": EPOCH,
    }
    return received(fields, settings.author_key)


@pytest.fixture
def house(record_settings, database, store):  # noqa: F811
    """(settings, engine, store, theirs, other): two reviews that stand everywhere a review may stand."""
    settings = record_settings
    theirs = written(settings, 1, "Jo Doe", SECRET_WORD)
    other = written(settings, 2, "Al Roe")
    pairs = [(r, urgent(analysis_of(r, ("safety", None)))) for r in (theirs, other)]
    store.put([theirs, other], "backfill")
    store.save(pairs)
    store.connection.set(f"b:event:{theirs.id}", "x")
    replies = Replies(store.connection)
    for review in (theirs, other):
        assert replies.ask(Request(review.id, review.version, "warm", "", "ann"))
    assert replies.write(replies.requests([theirs.id])[0], f"About {SECRET_WORD}.", "model")
    with writing(database) as connection:
        apply(connection, pairs)
        for review, analysis in pairs:
            drafts.edit(connection, OWNER, review.id, f"About {review.text}", NOW)
            issue = analysis.insight.issues[0]
            key = issue_id(review.id, issue)
            note = {"issue_id": key, "review_id": review.id, "note": f"call {review.text}"}
            connection.execute(insert(issue_state).values(**note, updated_at=NOW, updated_by="a"))
            verdict = Verdict(review.id, review.version, issue.start, issue.end, "safety", False)
            note_verdicts(store.connection, {key: verdict})
            topic = {
                "id": f"t{review.external_id}",
                "name": issue.evidence,
                "words": "hot awful",
                "centroid": "",
            }
            days = {"size": 1, "first_day": 1, "last_day": 1, "updated_at": NOW}
            connection.execute(insert(topics).values(topic | days))
            connection.execute(
                insert(topic_issues).values(topic_id=f"t{review.external_id}", issue_id=key)
            )
    rule = UrgencyRule(name="r", when="urgency", targets=("gone",))
    raise_alerts(database, Watch((rule,), {}), NOW)
    report = Message(
        id="report-1", kind="report.ready", subject="Report", text=theirs.text, at=EPOCH
    )
    with writing(database) as connection:
        enqueue(connection, ["gone"], report)
    trained(settings.home, theirs, other)
    vectors = Vectors(
        lambda texts: np.ones((len(texts), 4)), settings.home / "topics" / "vectors.db"
    )
    vectors.issues([Told(None, theirs.text)])
    vectors.close()
    return settings, database, store, theirs, other


def trained(home, *reviews) -> Run:
    """A run by the trainer's own code that sampled, labelled and evaluated these reviews."""
    run = open_run(home, Plan(marks="/elsewhere/marks.jsonl"), "20260301-01-issues")
    labels = [Label(review, issues=()) for review in reviews]
    run.keep("sample", labels)
    run.keep("labels", labels)
    rows = [{"id": review.id, "answer": review.text} for review in reviews]
    (run.folder / "answers-base.json").write_text(json.dumps({"stamp": "s", "rows": rows}))
    cache = Cache(home / "labels", "teacher", "issues")
    for label in labels:
        cache.put(label, label.review.text)
    return run


def dump(engine) -> str:
    """Every cell of every table."""
    with engine.connect() as connection:
        tables = (*derived.sorted_tables, *people.sorted_tables)
        return "\n".join(str(row) for t in tables for row in connection.execute(select(t)))


def test_an_erased_review_is_nowhere_and_the_others_are_untouched(house):
    settings, engine, store, theirs, other = house
    assert SECRET_WORD in dump(engine) and theirs.id in dump(engine)
    erased = erase([theirs.id], settings, store, engine)
    rest = dump(engine)
    assert SECRET_WORD not in rest and theirs.id not in rest
    assert rest.count("soup") >= 4, "reply, note, evidence and text of the other one"
    assert store.reviews([theirs.id, other.id]) == [None, other]
    assert not store.connection.exists(f"b:event:{theirs.id}")
    replies = Replies(store.connection)
    assert replies.drafts() == [] and replies.wanted(theirs.id) is None
    assert replies.wanted(other.id).state == "being written"
    assert not list((settings.home / "topics").iterdir())
    assert {v.review_id for v in read_verdicts(store.connection).values()} == {other.id}
    for path in settings.home.rglob("*"):
        if path.is_file() and "server" not in path.parts:
            assert SECRET_WORD.encode() not in path.read_bytes(), path
    run = Run(settings.home / "runs" / "20260301-01-issues")
    assert [label.review.id for label in run.kept("labels")] == [other.id]
    assert erased.removed["reviews in the store"] == erased.removed["verdicts"] == 1
    assert erased.removed["lines of runs/20260301-01-issues/labels.jsonl"] == 1
    assert sum(n for what, n in erased.removed.items() if what.startswith("lines of labels/")) == 1
    told = "\n".join(erased.remains)
    assert "run 20260301-01-issues was trained with it" in told and "/elsewhere/marks" in told
    assert erase([theirs.id], settings, store, engine).removed == {}, "repeating finds nothing"


def test_a_message_about_several_reviews_keeps_the_others(house):
    settings, engine, store, theirs, other = house
    erase([theirs.id], settings, store, engine)
    with engine.connect() as connection:
        (letter,) = letters(connection, "waiting")
    assert [one["about"] for one in letter.message.data["alerts"]] == [other.id]
    assert other.id in letter.message.text and theirs.id not in letter.message.model_dump_json()
    erase([other.id], settings, store, engine)
    with engine.connect() as connection:
        assert letters(connection, "waiting") == []
        assert connection.scalar(select(func.count()).select_from(history)) == 0


@pytest.mark.parametrize("known_by", ["name", "hash"])
def test_an_author_is_found_by_name_and_by_hash_with_the_record_behind(house, known_by):
    settings, engine, store, theirs, _ = house
    later = written(settings, 3, "Jo Doe")
    store.put([later])  # the record does not have it yet
    name = "Jo Doe" if known_by == "name" else author_hash("Jo Doe", settings.author_key)
    assert ids_by([name], settings, store, engine) == {theirs.id, later.id}
    assert ids_by(["Nobody"], settings, store, engine) == set()


def test_a_review_that_only_the_trainer_still_has_is_found(house):
    settings, engine, store, theirs, _ = house
    store.delete([theirs.id])
    with writing(engine) as connection:
        apply(connection, [], [theirs.id])
    assert ids_by(["Jo Doe"], settings, store, engine) == {theirs.id}
    assert (
        "lines of runs/20260301-01-issues/sample.jsonl"
        in erase([theirs.id], settings, store, engine).removed
    )


def test_a_training_that_runs_is_named(house):
    settings, engine, store, theirs, _ = house
    store.connection.set(LOCK, "x")
    assert any(
        "repeat this" in text for text in erase([theirs.id], settings, store, engine).remains
    )


def test_the_command_erases_an_author_and_lists_it(settings, store, processes):
    review = written(settings, 1, "Jo Doe", SECRET_WORD)
    store.put([review])
    engine = open_database(settings)
    with writing(engine) as connection:
        apply(connection, [(review, None)])
    engine.dispose()
    trained(settings.home, review)
    told = processes.run("erase", "--author", "Jo Doe", "--yes")
    assert told.returncode == 0, told.stderr
    assert "removed   1 reviews in the store" in told.stdout and "remains" in told.stdout
    wal = record_path(settings).with_name("record.db-wal")
    kept = record_path(settings).read_bytes() + (wal.read_bytes() if wal.exists() else b"")
    assert SECRET_WORD.encode() not in kept
    again = processes.run("erase", "--author", "Jo Doe", "--yes")
    assert again.stdout.startswith("no review by that author")
    assert processes.run("erase").returncode == 2
