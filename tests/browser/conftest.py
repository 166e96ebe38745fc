"""A dashboard that runs as a process of its own, over a record of synthetic reviews, and a real Chromium before it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from consumers.dashboard.tokens import create_token
from consumers.record.database import open_database, writing
from consumers.record.project import apply
from consumers.record.schema import issue_state, issues, replies, reviews
from consumers.record.scope import owner_scope
from consumers.record.stored import one
from shared.settings import Settings
from shared.stream import broker
from shared.stream.replies import Replies
from shared.stream.store import Store
from tests.browser.hostile import hostile
from tests.conftest import CACHE, ROOT
from tests.consumers.record.filled import filled
from tests.consumers.replies.desk import Desk

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# It talks to nobody but the dashboard.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
AXE = Path(__file__).with_name("axe.min.js").read_text()
REVIEWS = 600


@dataclass
class House:
    """A running dashboard: its address, its record, and how to get into it."""

    url: str
    engine: Engine
    settings: Settings

    def token(self, role: str = "admin", business: str | None = None) -> str:
        with writing(self.engine) as connection:
            name = f"{role.capitalize()} Ana"
            return create_token(connection, name, role, business, time.time())[1]  # type: ignore[arg-type]

    def desk(self) -> Desk:
        """Writes the replies that were asked for when the test says so."""
        server = broker.connect(self.settings)
        return Desk(self.engine, Store(server), Replies(server))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, once a file.

    Not once a session: as long as Playwright runs, its event loop is this thread's, and asyncio.run
    in other files' tests refuses to begin.
    """
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs Chromium, which is not installed: the dashboard's pages in a browser")
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright (pip install -e .[dev])"
    )
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def house(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """`chromium` first: without it nothing is started."""
    home = tmp_path_factory.mktemp("house")
    settings = Settings(home=home, cache=CACHE, lease_seconds=2)
    broker.connect(settings)
    engine = filled(open_database(settings), REVIEWS)
    with writing(engine) as connection:
        apply(connection, hostile())
    process, url = dashboard(home)
    yield House(url, engine, settings)
    process.terminate()
    process.wait(20)
    engine.dispose()
    broker.release(home)


def environment_of(home: Path) -> dict[str, str]:
    """For a command over this home that prints as it goes."""
    fixed = {"BEYOND_HOME": str(home), "BEYOND_CACHE": str(CACHE), "PYTHONPATH": str(ROOT)}
    return {**os.environ, **fixed, "PYTHONUNBUFFERED": "1"}


def dashboard(home: Path) -> tuple[subprocess.Popen[str], str]:
    """`beyond dashboard` on a port that the system chooses.

    Its address is read from what it prints.
    """
    command = [sys.executable, "-m", "beyond", "dashboard", "--port", "0"]
    process = subprocess.Popen(
        command, env=environment_of(home), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Dashboard: "):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, line.split()[1].rstrip("/")
    raise AssertionError(f"beyond dashboard ended with {process.wait()}")


@pytest.fixture
def open_page(house: House, chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a browser context of its own, signed in unless told otherwise.

    Whatever the page complains of (a script error, a blocked style, a missing file) fails the test.
    """
    contexts, trouble = [], []

    def opened(path: str = "/", token: str | None = "", **options: Any) -> Any:
        context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options}
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(f"{page.url}: {error}"))
        page.on("dialog", lambda dialog: trouble.append(f"{page.url}: a dialog: {dialog.message}"))
        page.on(
            "console",
            lambda said: (
                trouble.append(f"{page.url}: {said.text}")
                if said.type == "error" and not re.search("status of 4|Error Code 4", said.text)
                else None
            ),
        )
        if token is not None:
            sign_in(page, house, token or house.token())
        page.goto(house.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not trouble


def sign_in(page: Any, house: House, token: str) -> None:
    page.goto(f"{house.url}/sign-in")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{house.url}/")


def violations(page: Any) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA and its best practices, one line a rule."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']} ({v['impact']}): {v['nodes'][0]['target']} {v['nodes'][0]['html'][:160]}"
        for v in found["violations"]
    ]


@pytest.fixture
def an_issue(house):
    """(issue id, review id) of a shown issue that nobody has touched, of an English review without reply."""
    touched = select(issue_state.c.issue_id)
    query = select(issues.c.id, issues.c.review_id).join(
        reviews, reviews.c.id == issues.c.review_id
    )
    fresh = query.where(
        issues.c.shown == 1,
        issues.c.id.not_in(touched),
        issues.c.review_id.not_in(select(replies.c.review_id)),
        reviews.c.language == "en",
    )
    with house.engine.connect() as connection:
        found = connection.execute(fresh.order_by(issues.c.id)).first()
        pair = one(connection, owner_scope(), found.review_id)
    house.desk().has(pair)  # a reply is written of what is stored
    return found
