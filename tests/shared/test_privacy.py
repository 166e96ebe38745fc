from __future__ import annotations

import subprocess

import pytest

from shared.privacy import holds_personal_data, redact
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "text, redacted",
    [
        ("write to anna.b@example.org now", "write to [email] now"),
        ("call +49 (30) 123-456-78.", "call [number]."),
        ("card 4111 1111 1111 1111", "card [number]"),
        ("I paid 45 dollars on 12.03.2026 for order 12345678", None),
        ("rated 4.5 of 5, @home", None),
    ],
)
def test_numbers_and_addresses_are_redacted_and_prices_and_dates_stay(text, redacted):
    assert redact(text) == (redacted or text) and holds_personal_data(text) == bool(redacted)


@pytest.mark.parametrize("text", ["call [number]", "mail [email]"])
def test_a_redacted_text_still_counts_as_personal(text):
    """What was cut out may be named again in words, so a teacher never sees it."""
    assert holds_personal_data(text) and redact(text) == text


def test_the_patterns_exist_once():
    """A second pattern for e-mail addresses would drift from the first."""
    rooms = ("shared", "producers", "workers", "trainer", "consumers")
    found = subprocess.run(
        ["grep", "-rlF", "--include=*.py", "+-]+@", *rooms],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == ["shared/privacy.py"]
