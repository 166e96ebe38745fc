"""The learning loop step by step: each a command, killed and resumed, on a schedule."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.conftest import make_review, wait_until
from tests.trainer.conftest import BAD, some_labels
from trainer.run import STEPS


def test_killed_in_any_step_it_goes_on_and_ends_with_one_run(processes, settings, poor, tmp_path):
    labels = some_labels(tmp_path / "labels.jsonl", 24, 45)
    command = ("train", "--teacher", f"file:{labels}", "--task", "issues", "--epochs", "1")

    def steps() -> int:
        found = list((settings.home / "runs").glob("*/run.json"))
        return len(json.loads(found[0].read_text())["steps"]) if found else -1

    for killed_after in range(len(STEPS) - 1):
        process = processes.beyond(*command)
        assert wait_until(
            lambda k=killed_after, p=process: steps() >= k or p.poll() is not None, 60
        )
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = processes.run(*command)
    assert done.returncode == 0 and ("refused" in done.stdout or "promoted" in done.stdout), (
        done.stderr
    )
    assert len(list((settings.home / "runs").iterdir())) == 1 and steps() == len(STEPS)
    assert "FAILED" in done.stdout or "promoted" in done.stdout


def test_each_step_is_a_command_and_wants_the_ones_before_it(processes, poor, tmp_path):
    labels = some_labels(tmp_path / "labels.jsonl", 20, 45)
    sampled = processes.run("sample", "--teacher", f"file:{labels}", "--epochs", "1")
    run = sampled.stdout.strip()
    assert sampled.returncode == 0 and Path(run).is_dir()
    early = processes.run("evaluate", run)
    assert early.returncode == 2 and "beyond label" in early.stderr
    for step in ("label", "finetune", "evaluate", "promote"):
        assert processes.run(step, run).returncode == 0, step
    assert set(json.loads((Path(run) / "run.json").read_text())["steps"]) == set(STEPS)


def test_a_small_holdout_ends_in_a_reasoned_refusal_and_a_pointer_to_nothing_is_survived(
    processes, settings, poor, tmp_path
):
    import shutil

    shutil.rmtree(settings.home / "adapters" / poor)
    labels = some_labels(tmp_path / "labels.jsonl", 16, 5)
    done = processes.run(
        "train", "--teacher", f"file:{labels}", "--task", "issues", "--epochs", "1"
    )
    assert done.returncode == 0 and "refused" in done.stdout and "FAILED: examples" in done.stdout
    assert "cannot be compared with" in done.stdout


def test_the_schedule_runs_a_cycle_through_the_queue(
    processes, settings, store, server, poor, tmp_path
):
    labels = some_labels(tmp_path / "labels.jsonl", 16, 5)
    store.put([make_review(i, BAD.format(i), 1) for i in range(3)], "backfill")
    schedule = processes.beyond(
        "schedule", "--every", "3", "--poll", "0.2", "--teacher", f"file:{labels}", "--epochs", "1"
    )

    def finished() -> bool:
        runs = list((settings.home / "runs").glob("*/run.json"))
        return bool(runs) and len(json.loads(runs[0].read_text())["steps"]) == len(STEPS)

    assert wait_until(finished, 300)  # a real training; beside another file on two cores
    assert (
        wait_until(lambda: not server.exists("b:training:lock"), 10)
        and server.llen("rq:queue:training") == 0
    )
    workers = Path(f"/proc/{schedule.pid}/task/{schedule.pid}/children").read_text().split()
    schedule.kill()
    schedule.wait()
    assert workers, "the schedule has a worker of its own"
    assert wait_until(lambda: not any(Path(f"/proc/{w}").exists() for w in workers), 30)


def test_a_language_model_goes_the_same_way(processes, settings, tmp_path):
    """LoRA on a tiny model of SmolLM2's architecture: labelled, trained, evaluated, judged."""
    from tests import tiny

    base = tiny.causal(tmp_path / "tiny-model")
    labels = some_labels(tmp_path / "labels.jsonl", 40, 12)
    done = processes.run(
        "train",
        "--teacher",
        f"file:{labels}",
        "--task",
        "reply",
        "--base",
        str(base),
        "--epochs",
        "1",
        "--min-examples",
        "5",
    )
    assert done.returncode == 0 and ("refused" in done.stdout or "promoted" in done.stdout), (
        done.stderr
    )
    assert "meteor" in next((settings.home / "runs").iterdir()).joinpath("report.md").read_text()
