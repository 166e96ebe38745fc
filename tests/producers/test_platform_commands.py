"""`beyond platforms`: what a person sees before the first delivery arrives."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from producers.platform_commands import platforms

# openssl dgst -sha256 -hmac hush, over PAYLOAD
PAYLOAD = b'{"review":{"id":7,"body":"cold","created_at":"2026-03-01T00:00:00Z"}}'


@pytest.fixture
def run(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BEYOND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BEYOND_PLATFORM_SECRETS", '{"judgeme": ["hush"], "yotpo": ["a/b"]}')
    (tmp_path / "payload.json").write_bytes(PAYLOAD)
    payload = ("--payload", str(tmp_path / "payload.json"))

    def call(*arguments: str):  # type: ignore[no-untyped-def]
        more = payload if arguments[0] == "test" else ()
        return CliRunner().invoke(platforms, [*arguments, *more])

    return call


def test_list_says_who_is_served_and_what_was_checked(run):
    out = run("list").output
    assert "judgeme             served" in out and "okendo              no secret" in out
    assert "vector by openssl" in out


def test_url_gives_the_address_to_paste_with_its_secret_encoded(run):
    assert run("url", "yotpo", "--base", "https://h/").output == "https://h/reviews/yotpo/a%2Fb\n"
    assert run("url", "judgeme").output.endswith("/reviews/judgeme\n")
    assert run("url", "nobody").exit_code == 2


def test_a_payload_is_shown_as_it_would_be_read_and_the_proof_judged_only_where_given(run):
    shown = run("test", "judgeme")
    assert "not judged" in shown.output and '"external_id": "7"' in shown.output
    wrong = run("test", "judgeme", "--header", "JUDGEME-HMAC-SHA256: 00")
    assert wrong.exit_code == 2 and "judgeme-hmac-sha256" in wrong.output
    assert "204" in run("test", "okendo").output


def test_the_platforms_own_header_proves_the_payload(run):
    header = "JUDGEME-HMAC-SHA256: 010e2a388866026d812c706eec669c9e36dcf5b3124a94ebf2bfd2c051584dce"
    assert "proof: genuine" in run("test", "judgeme", "--header", header).output
