from __future__ import annotations

import csv
import io
import json

from consumers.export import export
from shared.review import Analysis, Insight, Issue, Review
from tests.conftest import EPOCH, make_review
from tests.fakes import ANGRY


def test_formulas_are_made_inert_and_each_issue_is_a_row(store):
    review = make_review(1, "=HYPERLINK(1) cold soup and rude staff")
    store.put([review])
    issues = [
        Issue(
            theme="quality", problem="p", evidence=review.text[a:b], start=a, end=b, action="@do it"
        )
        for a, b in ((14, 23), (28, 38))
    ]
    insight = Insight(
        issues=issues, urgency="normal", urgency_reason="r", adapter="a", prompt_version="issues-1"
    )
    store.save(
        [
            (
                review,
                Analysis(review_id=review.id, emotions=ANGRY, insight=insight, analysed_at=EPOCH),
            )
        ]
    )
    out = io.StringIO()
    assert export(store, out, "csv") == 1
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [r["evidence"] for r in rows] == ["cold soup", "rude staff"]
    assert rows[0]["text"].startswith("'=") and rows[0]["action"] == "'@do it"


def test_an_empty_cell_stays_empty(store):
    """`""[:1] in "=+-@"` is true: an empty flag or external id became an apostrophe."""
    review = Review(source="t", text="cold soup", created_at=EPOCH, dated=False, business="")
    issue = Issue(theme="quality", problem="p", evidence="cold", start=0, end=4, action="Do it.")
    insight = Insight(
        issues=[issue], urgency="low", urgency_reason="", adapter="a", prompt_version="issues-1"
    )
    store.put([review])
    analysis = Analysis(review_id=review.id, emotions=ANGRY, insight=insight, analysed_at=EPOCH)
    store.save([(review, analysis)])
    out = io.StringIO()
    assert export(store, out, "csv") == 1
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    empty = ("external_id", "business", "rating", "flags", "urgency_reason", "insight_reason")
    assert {row[name] for name in empty} == {""}
    assert row["dated"] == "False" and row["evidence"] == "cold"


def test_pending_reviews_are_exported_only_when_asked_for(store):
    store.put([make_review(1)])
    assert export(store, io.StringIO(), "jsonl") == 0
    out = io.StringIO()
    assert (
        export(store, out, "jsonl", pending=True) == 1
        and json.loads(out.getvalue())["analysis"] is None
    )
