"""Who may see what, on every route there is: one that is added without a scope fails here."""

from __future__ import annotations

import json
import re

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select

from consumers.dashboard.tokens import create_token, list_tokens
from consumers.record.database import writing
from consumers.record.schema import alerts, issues, replies
from tests.consumers.dashboard.conftest import NOW, OURS, THEIRS

# What anybody may ask for: none of it says anything about reviews. Pages' own: the way in, and files.
OPEN = {"/v1/openapi.json", "/healthz", "/readyz", "/once/{code}", "/sign-in", "/static/{name}"}
BODIES = {
    "/v1/issues/{issue_id}": {"owner": "Ana"},
    "/v1/reviews/{review_id}/reply": {"text": "Thank you for telling us."},
    "/v1/voices": {"tone": "brief"},
    "/v1/views": {"name": "mine", "query": "urgency=high"},
    "/issues/{issue_id}": {"owner": "Ana"},
    "/pipeline/letters": {"do": "retry"},
    "/reviews/views": {"name": "mine", "query": "urgency=high"},
    "/reviews/{review_id}/reply": {"text": "Thank you for telling us."},
    "/tokens": {"name": "Kim"},
    "/voices/one": {"tone": "brief"},
}
PAGES_WITH_FILTERS = {
    "/",
    "/loved",
    "/reviews",
    "/reviews/export",
    "/themes",
    "/themes/{theme}",
    "/voices/one",
}
QUERIES = {"/v1/compare": {"left": "", "right": ""}}


def routes(app):  # type: ignore[no-untyped-def]
    """(method, path, role or None) of everything that is served."""
    for route in flat(app.routes):
        needed = role_of(route.dependant) if isinstance(route, APIRoute) else None
        for method in sorted((getattr(route, "methods", None) or {"GET"}) - {"HEAD", "OPTIONS"}):
            yield method, route.path, needed


def flat(found):  # type: ignore[no-untyped-def]
    for route in found:
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        if hasattr(route, "path"):
            yield route
        else:
            assert inner is not None, f"a kind of route that this test does not know: {route!r}"
            yield from flat(inner.routes)


def role_of(dependant):  # type: ignore[no-untyped-def]
    for one in dependant.dependencies:
        found = getattr(one.call, "role", None) or role_of(one)
        if found:
            return found
    return None


@pytest.fixture(scope="module")
def places(dashboard):  # type: ignore[no-untyped-def]
    """Path parameters that lead to something of the other business."""
    with writing(dashboard.engine) as connection:
        theirs = select(issues.c.id, issues.c.review_id).where(issues.c.business == THEIRS)
        issue_id, review_id = connection.execute(theirs.limit(1)).one()
        row = {"rule": "urgent", "business": THEIRS, "text": "their alert", "raised_at": int(NOW)}
        connection.execute(alerts.insert().values(id="their-alert", **row))
        reply = {"draft": "their reply", "text": "their reply", "state": "draft"}
        who = {"written_by": "x", "updated_at": int(NOW), "updated_by": "x"}
        connection.execute(replies.insert().values(review_id=review_id, **reply, **who))
        token_id, _ = create_token(connection, "their token", "read", THEIRS, NOW)
    return {
        "token_id": token_id,
        "name": "no-run",
        "file": "no.png",
        "review_id": review_id,
        "issue_id": issue_id,
        "alert_id": "their-alert",
        "number": "999",
        "theme": "staff",
    }


def calls(dashboard, places):  # type: ignore[no-untyped-def]
    """(method, path, path with its parameters filled in, role) of every route that wants a role and ends."""
    for method, path, role in routes(dashboard.app):
        if path in OPEN or path == "/v1/feed":  # which does not end: test_feed.py
            continue
        names = re.findall(r"{(\w+)}", path)
        missing = set(names) - set(places)
        assert not missing, f"say in `places` what {missing} of {path} may be"
        yield method, path, path.format(**places), role


def send(client, method, path, filled, params=None):  # type: ignore[no-untyped-def]
    kind = "json" if path.startswith("/v1") else "data"
    body = {kind: BODIES.get(path, {})} if method != "GET" else {}
    return client.request(method, filled, params=QUERIES.get(path, {}) | (params or {}), **body)


def test_every_route_asks_who_is_there(dashboard):
    found = list(routes(dashboard.app))
    assert len(found) > 20
    for method, path, role in found:
        assert role or path in OPEN, f"{method} {path} takes no Reader, Writer or Admin"


def test_whoever_changes_what_others_see_needs_more_than_to_read(dashboard):
    # A reader's views are the reader's own.
    for method, path, role in routes(dashboard.app):
        own = "/views" in path or path == "/sign-out"
        if method != "GET" and path not in OPEN and not own:
            assert role in ("write", "admin"), f"{method} {path} needs only {role}"


