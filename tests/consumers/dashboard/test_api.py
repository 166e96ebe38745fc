from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import select

from consumers.record.database import writing
from consumers.record.project import apply
from consumers.record.schema import alerts, topic_issues, topics
from consumers.record.schema import issues as issue_rows
from shared.review import Analysis, Emotions, Insight, Issue, Review
from tests.conftest import EPOCH
from tests.consumers.dashboard.conftest import NOW, OURS, REVIEWS, THEIRS

HOSTILE = "<script>alert(1)</script>\u202egnp.exe\u200b ]]> \" ' & \U0001f4a9 \ud7ff"


def test_pages_lead_through_everything_once(dashboard):
    client, seen, cursor = dashboard.client("read"), [], None
    while True:
        query = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/reviews", params=query).json()
        seen += [review["id"] for review in page["reviews"]]
        if (cursor := page["next"]) is None:
            break
    assert len(seen) == len(set(seen)) == REVIEWS


@pytest.mark.parametrize(
    "address, status, says",
    [
        ("/v1/reviews?colour=red", 400, "colour: no such parameter"),
        ("/v1/reviews?theme=food", 400, "theme: "),
        ("/v1/reviews?cursor=zzz", 400, "cursor: "),
        ("/v1/reviews?limit=0", 422, "limit"),
        ("/v1/reviews?limit=many", 422, "limit"),
        ("/v1/summary?theme=staff", 400, "theme: sums are kept by"),
        ("/v1/themes/food", 422, "theme"),
        ("/v1/reviews/nothing", 404, "no review nothing"),
        ("/v1/issues/nothing", 404, "no issue nothing"),
        ("/v1/reviews/nothing/reply", 404, "no reply"),
        ("/v1/nowhere", 404, "Not Found"),
    ],
)
def test_an_error_is_a_problem_that_names_what_was_wrong(dashboard, address, status, says):
    answer = dashboard.client("read").get(address)
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == body["status"] == status and says in body["detail"]
    assert body["title"] and body["type"] == "about:blank"


def test_what_did_not_change_is_not_sent_again(dashboard):
    client = dashboard.client("write")
    one = next(r for r in client.get("/v1/reviews").json()["reviews"] if r["issues"])
    for address in (f"/v1/reviews/{one['id']}", "/v1/reviews", "/v1/summary", "/v1/meta"):
        first = client.get(address)
        again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), address
    known = client.get(f"/v1/reviews/{one['id']}").headers["etag"]
    client.patch(f"/v1/issues/{one['issues'][0]['id']}", json={"owner": "Someone else"})
    changed = client.get(f"/v1/reviews/{one['id']}", headers={"If-None-Match": f'"x", {known}'})
    assert changed.status_code == 200 and changed.headers["etag"] != known


