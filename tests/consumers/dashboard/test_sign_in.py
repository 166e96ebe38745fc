"""Sessions: the cookie, the form token, their end; and tokens on the command line."""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request

import pytest
from fastapi import Request, Response
from sqlalchemy import select
from starlette.testclient import TestClient

from consumers.dashboard.app import Once, create_app
from consumers.dashboard.sessions import COOKIE, LASTS_SECONDS, Sessions, session_key
from consumers.dashboard.tokens import create_token, list_tokens, revoke_token
from consumers.record.database import open_database, writing
from consumers.record.schema import tokens
from shared.errors import InvalidRequest, Unauthorized
from tests.conftest import wait_until
from tests.consumers.dashboard.conftest import NOW, OURS


def signed_in(dashboard, role="write"):  # type: ignore[no-untyped-def]
    """A browser with a session, and its form token."""
    secret, response = dashboard.secret(role), Response()
    access = dashboard.app.state.access
    request = Request(
        {"type": "http", "scheme": "http", "headers": [], "server": ("x", 80), "path": "/"}
    )
    access.sign_in(request, response, secret)
    cookie = re.match(rf"{COOKIE}=([^;]+)", response.headers["set-cookie"]).group(1)  # type: ignore[union-attr]
    client = dashboard.anyone()
    client.cookies.set(COOKIE, cookie)
    return client, access.sessions.form_token(cookie), response.headers["set-cookie"]


def test_the_cookie_is_not_for_scripts_or_other_sites_and_does_not_hold_the_token(dashboard):
    _, _, header = signed_in(dashboard)
    parts = header.lower()
    assert (
        "httponly" in parts and "samesite=lax" in parts and dashboard.secret("write") not in header
    )


def test_a_session_reads_without_and_changes_only_with_its_form_token(dashboard):
    client, form, _ = signed_in(dashboard)
    issue = client.get("/v1/issues").json()["issues"][0]
    address, body = f"/v1/issues/{issue['id']}", {"note": "by a session"}
    assert client.patch(address, json=body).status_code == 403
    for wrong in ("", "x" * 64, signed_in(dashboard, "admin")[1]):
        assert client.patch(address, json=body, headers={"X-CSRF-Token": wrong}).status_code == 403
    good = client.patch(address, json=body, headers={"X-CSRF-Token": form})
    assert good.status_code == 200 and good.json()["updated_by"] == "write of all"


def test_a_session_ends_with_its_token_and_with_its_time(dashboard):
    client, _, _ = signed_in(dashboard, "read")
    assert client.get("/v1/meta").status_code == 200
    sessions = dashboard.app.state.access.sessions
    kept = client.cookies[COOKIE]
    assert sessions.read(kept, NOW + LASTS_SECONDS - 1) and not sessions.read(
        kept, NOW + LASTS_SECONDS
    )
    with writing(dashboard.engine) as connection:
        identity = sessions.read(kept, NOW)
        assert revoke_token(connection, identity, NOW) and not revoke_token(
            connection, identity, NOW
        )
    assert client.get("/v1/meta").status_code == 401
    assert (
        dashboard.anyone({"Authorization": f"Bearer {dashboard.secrets.pop(('read', None))}"})
        .get("/v1/meta")
        .status_code
        == 401
    )


@pytest.mark.parametrize("change", ["", "x", "a.b.c.d", "....", "é.9.9.9"])
def test_a_cookie_that_we_did_not_sign_is_none(change):
    assert Sessions(b"k" * 32).read(change, 0) is None


def test_no_part_of_a_cookie_can_be_changed():
    sessions = Sessions(b"k" * 32)
    cookie = sessions.write("abc", 0)
    assert sessions.read(cookie, 0) == "abc"
    for place in range(len(cookie)):
        other = "1" if cookie[place] != "1" else "2"
        assert sessions.read(cookie[:place] + other + cookie[place + 1 :], 0) is None
    assert Sessions(b"o" * 32).read(cookie, 0) is None


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    key = session_key(tmp_path / "home")
    assert session_key(tmp_path / "home") == key and len(key) == 32
    assert (tmp_path / "home" / "dashboard.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["dashboard.key"]


def test_the_link_of_the_first_minute_works_once(dashboard):
    with writing(dashboard.engine) as connection:
        identity, _ = create_token(connection, "owner", "admin", None, NOW)
    once = Once(identity)
    app = create_app(
        dashboard.settings, dashboard.engine, dashboard.redis, clock=lambda: NOW, once=once
    )
    browser = TestClient(app, follow_redirects=False)
    code = once.code
    assert browser.get("/once/wrong").status_code == 401
    first = browser.get(f"/once/{code}")
    assert first.status_code == 303 and first.headers["location"] == "/"
    assert browser.get("/v1/meta").status_code == 200
    assert TestClient(app).get(f"/once/{code}").status_code == 401
    with pytest.raises(Unauthorized):
        once.take("")


def test_a_token_is_kept_as_its_hash_only_and_its_use_is_noted(dashboard):
    secret = dashboard.secret("read", OURS)
    dashboard.client("read", OURS).get("/v1/meta")
    with dashboard.engine.connect() as connection:
        rows = connection.execute(select(tokens)).all()
        used = {token.name: token.used_at for token in list_tokens(connection)}
    assert secret not in repr(rows) and secret[3:] not in repr(rows)
    assert used[f"read of {OURS}"].timestamp() == NOW
    with writing(dashboard.engine) as connection:
        for wrong in (("x", "root"), (" ", "read"), ("x" * 101, "read")):
            with pytest.raises(InvalidRequest):
                create_token(connection, *wrong, None, NOW)


def test_the_first_start_prints_a_token_and_a_link_and_tokens_are_made_listed_and_revoked(
    processes, settings, tmp_path
):
    out = tmp_path / "out"
    shell = 'exec "$0" -m beyond dashboard --port 0 >"$1"'
    served = processes.spawn("sh", "-c", shell, sys.executable, str(out))
    assert wait_until(
        lambda: (
            "Sign in now" in (out.read_text() if out.exists() else "") or served.poll() is not None
        )
    )
    text = out.read_text()
    first, address = re.search(r"bs_\S+", text).group(), re.search(r"http://\S+:\d+", text).group()  # type: ignore[union-attr]

    def get(token, place="/v1/meta"):  # type: ignore[no-untyped-def]
        asked = urllib.request.Request(
            address + place, headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return json.load(error)["status"]

    assert get(first) == 200
    made = processes.run("tokens", "create", "Ana", "--role", "write", "--business", OURS)
    assert made.returncode == 0 and get(made.stdout.strip()) == 200
    listed = processes.run("tokens", "list").stdout
    assert "Ana" in listed and OURS in listed and made.stdout.strip() not in listed
    identity = re.search(r"token (\w+) for Ana", made.stderr).group(1)  # type: ignore[union-attr]
    assert processes.run("tokens", "revoke", identity).returncode == 0
    assert get(made.stdout.strip()) == 401 and get(first) == 200
    assert "no token" in processes.run("tokens", "revoke", identity).stderr
    with open_database(settings).connect() as connection:
        assert [t.name for t in list_tokens(connection) if not t.revoked_at] == ["owner"]
