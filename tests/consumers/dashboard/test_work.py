"""What people decide: kept beside the record, told to the trainer, and not lost by a rebuild."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest
import redis

from consumers.dashboard.app import create_app
from consumers.record.projector import Projector
from consumers.replies.drafts import voice_of
from shared.stream import leases
from shared.stream.names import LIVE
from shared.stream.replies import Replies
from shared.stream.store import Store
from shared.stream.verdicts import Verdict, read_verdicts
from tests.conftest import free_port
from tests.consumers.dashboard.conftest import NOW, OURS, THEIRS, open_dashboard
from tests.consumers.record.filled import synthetic
from tests.consumers.replies.desk import Desk


@pytest.fixture
def fresh(settings, store):  # type: ignore[no-untyped-def]
    """A dashboard whose reviews are in the store too, so that the record can be made again from it."""
    pairs = list(synthetic(60))
    for first in range(0, 60, 20):
        store.put([review for review, _ in pairs[first : first + 20]], LIVE)
    store.save([(review, analysis) for review, analysis in pairs if analysis])
    dashboard = open_dashboard(settings, count=0)
    Projector(dashboard.engine, store).catch_up()
    with closing(dashboard.redis):
        yield dashboard
    dashboard.engine.dispose()


def an_issue(client, number=0):  # type: ignore[no-untyped-def]
    return client.get("/v1/issues").json()["issues"][number]


def test_a_decision_is_kept_with_who_and_what_and_stays_when_the_record_is_made_again(fresh, store):
    client = fresh.client("write")
    issue = an_issue(client)
    address = f"/v1/issues/{issue['id']}"
    change = {"status": "in progress", "owner": "Ana", "note": "asked the kitchen"}
    after = client.patch(address, json=change).json()
    assert after == issue | change | {k: after[k] for k in ("updated_at", "updated_by")}
    assert after["updated_by"] == "write of all"
    client.patch(address, json={"status": "done"})
    client.patch(address, json={"status": "done"})  # again: no second line of history

    Projector(fresh.engine, store).rebuild(anew=True)

    kept = client.get(address).json()
    assert [kept[k] for k in change] == ["done", "Ana", "asked the kitchen"]
    review = client.get(f"/v1/reviews/{issue['review_id']}").json()
    assert [(c["what"], c["value"]) for c in review["history"]] == [
        ("status", "in progress"),
        ("owner", "Ana"),
        ("note", "asked the kitchen"),
        ("status", "done"),
    ]
    assert [i["id"] for i in client.get("/v1/issues?status=done").json()["issues"]] == [issue["id"]]


def test_whoever_decides_on_what_changed_meanwhile_is_told(fresh):
    client = fresh.client("write")
    address = f"/v1/issues/{an_issue(client)['id']}"
    read = client.get(address).headers["etag"]
    first = client.patch(address, json={"owner": "Ana"}, headers={"If-Match": read})
    assert first.status_code == 200
    late = client.patch(address, json={"owner": "Bo"}, headers={"If-Match": read})
    assert late.status_code == 412 and client.get(address).json()["owner"] == "Ana"
    now = first.headers["etag"]
    assert client.patch(address, json={"owner": "Bo"}, headers={"If-Match": now}).status_code == 200


@pytest.mark.parametrize(
    "body", [{"status": "finished"}, {"owner": "x" * 101}, {"colour": "red"}, [], "x"]
)
def test_a_change_of_another_form_names_its_field(fresh, body):
    client = fresh.client("write")
    answer = client.patch(f"/v1/issues/{an_issue(client)['id']}", json=body)
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"].startswith("body")


def test_a_verdict_reaches_the_trainer_and_can_be_taken_back(fresh, store):
    client = fresh.client("write")
    issue = an_issue(client)
    review = store.reviews([issue["review_id"]])[0]
    place = (review.id, review.version, issue["start"], issue["end"], issue["theme"])
    for status, told in (
        ("not an issue", {issue["id"]: Verdict(*place, False)}),
        ("done", {issue["id"]: Verdict(*place, True)}),
        ("open", {}),
    ):
        client.patch(f"/v1/issues/{issue['id']}", json={"status": status})
        assert read_verdicts(store.connection) == told, status


def test_a_verdict_that_cannot_reach_the_trainer_is_not_shown_as_given(fresh):
    client = fresh.client("write")
    issue = an_issue(client)
    fresh.app.state.redis = redis.Redis(port=free_port())  # where nobody listens
    address = f"/v1/issues/{issue['id']}"
    refused = client.patch(address, json={"status": "not an issue"})
    assert refused.status_code == 503 and refused.headers["retry-after"]
    assert client.get(address).json()["status"] == "open"
    # What the trainer need not hear of goes on.
    assert client.patch(address, json={"note": "later"}).status_code == 200


def test_a_reply_is_drafted_edited_and_approved_by_named_people(fresh):
    client = fresh.client("write")
    review = next(
        r
        for r in client.get("/v1/reviews").json()["reviews"]
        if r["issues"] and r["language"] == "en"
    )
    address = f"/v1/reviews/{review['id']}/reply"
    desk = Desk(fresh.engine, Store(fresh.redis), Replies(fresh.redis))
    assert client.get(address).status_code == 404
    asked = client.post(address)
    assert (asked.status_code, asked.json()["state"]) == (202, "being written")
    assert client.get(address).json() == asked.json()
    assert (
        fresh.client("read", THEIRS if review["business"] == OURS else OURS)
        .get(address)
        .status_code
        == 404
    ), "of another business nobody hears that it is being written"
    assert desk.written() == 1
    assert client.get(address).json()["state"] == "draft"
    assert client.post(address).status_code == 202, "nobody touched it: it is written anew"
    desk.written()
    assert client.post(f"{address}/copied").status_code == 409, "not approved yet"
    promise = {"text": "We will refund you 50 dollars."}
    assert client.put(address, json=promise).json()["state"] == "edited"
    held = client.post(f"{address}/approve")
    assert held.status_code == 400 and "refund" in held.json()["detail"].lower()
    client.put(address, json={"text": "Thank you for telling us. We are sorry."})
    assert client.post(f"{address}/approve").json()["state"] == "approved"
    assert client.post(f"{address}/copied").json()["updated_by"] == "write of all"
    assert fresh.client("read").get(address).json()["state"] == "copied"


def test_a_reply_that_failed_says_why_and_may_be_asked_for_again(fresh):
    client = fresh.client("write")
    listed = client.get("/v1/reviews?limit=60").json()["reviews"]
    review = next(r for r in listed if r["issues"] and r["language"] == "en")
    address = f"/v1/reviews/{review['id']}/reply"
    client.post(address)
    while leased := leases.claim(fresh.redis, LIVE, 9, execution="e", lease_seconds=60):
        for job in leased:
            leases.fail(fresh.redis, LIVE, job.job_id, job.entry, "the <model> broke", final=True)
    assert client.get(address).json()["state"] == "failed"
    assert client.get(address).json()["reason"] == "the <model> broke"
    page = client.get(f"/reviews/{review['id']}")
    assert "The last draft failed: the &lt;model&gt; broke" in page.text
    assert client.post(address).status_code == 202
    assert client.get(address).json()["state"] == "being written"


def test_the_page_of_a_review_is_there_without_the_server(dashboard):
    one = dashboard.client().get("/v1/reviews?limit=1").json()["reviews"][0]
    away = redis.Redis(port=free_port())
    app = create_app(dashboard.settings, dashboard.engine, away, clock=lambda: NOW)
    gone = replace(dashboard, app=app).client()
    assert gone.get(f"/reviews/{one['id']}").status_code == 200
    assert gone.post(f"/v1/reviews/{one['id']}/reply").status_code in (409, 503)


def test_a_scoped_writer_changes_only_its_own(fresh):
    ours = an_issue(fresh.client("write", OURS))
    assert ours["business"] == OURS
    theirs = next(
        i for i in fresh.client().get("/v1/issues").json()["issues"] if i["business"] != OURS
    )
    mine = fresh.client("write", OURS)
    assert mine.patch(f"/v1/issues/{ours['id']}", json={"owner": "A"}).status_code == 200
    assert mine.patch(f"/v1/issues/{theirs['id']}", json={"owner": "A"}).status_code == 404
    assert fresh.client().get(f"/v1/issues/{theirs['id']}").json()["owner"] == ""


def test_a_voice_is_set_over_the_api_within_the_scope(fresh):
    mine, all_of_them = fresh.client("write", OURS), fresh.client("write")
    assert [v["business"] for v in mine.get("/v1/voices").json()["voices"]] == [OURS]
    voice = {"tone": "brief", "signature": "Ana, Harbour Grill"}
    assert mine.put("/v1/voices", json=voice).json() == {**voice, "business": OURS}
    found = {v.pop("business"): v for v in all_of_them.get("/v1/voices").json()["voices"]}
    assert found[OURS] == voice and found[""] == {"tone": "warm", "signature": ""}
    assert mine.put("/v1/voices?business=Hotel+Linde", json=voice).status_code == 403
    assert mine.put("/v1/voices", json={"tone": "loud"}).status_code == 422
    with fresh.engine.connect() as connection:
        assert voice_of(connection, OURS).signature == "Ana, Harbour Grill"
