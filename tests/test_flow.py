"""The whole way with the packaged models: backfill, queue, worker, store, export; as `make demo`
does it."""

from __future__ import annotations

import csv
import io
import json
import signal

import pytest

from shared.stream.names import BACKFILL, LIVE
from shared.stream.recovery import dead_letters, load
from tests.conftest import ROOT, wait_until

SAMPLES = ROOT / "producers" / "samples" / "reviews.jsonl"


@pytest.fixture
def analysed(processes, store):  # type: ignore[no-untyped-def]
    assert processes.run("backfill", str(SAMPLES)).returncode == 0
    worked = processes.run("work", "--burst", BEYOND_LEASE_SECONDS="20", BEYOND_HANG_SECONDS="300")
    assert worked.returncode == 0 and "30 of 30" in worked.stdout, worked.stderr
    return processes


def test_samples_become_insights_and_a_second_run_changes_nothing(analysed, store, server):
    records = [json.loads(line) for line in analysed.run("export").stdout.splitlines()]
    assert len(records) == 30 and all(
        len(r["analysis"]["emotions"]["probabilities"]) == 28 for r in records
    )
    for record in records:
        insight = record["analysis"]["insight"]
        assert (insight is None) == (record["analysis"]["insight_reason"] is not None)
        for issue in insight["issues"] if insight else []:
            assert record["text"][issue["start"] : issue["end"]] == issue["evidence"]
    low = [r for r in records if (r["rating"] or 5) <= 3]
    foreign = [r for r in low if r.get("language") not in (None, "en")]
    assert len(low) >= 20 and len(foreign) == 2
    assert all(r["analysis"]["insight"] for r in low if r not in foreign), (
        "a low-rated review has no insight"
    )
    for record in foreign:
        assert "this model reads English" in record["analysis"]["insight_reason"]
    hostile = next(r for r in records if "IGNORE ALL" in r["text"])
    told = " ".join(
        f"{i['action']} {i['problem']}" for i in hostile["analysis"]["insight"]["issues"]
    )
    assert "gift card" not in told.lower() and "praise" not in told.lower()
    again = analysed.run("backfill", str(SAMPLES)).stdout
    assert "30 new" in again  # the tally of the finished file, not new work
    assert load(server, (LIVE, BACKFILL)) == {
        LIVE: (0, 0, 0),
        BACKFILL: (0, 0, 0),
    } and not dead_letters(server, (LIVE, BACKFILL))
    assert analysed.run("work", "--burst").returncode == 0
    assert [json.loads(x) for x in analysed.run("export").stdout.splitlines()] == records
    rows = list(csv.DictReader(io.StringIO(analysed.run("export", "--format", "csv").stdout)))
    assert len({r["id"] for r in rows}) == 30
    assert "Harbour Grill" in analysed.run("insights").stdout
    shown = json.loads(analysed.run("show", records[0]["id"]).stdout)
    assert shown == records[0]
    assert json.loads(analysed.run("status", "--json").stdout)["reviews"] == {
        "stored": 30,
        "analysed": 30,
    }
    assert "1 of 1 deleted" in analysed.run("delete", records[0]["id"]).stdout
    assert analysed.run("show", records[0]["id"]).returncode == 2


def test_ctrl_c_on_beyond_work_stops_workers_and_leaves_nothing_running(processes, store):
    work = processes.beyond("work", "--workers", "2")
    assert wait_until(lambda: store.connection.scard("rq:workers") == 2, 60)
    work.send_signal(signal.SIGINT)
    assert work.wait(30) == 0
    assert store.connection.scard("rq:workers") == 0


def test_beyond_work_restarts_a_killed_worker(processes, store):
    import os
    import subprocess

    work = processes.beyond("work")
    assert wait_until(lambda: store.connection.scard("rq:workers") == 1, 60)
    found = subprocess.run(
        ["pgrep", "-P", str(work.pid)], capture_output=True, text=True
    ).stdout.split()
    os.kill(int(found[0]), signal.SIGKILL)
    assert processes.run("backfill", str(SAMPLES), "--limit", "2").returncode == 0
    assert wait_until(lambda: store.counts()["analysed"] == 2, 60)


def test_classify_keeps_order_and_fields_and_names_a_bad_line(processes, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(
        "".join(
            json.dumps({"n": i, "text": t}) + "\n"
            for i, t in enumerate(["Thank you!", "x", "I hate it."])
        )
    )
    assert processes.run("classify", str(source), str(target)).returncode == 0
    out = [json.loads(line) for line in target.read_text().splitlines()]
    assert [r["n"] for r in out] == [0, 1, 2] and all(len(r["emotions"]) == 28 for r in out)
    assert out[0]["present"] == ["gratitude"]
    source.write_text('{"text": "ok"}\n{"body": 1}\n')
    failed = processes.run("classify", str(source), str(target))
    assert failed.returncode == 65 and "in.jsonl:2: text" in failed.stderr


def test_errors_are_one_clear_line(processes):
    failed = processes.run("backfill", "nowhere.json")
    assert failed.returncode == 2 and failed.stderr.strip() == "Error: nowhere.json: no such file"
    failed = processes.run(
        "status", BEYOND_REDIS_URL="redis://127.0.0.1:1/0", BEYOND_MAX_QUEUED="x"
    )
    assert (
        failed.returncode == 2
        and "BEYOND_MAX_QUEUED" in failed.stderr
        and "Traceback" not in failed.stderr
    )


def test_settings_and_models_commands(processes):
    assert "BEYOND_PRESET=laptop" in processes.run("settings").stdout
    assert "smollm2-135m-instruct" in processes.run("models", "list").stdout
    assert processes.run("models", "verify").stdout.count(": ok") == 2


def test_a_worker_whose_model_is_missing_says_so_and_costs_no_job_a_retry(processes, store, server):
    assert processes.run("backfill", str(SAMPLES), "--limit", "2").returncode == 0
    failed = processes.run("work", "--burst", BEYOND_INSIGHT_MODEL="/nowhere/model")
    assert failed.returncode == 1 and "/nowhere/model" in failed.stderr
    assert load(server, [BACKFILL])[BACKFILL] == (1, 0, 0)


def test_a_worker_whose_server_and_supervisor_are_gone_does_not_stay(processes, settings, store):
    from shared.stream import broker

    worker = processes.worker()
    assert wait_until(lambda: store.connection.scard("rq:workers") == 1, 60)
    broker.release(settings.home)
    store.connection.shutdown(nosave=True)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(40) is not None
