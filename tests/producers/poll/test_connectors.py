"""Each built-in connector against a server that plays its documented shape and checks who asks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from google.auth import jwt as google_jwt

from producers.poll.description import connectors, read_sources
from producers.poll.walk import State
from shared.errors import Misconfigured, Overloaded, TemporaryFailure
from tests.producers.poll.accounts import (
    EC,
    PLACE,
    account,
    business_review,
    pem,
    public,
    with_token,
)
from tests.producers.poll.conftest import reply


@pytest.fixture
def source(tmp_path, played):  # type: ignore[no-untyped-def]
    """A file with one source by a connector; its secret, where it has one, in a file beside it."""

    def write(connector: str, secret: str = "", more: str = "", **values: str):  # type: ignore[no-untyped-def]
        (tmp_path / "secret").write_text(secret)
        pairs = ", ".join(f'{k} = "{v}"' for k, v in {"base": played.url, **values}.items())
        path = tmp_path / "sources.toml"
        path.write_text(
            f'[sources.{connector}]\nconnector = "{connector}"\nvalues = {{{pairs}}}\n'
            + ('secret_file = "secret"\n' if secret else "")
            + more
        )
        return path

    return write


def entry(number: int, text: str = "It crashes.") -> dict:  # type: ignore[type-arg]
    # The shape of the public feed, as recorded in public projects' fixtures; texts are ours.
    return {
        "author": {
            "uri": {"label": f"https://itunes.apple.com/us/reviews/id{number}"},
            "name": {"label": "Ann"},
            "label": "",
        },
        "updated": {"label": "2026-03-01T05:00:00-07:00"},
        "im:rating": {"label": "2"},
        "im:version": {"label": "3.4.3"},
        "id": {"label": str(number)},
        "title": {"label": "Meh"},
        "content": {"label": text, "attributes": {"type": "text"}},
        "link": {"attributes": {"rel": "related", "href": "https://itunes.apple.com/us/review"}},
    }


def test_app_store_reads_ten_pages_and_not_the_app_itself(polled, source, played, store):
    app = {"im:name": {"label": "Our app"}, "id": {"label": "x"}, "title": {"label": "Our app"}}

    def answer(path, *_):  # type: ignore[no-untyped-def]
        page = int(path.split("page=")[1].split("/")[0])
        assert path == f"/us/rss/customerreviews/page={page}/id=77/sortby=mostrecent/json"
        return reply({"feed": {"entry": [app, entry(page)] if page == 1 else [entry(page)]}})

    played.answer = answer
    turn = polled.turn(source("app-store", app_id="77", country="us"))
    assert (turn.counts.pages, turn.counts.outcomes) == (10, {"new": 10}), turn.error
    review = next(iter(store.all()))[0]
    assert (review.source, review.rating, review.title, review.business) == (
        "app-store",
        2,
        "Meh",
        "77",
    )
    assert review.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_app_store_with_one_review_or_none(polled, source, played):
    path = source("app-store", app_id="77", country="us")
    played.answer = lambda *_: reply({"feed": {"entry": entry(1)}})
    assert polled.turn(path).counts.outcomes["new"] == 1
    played.answer = lambda *_: reply({"feed": {"author": {}, "id": {"label": "x"}}})
    turn = polled.turn(path)
    assert turn.counts.finished and not turn.error


def test_app_store_connect_signs_its_token_and_follows_links(polled, source, played, store):
    def answer(path, query, headers):  # type: ignore[no-untyped-def]
        token = headers["authorization"].removeprefix("Bearer ")
        claims = google_jwt.decode(token, public(EC), audience="appstoreconnect-v1")
        assert claims["iss"] == "issuer-1" and claims["exp"] - claims["iat"] <= 20 * 60
        assert jwt.get_unverified_header(token)["kid"] == "key-1"
        data = {
            "type": "customerReviews",
            "id": "r" + query.get("cursor", "1"),
            "attributes": {
                "rating": 1,
                "title": "No",
                "body": "Lost my data.",
                "reviewerNickname": "ann",
                "createdDate": "2026-03-01T05:00:00-07:00",
                "territory": "USA",
            },
        }
        assert path == "/v1/apps/77/customerReviews"
        links = {} if "cursor" in query else {"next": f"{played.url}{path}?cursor=2&limit=200"}
        if not links:
            return reply({"data": [data], "links": {}})
        assert query == {"sort": "-createdDate", "limit": "200"}
        return reply({"data": [data], "links": links})

    played.answer = answer
    path = source("app-store-connect", pem(EC), app_id="77", issuer_id="issuer-1", key_id="key-1")
    assert polled.turn(path).counts.outcomes == {"new": 2}
    assert {r.external_id for r, _ in store.all()} == {"r1", "r2"}


def play_review(number: int) -> dict:  # type: ignore[type-arg]
    comment = {
        "text": "Slow since the update.",
        "lastModified": {"seconds": "1772366400", "nanos": 5},
        "starRating": 2,
        "reviewerLanguage": "en",
    }
    developer = {"developerComment": {"text": "Sorry!", "lastModified": {"seconds": "1"}}}
    return {
        "reviewId": f"gp:{number}",
        "authorName": "Ann",
        "comments": [{"userComment": comment}, developer],
    }


def test_google_play_gets_a_token_once_and_pages_by_token(polled, source, played, store):
    def answer(path, query, _):  # type: ignore[no-untyped-def]
        assert path == "/androidpublisher/v3/applications/com.example/reviews"
        if "token" in query:
            return reply({"reviews": [play_review(2)]})
        return reply({"reviews": [play_review(1)], "tokenPagination": {"nextPageToken": "t2"}})

    played.answer = with_token(played, answer)
    path = source("google-play", account(played), package="com.example")
    assert polled.turn(path).counts.outcomes == {"new": 2}
    assert played.scope == "https://www.googleapis.com/auth/androidpublisher"
    assert [p for p, _, _ in played.asked].count("/token") == 1
    review = next(iter(store.all()))[0]
    assert (review.text, review.rating) == ("Slow since the update.", 2)
    assert review.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_google_play_must_not_sleep_longer_than_it_remembers(source):
    with pytest.raises(Misconfigured, match="at most 86400: .* last 7 days"):
        read_sources(source("google-play", package="x", more="every_seconds = 90000\n"))


def test_google_play_warns_before_reviews_are_lost(polled, source, played, server, store):
    played.answer = with_token(played, lambda *_: reply({}, 500))
    path = source("google-play", account(played), package="com.example")
    poller, (one,) = polled.prepared(path)
    read = datetime(2026, 3, 1, tzinfo=UTC)
    state = State(succeeded_at=read).model_dump_json()
    server.hset("b:poll:google-play", "state", state)
    poller._clock = lambda: read + timedelta(days=2)
    poller.turn(one, now=True)
    assert "is lost" not in store.warnings()["poll google-play"]
    poller._clock = lambda: read + timedelta(days=5)
    poller.turn(one, now=True)
    assert "not read for 5.0 days" in store.warnings()["poll google-play"]


def test_google_business_reads_words_as_stars_and_newest_changes_first(polled, source, played, store):  # fmt: skip
    def answer(path, query, _):  # type: ignore[no-untyped-def]
        assert path == "/v4/accounts/1/locations/2/reviews"
        assert query["orderBy"] == "updateTime desc"
        if "pageToken" in query:
            return reply({"reviews": [{**business_review(PLACE + "b", ""), "comment": None}]})
        found = [business_review(PLACE + "a", "Waited an hour.")]
        return reply({"reviews": found, "averageRating": 2, "nextPageToken": "n"})

    played.answer = with_token(played, answer)
    path = source("google-business", account(played), account_id="1", location_id="2")
    turn = polled.turn(path)
    assert turn.counts.outcomes == {"new": 1} and turn.counts.pages == 2, turn.error
    review = next(iter(store.all()))[0]
    assert (review.external_id, review.rating, review.business) == (PLACE + "a", 2, "2")


def test_yelp_gives_excerpts_and_says_so(polled, source, played, store):
    def answer(path, query, headers):  # type: ignore[no-untyped-def]
        assert path == "/v3/businesses/rickys/reviews" and query["sort_by"] == "newest"
        assert headers["authorization"] == "Bearer hush"
        found = {
            "id": "y1",
            "url": "https://www.yelp.com/biz/rickys",
            "text": "Went back again and the food was cold again...",
            "rating": 2,
            "time_created": "2026-03-01 04:00:00",
            "user": {"id": "u", "name": "Ann L."},
        }
        return reply({"reviews": [found], "total": 3, "possible_languages": ["en"]})

    played.answer = answer
    polled.turn(source("yelp", "hush", business_id="rickys"))
    review = next(iter(store.all()))[0]
    assert review.excerpt and review.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("status, kind", [(429, Overloaded), (500, TemporaryFailure), (401, Misconfigured)])  # fmt: skip
def test_google_that_gives_no_token_is_told_apart_from_one_that_refuses(polled, source, played, status, kind):  # fmt: skip
    error = {"error": "invalid_grant"} if status == 401 else {}
    played.answer = lambda *_: reply(error, status)
    turn = polled.turn(source("google-play", account(played), package="x"))
    assert isinstance(turn.error, TemporaryFailure) == (status != 401), turn.error
    assert isinstance(turn.error, Misconfigured) == (status == 401), turn.error
    assert kind and not [p for p, _, _ in played.asked if p != "/token"]


@pytest.mark.parametrize(
    "connector, secret, values",
    [
        ("google-play", "no json", {"package": "x"}),
        ("google-play", '{"type": "nothing"}', {"package": "x"}),
        ("app-store-connect", "no key", {"app_id": "1", "issuer_id": "i", "key_id": "k"}),
        ("yelp", "", {"business_id": "x"}),
    ],
)
def test_a_secret_of_the_wrong_form_stops_the_start(polled, source, connector, secret, values):
    with pytest.raises(Misconfigured, match=f"source {connector}: it"):
        polled.prepared(source(connector, secret, **values))


@pytest.mark.parametrize("connector", sorted(connectors()))
def test_every_connector_says_what_it_needs_and_keeps_its_secret_to_https(source, connector):
    with pytest.raises(Misconfigured, match="set values"):
        read_sources(source(connector))
    places = ("app_id", "country", "issuer_id", "key_id", "package", "business_id")
    path = source(connector, **dict.fromkeys((*places, "account_id", "location_id"), "x"))
    (found,) = read_sources(path.rename(path)).values()
    assert found.title and found.needs and len(found.checked) > 40
    path.write_text(path.read_text().replace("base =", "unused ="))
    (found,) = read_sources(path).values()
    assert found.values["base"].startswith("https://")


def test_a_token_is_made_anew_before_it_ends():
    from producers.poll.auth import Auth, Credentials

    moment = [time.time()]
    auth = Auth(by="es256", issuer="i", key_id="k", audience="a")
    made = Credentials(auth, pem(EC), lambda *_: (500, {}, b""), lambda: moment[0])
    first = made.headers()
    moment[0] += 3600
    claims = jwt.decode(made.headers()["authorization"][7:], options={"verify_signature": False})
    assert made.headers() != first and claims["exp"] > moment[0]