def test_without_a_token_nothing_is_told(dashboard, places):
    for bearer in ({}, {"Authorization": "Bearer bs_wrong"}, {"Authorization": "Basic YTpi"}):
        client = dashboard.anyone(bearer)
        for method, path, filled, _ in calls(dashboard, places):
            answer = send(client, method, path, filled)
            if path.startswith("/v1"):
                assert answer.status_code == 401, (method, path, answer.status_code)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.headers["content-type"] == "application/problem+json"
            elif method == "GET":
                assert answer.status_code == 303, (path, answer.status_code)
                assert answer.headers["location"].startswith("/sign-in?next=%2F")
            else:
                assert answer.status_code == 401, (method, path, answer.status_code)


def test_a_role_that_is_too_low_is_refused(dashboard, places):
    reader, tried = dashboard.client("read"), 0
    for method, path, filled, role in calls(dashboard, places):
        if role != "read":
            assert send(reader, method, path, filled).status_code == 403, (method, path)
            tried += 1
    assert tried > 4


def test_another_business_is_out_of_reach_on_every_route(dashboard, places):
    """Whatever is asked for by id is not there; lists and sums hold nothing of it."""
    scoped = dashboard.client("admin", OURS)
    foreign = [THEIRS, "their alert", "their reply", "their token", *dashboard.ids(THEIRS)]
    for method, path, filled, _ in calls(dashboard, places):
        answer = send(scoped, method, path, filled)
        by_id = set(re.findall(r"{(\w+)}", path)) - {"theme"}
        if path.startswith("/pipeline"):  # of no business at all
            assert answer.status_code == 403, (method, path)
        elif by_id:
            assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
        elif method == "GET" or path.startswith("/v1"):
            assert answer.status_code < 300, (method, path, answer.text)
        told = answer.text
        for asked in places.values():  # an error may repeat what was asked for
            told = told.replace(asked, "")
        assert not [word for word in foreign if word in told], (method, path)


def test_whoever_names_another_business_is_refused(dashboard, places):
    scoped = dashboard.client("admin", OURS)
    tried = 0
    for method, path, filled, _ in calls(dashboard, places):
        described = dashboard.app.openapi()["paths"].get(path, {}).get(method.lower(), {})
        takes_filters = "business" in json.dumps(described.get("parameters", []))
        if takes_filters or (method == "GET" and path in PAGES_WITH_FILTERS):
            query = {"business": THEIRS} if path not in QUERIES else {"left": f"business={THEIRS}"}
            answer = send(scoped, method, path, filled, params=query)
            assert answer.status_code == 403, (path, answer.status_code)
            tried += 1
    assert tried >= 6 + len(PAGES_WITH_FILTERS)


def test_many_at_once_change_nothing_of_another_business(dashboard, places):
    scoped, owner = dashboard.client("admin", OURS), dashboard.client("admin")
    own = next(r["id"] for r in scoped.get("/v1/reviews").json()["reviews"] if r["issues"])
    form = {"id": [places["review_id"]], "owner": "Mallory"}
    assert scoped.post("/reviews/bulk", data=form).status_code == 404
    assert owner.get(f"/v1/issues/{places['issue_id']}").json()["owner"] == ""
    assert scoped.post("/reviews/bulk", data=form | {"id": [own]}).status_code == 303
    both = scoped.post("/reviews/bulk/export", data={"id": [own, places["review_id"]]}).text
    assert own in both and places["review_id"] not in both
    assert scoped.post("/reviews/bulk/export").status_code == 400
    assert owner.get(f"/v1/reviews/{own}").json()["issues"][0]["owner"] == "Mallory"


def test_an_admin_of_one_business_makes_and_ends_its_tokens_alone(dashboard, places):
    scoped = dashboard.client("admin", OURS)
    assert scoped.post("/tokens", data={"name": "Kim", "role": "write"}).status_code == 200
    for_others = {"name": "Eve", "role": "admin", "business": THEIRS}
    assert scoped.post("/tokens", data=for_others).status_code == 403
    assert scoped.post("/tokens", data={"name": "Eve", "role": "owner"}).status_code == 400
    with dashboard.engine.connect() as connection:
        found = {token.name: token for token in list_tokens(connection)}
    assert found["Kim"].business == OURS and "Eve" not in found
    of_all = next(t for t in found.values() if t.business is None)
    for out_of_reach in (places["token_id"], of_all.id):
        assert scoped.post(f"/tokens/{out_of_reach}/revoke").status_code == 404
    assert scoped.post(f"/tokens/{found['Kim'].id}/revoke").status_code == 303
    with dashboard.engine.connect() as connection:
        ended = [token.name for token in list_tokens(connection) if token.revoked_at]
    assert ended == ["Kim"]


def test_the_own_business_is_there(dashboard):
    """The tests above would pass for a dashboard that never finds anything."""
    scoped = dashboard.client("write", OURS)
    found = scoped.get("/v1/reviews").json()["reviews"]
    assert len(found) == 50 and {review["business"] for review in found} == {OURS}
    one = next(review for review in found if review["issues"])
    assert scoped.get(f"/v1/reviews/{one['id']}").json()["text"] == one["text"]
    own = {"owner": "Ana"}
    assert scoped.patch(f"/v1/issues/{one['issues'][0]['id']}", json=own).status_code == 200
    assert scoped.get("/v1/summary").json()["reviews"] > 0
