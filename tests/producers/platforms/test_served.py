"""Secrets and descriptions that change under a running webhook."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from producers.platforms.events import Delivery
from producers.platforms.served import Served
from producers.webhook import create_app
from shared.errors import Misconfigured, Unauthorized
from shared.settings import Settings
from tests.conftest import wait_until

WHSEC = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
DESCRIPTION = """
title = "Our shop"
checked = "this test"
[verify]
scheme = "secret-path"
[fields]
external_id = "$.id"
text = "$.words"
created_at = "$.day"
"""


class Door:
    """Served platforms over a folder, and a clock that we move."""

    def __init__(self, folder) -> None:  # type: ignore[no-untyped-def]
        self.folder, self.now = folder, 0.0
        settings = Settings(platforms=folder, webhook_token=SecretStr("fixed"))
        self.served = Served(settings, ticks=lambda: self.now)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def opens(self, name: str, key: str) -> bool:
        self.now += 2
        self.served.refresh()
        headers = {"authorization": f"Bearer {key}"} if not name else {}
        try:
            self.served[name].verify(Delivery(headers, b"{}", key))
            return True
        except (Unauthorized, KeyError):
            return False


@pytest.fixture
def door(tmp_path):  # type: ignore[no-untyped-def]
    return Door(tmp_path)


def test_a_secret_is_replaced_step_by_step_without_a_restart(door):
    door.write("trustpilot.secret", "old\n")
    assert door.opens("trustpilot", "old")
    door.write("trustpilot.secret", "old\nnew\n")
    assert door.opens("trustpilot", "old") and door.opens("trustpilot", "new")
    door.write("trustpilot.secret", "new\n")
    assert door.opens("trustpilot", "new") and not door.opens("trustpilot", "old")


def test_a_change_of_the_same_length_is_seen(door):
    door.write("trustpilot.secret", "aaa")
    assert door.opens("trustpilot", "aaa")
    door.write("trustpilot.secret", "bbb")
    assert door.opens("trustpilot", "bbb") and not door.opens("trustpilot", "aaa")


@pytest.mark.parametrize("leave", ["empty", "gone"])
def test_without_a_secret_a_platform_is_not_served_any_more(door, leave):
    door.write("trustpilot.secret", "one")
    assert door.opens("trustpilot", "one")
    if leave == "empty":
        door.write("trustpilot.secret", "\n")
    else:
        (door.folder / "trustpilot.secret").unlink()
    assert not door.opens("trustpilot", "one") and "trustpilot" not in door.served


def test_tokens_of_our_own_schema_change_beside_the_fixed_one(door):
    door.write("webhook.secret", f"first\n{WHSEC}\n")
    assert door.opens("", "first") and door.opens("", "fixed") and not door.opens("", WHSEC)
    door.write("webhook.secret", "second")
    assert door.opens("", "second") and door.opens("", "fixed") and not door.opens("", "first")


def test_a_new_description_is_served_and_a_broken_one_leaves_the_last_good(door):
    door.write("shop.secret", "key")
    door.write("shop.toml", DESCRIPTION)
    assert door.opens("shop", "key")
    door.write("shop.toml", DESCRIPTION.replace("$.id", "$.[["))
    assert door.opens("shop", "key"), "a slip of the pen shuts no door"
    door.write("trustpilot.secret", "other")
    assert door.opens("trustpilot", "other"), "and hinders no other platform"
    (door.folder / "WRONG NAME.toml").write_text(DESCRIPTION)
    assert door.opens("shop", "key")


@pytest.mark.parametrize("broken", [b"\xff\xfe", b"whsec_!!\n"])
def test_a_secret_file_that_cannot_be_understood_leaves_the_last_good(door, broken):
    door.write("okendo.secret", WHSEC)
    door.opens("okendo", "")
    before = door.served["okendo"]
    (door.folder / "okendo.secret").write_bytes(broken)
    door.opens("okendo", "")
    assert door.served["okendo"] is before


def test_files_are_looked_at_once_a_second(door):
    door.opens("trustpilot", "x")
    door.write("trustpilot.secret", "x")
    door.served.refresh()
    assert "trustpilot" not in door.served
    assert door.opens("trustpilot", "x")


def test_a_folder_that_is_not_there_serves_what_the_environment_gives(tmp_path):
    gone = Settings(platforms=tmp_path / "gone", webhook_token=SecretStr("fixed"))
    assert list(Served(gone)) == [""]
    with pytest.raises(Misconfigured, match="open door"):
        Served(Settings(platforms=tmp_path / "gone"))


def test_over_http_a_new_secret_opens_the_door(settings, server, tmp_path):
    full = settings.model_copy(update={"platforms": tmp_path, "webhook_token": SecretStr("fixed")})
    client = TestClient(create_app(full, server))

    def post(key: str) -> int:
        return client.post(f"/reviews/trustpilot/{key}", json={"events": []}).status_code

    assert post("late") == 404
    (tmp_path / "trustpilot.secret").write_text("late")
    assert wait_until(lambda: post("late") == 204, 20) and post("early") == 401