def test_a_review_that_looks_like_a_page_stays_text(dashboard):
    review = Review(
        source="test",
        external_id="hostile",
        text=HOSTILE + "x" * 19_000,
        title=HOSTILE,
        business=f"{HOSTILE} & Sons",
        created_at=EPOCH,
    )
    issue = Issue(theme="staff", problem=HOSTILE, evidence=HOSTILE, start=0, end=len(HOSTILE))
    insight = Insight(
        issues=(issue,), urgency="high", urgency_reason="-", adapter="a", prompt_version="1"
    )
    emotions = Emotions(probabilities={"anger": 0.9}, present=("anger",))
    analysis = Analysis(review_id=review.id, emotions=emotions, insight=insight, analysed_at=EPOCH)
    with writing(dashboard.engine) as connection:
        apply(connection, [(review, analysis)])
    client = dashboard.client("read")
    for address in (f"/v1/reviews/{review.id}", f"/v1/reviews/{HOSTILE}", "/v1/meta"):
        answer = client.get(address)
        assert answer.headers["content-type"].split(";")[0] in (
            "application/json",
            "application/problem+json",
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
    found = client.get(f"/v1/reviews/{review.id}").json()
    assert found["text"] == review.text and found["business"] == f"{HOSTILE} & Sons"
    assert found["issues"][0]["evidence"] == HOSTILE


def test_every_answer_has_the_form_that_the_documentation_gives(dashboard):
    """Answers are sent without FastAPI's own check, so this is it."""
    client, described = dashboard.client("admin"), dashboard.client().get("/v1/openapi.json").json()
    one = next(r for r in client.get("/v1/reviews").json()["reviews"] if r["issues"])
    client.put(f"/v1/reviews/{one['id']}/reply", json={"text": "Thank you."})
    filled = {"review_id": one["id"], "issue_id": one["issues"][0]["id"], "theme": "staff"}
    query = {"/v1/compare": {"left": f"business={OURS}", "right": f"business={THEIRS}"}}
    checked = 0
    for path, methods in described["paths"].items():
        if not path.startswith("/v1") or path == "/v1/feed" or "get" not in methods:
            continue
        answer = client.get(path.format(**filled), params=query.get(path))
        assert answer.status_code == 200, path
        schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(schema | {"components": described["components"]}).validate(
            answer.json()
        )
        checked += 1
    assert checked >= 12


def test_the_documentation_names_every_filter_with_its_values_and_gives_examples(dashboard):
    described = dashboard.anyone().get("/v1/openapi.json").json()
    named = {p["name"]: p for p in described["paths"]["/v1/reviews"]["get"]["parameters"]}
    assert {"business", "theme", "status", "since", "q", "cursor", "limit"} <= set(named)
    assert "staff" in named["theme"]["schema"]["items"]["enum"]
    assert named["since"]["schema"] == {"type": "string", "format": "date"}
    change = described["components"]["schemas"]["IssueChange"]
    assert change["examples"][0]["status"] == "in progress"


def test_an_alert_is_acknowledged_once(dashboard):
    with writing(dashboard.engine) as connection:
        row = {"rule": "urgent", "text": "three urgent reviews", "raised_at": int(NOW)}
        connection.execute(alerts.insert().values(id="a1", business=OURS, **row))
    client, other = dashboard.client("write", OURS), dashboard.client("admin")
    assert [a["id"] for a in client.get("/v1/alerts?waiting=true").json()["alerts"]] == ["a1"]
    first = client.post("/v1/alerts/a1/acknowledge").json()
    assert other.post("/v1/alerts/a1/acknowledge").json() == first
    assert first["acknowledged_by"] == f"write of {OURS}"
    assert client.get("/v1/alerts?waiting=true").json()["alerts"] == []


def test_views_are_each_readers_own(dashboard):
    mine, other = dashboard.client("read"), dashboard.client("read", OURS)
    kept = mine.post("/v1/views", json={"name": "Urgent", "query": "urgency=high&theme=staff"})
    assert kept.status_code == 201 and kept.json()["query"] == "theme=staff&urgency=high"
    assert other.get("/v1/views").json() == {"views": []}
    assert other.delete(f"/v1/views/{kept.json()['number']}").status_code == 404
    again = mine.post("/v1/views", json={"name": "Urgent", "query": "urgency=low"})
    assert [v["query"] for v in mine.get("/v1/views").json()["views"]] == ["urgency=low"]
    assert mine.post("/v1/views", json={"name": "x", "query": "colour=red"}).status_code == 400
    assert mine.delete(f"/v1/views/{again.json()['number']}").status_code == 204
    assert mine.get("/v1/views").json() == {"views": []}


def test_topics_are_counted_within_the_scope_and_their_names_are_its_own_sentences(dashboard):
    with writing(dashboard.engine) as connection:
        members = []
        for business in (THEIRS, THEIRS, OURS):
            taken = [m["issue_id"] for m in members]
            query = select(issue_rows.c.id).where(
                issue_rows.c.business == business,
                issue_rows.c.shown == 1,
                issue_rows.c.id.not_in(taken),
            )
            issue_id = connection.scalar(query.limit(1))
            members.append({"topic_id": "t1", "issue_id": issue_id})
        row = {"name": "Their own words", "words": "cold soup", "centroid": "", "size": 3}
        days = {"first_day": 0, "last_day": 1, "updated_at": 0}
        connection.execute(topics.insert().values(id="t1", **row, **days))
        connection.execute(topic_issues.insert(), members)
    whole = dashboard.client("read").get("/v1/topics").json()["topics"]
    assert [(t["name"], t["issues"], t["words"]) for t in whole] == [
        ("Their own words", 3, ["cold", "soup"])
    ]
    mine = dashboard.client("read", OURS).get("/v1/topics").json()["topics"]
    assert [(t["issues"], t["words"]) for t in mine] == [(1, [])]
    assert mine[0]["name"] != "Their own words" and "Their" not in json.dumps(mine)
