"""One contract for all platforms: whatever is served must keep these rules."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from pydantic import SecretStr

from producers.doorway import arrival
from producers.intake import make_review
from producers.platforms import descriptions, platforms
from producers.platforms.events import Delivery
from shared.errors import InvalidReview, Malformed, Unauthorized
from shared.settings import Settings

WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
DATE = "2026-03-01T12:00:00Z"
# Payloads in the form that each description says it expects, written by hand; values as text or
# numbers, as the platforms mix them.
SAMPLES = {
    "": {"external_id": "7", "text": "cold", "rating": 2, "created_at": DATE},
    "judgeme": {"review": {"id": 7, "body": "cold", "rating": "2", "created_at": DATE}},
    "okendo": {
        "event": "review.created",
        "resource": {"reviewId": "7", "body": "cold", "rating": 2, "dateCreated": DATE},
    },
    "stamped": {"id": 7, "reviewMessage": "cold", "reviewRating": "2", "dateCreated": DATE},
    "trustpilot": {
        "events": [
            {
                "eventName": "service-review-created",
                "eventData": {"id": "7", "text": "cold", "stars": 2, "createdAt": DATE},
            }
        ]
    },
    "yotpo": {
        "event": "review_create",
        "data": {
            "id": "7",
            "content": "cold",
            "score": "2",
            "created_at": "2026-03-01 12:00:00 UTC",
        },
    },
    "reviewsio": {"id": 7, "comments": "cold", "rating": "2", "date_created": DATE},
    "shopify": {"review": {"id": 7, "body": "cold", "rating": 2, "created_at": 1772366400}},
}
SAMPLES["yext"] = {
    "meta": {"eventType": "REVIEW_CREATED", "timestamp": 1772366400000},
    "review": {"id": 7, "content": "cold", "rating": 2, "publisherDate": 1772366400000},
}
# Notifications: they only name a review.
NAMED = {
    "app-store-feedback": {
        "data": {
            "type": "betaFeedbackScreenshotSubmissionCreated",
            "id": "event-1",
            "version": 1,
            "attributes": {"timestamp": DATE},
            "relationships": {"instance": {"data": {"type": "submissions", "id": "7"}}},
        }
    },
    "google-business": {
        "message": {
            # printf '{"reviewName":"7","locationName":"accounts/1/locations/2"}' | base64 -w0
            "data": "eyJyZXZpZXdOYW1lIjoiNyIsImxvY2F0aW9uTmFtZSI6ImFjY291bnRzLzEvbG9jYXRpb25zLzIifQ==",
            "messageId": "2070443601311540",
            "publishTime": DATE,
        },
        "subscription": "projects/p/subscriptions/s",
    },
}
SAMPLES |= NAMED
SAMPLES["trustpilot-basic"] = SAMPLES["trustpilot"]
ALL = platforms(
    Settings(
        webhook_secret=SecretStr(WHSEC),
        platform_secrets={
            n: [SecretStr("a@b.example us" if n == "google-business" else WHSEC)]
            for n in SAMPLES
            if n
        },
    )
)
BY_NAME = pytest.mark.parametrize("name", sorted(ALL))


def parsed(name: str, payload: object):  # type: ignore[no-untyped-def]
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return ALL[name].parse(Delivery({}, body))


def test_every_platform_that_can_be_served_is_under_contract():
    assert set(ALL) == set(SAMPLES) == {"", *descriptions(Settings())}


@BY_NAME
def test_without_proof_nothing_is_read(name):
    with pytest.raises(Unauthorized):
        ALL[name].verify(Delivery({}, json.dumps(SAMPLES[name]).encode()))


@pytest.mark.parametrize("name", NAMED)
def test_a_notification_names_one_review_to_fetch(name):
    (event,) = parsed(name, SAMPLES[name])
    assert event.wanted and event.fields == {"source": name, "external_id": "7"}


@pytest.mark.parametrize("data", [None, "", "e30="])  # nothing, nothing, base64 of {}
def test_a_notification_about_something_else_is_no_event(data):
    message = {"message": {"data": data, "messageId": "1"}}
    assert parsed("google-business", message) == []
    assert parsed("app-store-feedback", {"data": {"type": "webhookPingCreated", "id": "x"}}) == []


def test_a_message_that_is_not_packed_as_promised_is_malformed():
    for data in ("!", "AA==", 7, ["e30="]):
        with pytest.raises(Malformed):
            parsed("google-business", {"message": {"data": data}})


@pytest.mark.parametrize("name", sorted(set(ALL) - set(NAMED)))
def test_a_sample_becomes_one_review_of_that_source(name):
    (event,) = parsed(name, SAMPLES[name])
    review = make_review(event.fields, b"key")
    assert (review.source, review.external_id) == (name or "webhook", "7")
    assert (review.text, review.rating, review.created_at.isoformat()) == (
        "cold",
        2.0,
        "2026-03-01T12:00:00+00:00",
    )


@BY_NAME
@pytest.mark.parametrize("body", [b"", b"{oops", b"\xff", b"[" * 9999, b"7", b"NaN", b'"x"'])
def test_what_is_no_json_object_is_malformed(name, body):
    with pytest.raises(Malformed):
        parsed(name, body)


def test_nesting_is_bounded():
    with pytest.raises(Malformed, match="nested"):
        parsed("yotpo", b"[" * 40 + b"]" * 40)


def paths_in(value: object, at: tuple = ()):  # type: ignore[no-untyped-def]
    """Every place inside a JSON value."""
    yield at
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from paths_in(inner, (*at, key))


def changed(value: object, path: tuple, new: object) -> object:  # type: ignore[no-untyped-def,type-arg]
    if not path:
        return new
    out = copy.deepcopy(value)
    inner = out
    for key in path[:-1]:
        inner = inner[key]  # type: ignore[index]
    inner[path[-1]] = new  # type: ignore[index]
    return out


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([DATE, "9" * 30, 1e308, "\ud800", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@BY_NAME
@bounded(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_value_anywhere_is_read_or_refused_but_never_an_error(name, data):
    path = data.draw(st.sampled_from(list(paths_in(SAMPLES[name]))))
    payload = changed(SAMPLES[name], path, data.draw(JSON))
    try:
        for event in parsed(name, payload):
            assert event.wanted or arrival(event, b"key")
    except InvalidReview as error:
        str(error).encode()  # it becomes an answer


@BY_NAME
@bounded(max_examples=60, deadline=None)
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "authorization",
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature",
                "svix-id",
                "svix-timestamp",
                "svix-signature",
                "judgeme-hmac-sha256",
                "x-shopify-hmac-sha256",
                "x-stamped-webhook-secret",
                "x-apple-signature",
                "x-yext-signature",
            ]
        ),
        st.text(),
    ),
    body=st.binary(),
    key=st.text(),
)
def test_any_headers_are_refused_but_never_an_error(name, headers, body, key):
    with pytest.raises(Unauthorized):
        ALL[name].verify(Delivery(headers, body, key))
