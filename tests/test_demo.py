"""`make demo OPEN=1`: from sample reviews to the dashboard in the reader's browser, which is a program of our own here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import Settings
from shared.stream import broker
from tests.conftest import CACHE, ROOT, wait_until

# Opens what it is told, as a browser does, then the list; it stays open until it has both.
BROWSER = """
import http.cookiejar, json, os, sys, urllib.parse, urllib.request
jar = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
seen = {"told": sys.argv[1]}
for path in ("", "/reviews"):
    address = sys.argv[1] if not path else urllib.parse.urljoin(sys.argv[1], path)
    with opener.open(address, timeout=60) as answer:
        seen[path or "first"] = [answer.status, answer.url, answer.read().decode()]
with open(sys.argv[2] + ".part", "w") as out:
    json.dump(seen, out)
os.rename(sys.argv[2] + ".part", sys.argv[2])
"""


@pytest.fixture
def opened(tmp_path):
    """What the browser saw, by path; "told" is the address that it was started with."""
    if shutil.which("make") is None:
        pytest.skip("needs make, which is not installed")
    home, seen, browser = tmp_path / "home", tmp_path / "seen.json", tmp_path / "browser.py"
    browser.write_text(BROWSER)
    environment = {
        **os.environ,
        "BEYOND_HOME": str(home),
        "BEYOND_CACHE": str(CACHE),
        "PYTHONPATH": str(ROOT),
        "BROWSER": f"{sys.executable} {browser} %s {seen}",
    }
    # `-o install`: what these tests run in is installed.
    command = [
        "make",
        "-o",
        "install",
        "demo",
        "OPEN=1",
        "PORT=0",
        f"BIN={Path(sys.executable).parent}",
    ]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        assert wait_until(lambda: seen.exists() or process.poll() is not None, 500)
        assert process.poll() is None, f"make ended with {process.returncode}"
        yield json.loads(seen.read_text())
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
        broker.connect(Settings(home=home, cache=CACHE))
        broker.release(home)


@pytest.mark.slow
def test_the_demo_ends_in_the_browser_signed_in_with_its_reviews_on_the_page(opened):
    assert "/once/" in opened["told"]
    status, address, overview = opened["first"]
    assert status == 200 and address.endswith("/") and "/sign-in" not in address
    assert "Do this first" in overview and "How this is ranked" in overview
    status, _, listed = opened["/reviews"]
    samples = (ROOT / "producers" / "samples" / "reviews.jsonl").read_text().splitlines()
    assert status == 200 and len(samples) == 30
    assert listed.count('class="clip"') == 30 and "Waits for its analysis" not in listed
