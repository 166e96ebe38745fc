"""What compose.yaml starts for readers, each with the password it has there and no other: dashboard, topics, alerts, and their health checks."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import time

import httpx
import pytest
import redis

from consumers.dashboard.tokens import create_token
from consumers.record.database import open_database, writing
from shared.settings import Settings
from shared.stream.calls import ACCESS_REMEDY
from shared.stream.names import LIVE, TRAINING
from shared.stream.recovery import dead_letters
from shared.stream.store import Store
from tests.conftest import CACHE, ROOT, Processes, make_review, wait_until
from tests.consumers.topics.planted import plant
from tests.servers import guarded_server

RULES = """
[targets.ops]
webhook = "http://127.0.0.1:9/hook"
secret = "whsec_QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD"

[[rules]]
name = "stuck"
when = "dead_letters"
targets = ["ops"]
"""


@pytest.fixture
def url(tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "guarded").mkdir()
    with guarded_server(tmp_path / "guarded") as found:
        yield found


@pytest.fixture
def house(url, tmp_path):  # type: ignore[no-untyped-def]
    """A home with a record, a review on the server, and processes that start with a role's password."""
    Store(redis.Redis.from_url(url("admin"))).put([make_review(1)])
    settings = Settings(home=tmp_path / "home", cache=CACHE)
    plant(open_database(settings), "late", 30)
    found = Processes(settings)
    yield found
    found.stop()


def refusals(url) -> set[tuple[str, str, str]]:  # type: ignore[no-untyped-def]
    log = redis.Redis.from_url(url("admin")).acl_log()
    return {(entry["username"], entry["reason"], entry["object"]) for entry in log}


def test_the_dashboard_shows_its_pages_with_the_records_rights_and_what_it_may_not_do_it_says(
    url, house
):
    with writing(open_database(house.settings)) as connection:
        secret = create_token(connection, "owner", "admin", None, time.time())[1]
    environment = house.environment(BEYOND_REDIS_URL=url("record"), PYTHONUNBUFFERED="1")
    command = [sys.executable, "-m", "beyond", "dashboard", "--host", "0.0.0.0", "--port", "0"]
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    house.running.append(process)  # type: ignore[arg-type]
    assert process.stdout is not None
    line = next(line for line in process.stdout if line.startswith("Dashboard: "))
    at = "http://127.0.0.1:" + re.findall(r":(\d+)/", line)[0]
    assert httpx.get(f"{at}/readyz", timeout=30).json() == {"status": "ready"}
    known = {"Authorization": f"Bearer {secret}"}
    for path in ("/", "/reviews", "/themes", "/pipeline", "/tokens", "/voices"):
        answer = httpx.get(at + path, headers=known, timeout=30)
        assert answer.status_code == 200, (path, answer.text)
    assert not refusals(url)
    # Dead letters are put back and dropped; a training's, whose plan names a teacher, is not its.
    Store(redis.Redis.from_url(url("admin"))).put([make_review(2, "RAISE and never be read.")])
    house.worker(url=url("worker"))
    reading, admin = (redis.Redis.from_url(url(role)) for role in ("record", "admin"))

    def change(do: str, job: str = "") -> httpx.Response:
        form = {"do": do, "job": job}
        return httpx.post(f"{at}/pipeline/letters", data=form, headers=known, timeout=30)

    def dead() -> list[str]:
        return [letter.job_id for letter in dead_letters(reading, [LIVE, TRAINING])]

    assert wait_until(lambda: len(dead()) == 1)
    (job,) = dead()
    failed_at = admin.hget(f"rq:job:{job}", "failed_at")
    assert change("retry").headers["location"] == "/pipeline?told=retried"
    assert wait_until(lambda: admin.hget(f"rq:job:{job}", "failed_at") not in (None, failed_at))
    assert change("drop", job).headers["location"] == "/pipeline?told=dropped"
    assert dead() == [] and not admin.exists(f"rq:job:{job}") and not refusals(url)
    admin.zadd(f"rq:failed:{TRAINING}", {"plan": 1})
    admin.hset("rq:job:plan", mapping={"reason": "no teacher", "status": "failed"})
    refused = change("drop", "plan")
    assert refused.status_code == 400 and ACCESS_REMEDY in html.unescape(refused.text)
    assert dead() == ["plan"] and admin.exists("rq:job:plan")


def test_topics_and_alerts_run_with_the_readers_rights_and_their_checks_bite(url, house, tmp_path):
    own = {"BEYOND_REDIS_URL": url("reader"), "BEYOND_ALERTS": str(tmp_path / "alerts.toml")}
    assert house.run("alerts", "test", **own).returncode != 0  # no rules yet
    (tmp_path / "alerts.toml").write_text(RULES)
    done = house.run("alerts", "test", **own)
    assert done.returncode == 0 and "stuck" in done.stdout, done.stderr
    watched = house.run("alerts", "run", "--once", **own)
    assert watched.returncode == 0 and watched.stdout.startswith("0 alerts raised"), watched.stderr
    found = house.run("topics", "--json", **own)
    assert found.returncode == 0 and json.loads(found.stdout.splitlines()[0])["issues"]
    assert house.run("alerts", "list", "--limit", "1", **own).returncode == 0
    assert not refusals(url)
