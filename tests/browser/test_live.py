"""What happens while a page is open: results that a worker writes arrive, dead letters come and go."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from consumers.record.schema import progress, reviews
from shared.review import Review
from shared.stream.broker import connect, server_url
from shared.stream.launch import rq_command
from shared.stream.names import LIVE
from shared.stream.recovery import dead_letters
from shared.stream.store import Store
from tests.conftest import CACHE, ROOT, wait_until

RECORD = [sys.executable, "-m", "beyond", "record"]
WORKER = ["tests.fakes.FakeWorker" if "BatchWorker" in p else p for p in rq_command()]


@pytest.fixture
def started(house):
    """Starts commands over the house, and ends them."""
    environment = {
        **os.environ,
        "BEYOND_HOME": str(house.settings.home),
        "BEYOND_CACHE": str(CACHE),
        "PYTHONPATH": str(ROOT),
        "BEYOND_LEASE_SECONDS": "2",
        "RQ_REDIS_URL": server_url(house.settings),
    }
    running: list[subprocess.Popen[bytes]] = []
    yield lambda command: running.append(subprocess.Popen(command, env=environment, cwd=ROOT))
    for process in running:
        process.terminate()
    for process in running:
        process.wait(20)


@pytest.fixture
def stream(house, started):
    """A projector and a worker with fake models, as processes of their own; gives the store."""
    for command in (RECORD, WORKER):
        started(command)
    return Store(connect(house.settings))


def arriving(text: str, name: str) -> Review:
    return Review(
        source="live",
        external_id=name,
        text=text,
        rating=1,
        business="Harbour Grill",
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
    )


def read_to(house) -> str:
    with house.engine.connect() as connection:
        return connection.scalar(select(progress.c.entry)) or ""


def test_a_result_arrives_without_a_reload(open_page, house, stream):
    stream.put([arriving("The first one, so that the record follows.", "zero")], LIVE)
    assert wait_until(lambda: read_to(house) != "", 120)
    page = open_page("/reviews")
    page.evaluate("window.stayed = true")
    page.locator("html[data-listening]").wait_for(state="attached")
    stream.put([arriving("The soup came late while this page was open.", "one")], LIVE)
    new = page.locator("#rows .clip").filter(has_text="while this page was open")
    new.wait_for(timeout=60_000)
    page.get_by_role("status").filter(has_text="arrived").wait_for()
    # Analysed, not only stored: the strongest emotion stands beside it.
    item = page.locator("#rows li").filter(has_text="while this page was open")
    item.get_by_text("anger").wait_for(timeout=60_000)
    assert page.evaluate("window.stayed")
    # Who is working in the list is told, and not disturbed.
    page.locator("input[name=id]").first.check()
    stream.put([arriving("Another one, meanwhile.", "two")], LIVE)
    page.get_by_role("status").filter(has_text="Reload the page").wait_for(timeout=60_000)
    assert page.locator("input[name=id]").first.is_checked()


def test_the_page_of_a_review_that_waits_fills_itself_when_its_analysis_comes(
    open_page, house, started
):
    started(RECORD)
    store, waiting = Store(connect(house.settings)), arriving("The lift was stuck.", "waits")
    store.put([waiting], LIVE)

    def stored() -> bool:
        with house.engine.connect() as connection:
            query = select(reviews.c.id).where(reviews.c.id == waiting.id)
            return connection.scalar(query) is not None

    assert wait_until(stored, 120)
    page = open_page(f"/reviews/{waiting.id}")
    page.get_by_text("waits for its analysis").wait_for()
    page.locator("html[data-listening]").wait_for(state="attached")
    page.evaluate("window.stayed = true")
    started(WORKER)
    page.get_by_role("region", name="How it feels").get_by_text("Anger").first.wait_for(
        timeout=120_000
    )
    page.get_by_role("status").filter(has_text="A new result has arrived.").wait_for()
    assert page.evaluate("window.stayed")


def test_a_dead_letter_is_shown_retried_and_dropped(open_page, house, stream):
    connection = connect(house.settings)
    stream.put([arriving("RAISE and never be read.", "dead")], LIVE)
    assert wait_until(lambda: len(dead_letters(connection, [LIVE])) == 1, 120)
    page = open_page("/pipeline")
    page.get_by_role("rowheader").filter(has_text="cannot be classified").wait_for()
    page.get_by_role("button", name="Retry all").click()
    page.get_by_text("wait in their queue again").wait_for()
    assert wait_until(lambda: len(dead_letters(connection, [LIVE])) == 1, 120)
    page.goto(f"{house.url}/pipeline")
    page.get_by_role("button", name="Drop").click()
    page.get_by_text("The dead letter was dropped").wait_for()
    assert dead_letters(connection, [LIVE]) == []
