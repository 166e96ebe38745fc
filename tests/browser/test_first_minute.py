"""The first minute: nothing has been read, nobody has a token; every page says what to do next."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.settings import Settings
from shared.stream import broker
from tests.browser.conftest import environment_of, violations
from tests.conftest import CACHE, ROOT

NEXT = {
    "/": "beyond backfill",
    "/reviews": "beyond backfill",
    "/themes": "Choose a longer period",
    "/themes/staff": "Choose a longer period",
    "/compare": "Nothing to compare",
    "/pipeline": "beyond train",
    "/voices": "No business yet",
    "/tokens": "yours",
}


@pytest.fixture
def link(chromium, tmp_path):
    """The sign-in link that a dashboard over an empty home prints."""
    home = tmp_path / "home"
    broker.connect(Settings(home=home, cache=CACHE))
    command = [sys.executable, "-m", "beyond", "dashboard", "--port", "0"]
    process = subprocess.Popen(
        command, env=environment_of(home), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield next(line.split()[-1] for line in process.stdout if line.startswith("Sign in now"))
    process.terminate()
    process.wait(20)
    broker.release(home)


def test_the_owner_comes_in_by_the_link_and_every_empty_page_says_what_to_do(chromium, link):
    page = chromium.new_context(viewport={"width": 360, "height": 780}).new_page()
    page.goto(link)
    base = link.partition("/once/")[0]
    assert page.url == f"{base}/"
    for path, told in NEXT.items():
        page.goto(base + path)
        page.locator("main").get_by_text(told).first.wait_for()
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    other = chromium.new_context().new_page()
    other.goto(link)
    other.get_by_text("used already").wait_for()
    page.context.close()
    other.context.close()
