"""The learning loop with real processes: `beyond train`, killed and resumed, beside a running
worker."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from shared.inference.adapters import open_registry
from shared.inference.weights import fetch_wheel
from shared.settings import MATCHER_BASE
from tests.conftest import CACHE, ROOT, make_review, wait_until
from trainer import matcher
from trainer.examples import held, read_labels
from trainer.readings import of_labels, read_playbook
from trainer.run import STEPS

GOLD = ROOT / "trainer" / "data" / "gold.jsonl"
BAD = "We waited an hour, the soup was cold and the waiter was rude to us. Visit number {}."


def some_labels(path: Path, train: int, holdout: int, **change: object) -> Path:
    """A labels file with so many gold labels of either side."""
    rows = [json.loads(line) for line in GOLD.read_text().splitlines()]
    sides: dict[bool, list[dict[str, object]]] = {True: [], False: []}
    for row, label in zip(rows, read_labels(GOLD), strict=True):
        sides[held(label)].append({**row, **change})
    path.write_text(
        "".join(json.dumps(r) + "\n" for r in sides[False][:train] + sides[True][:holdout])
    )
    return path


@pytest.fixture
def poor(settings, tmp_path):  # type: ignore[no-untyped-def]
    """A barely trained matcher, promoted: a champion that is easily beaten."""
    labels = [label for label in read_labels(GOLD) if not held(label)][:16]
    lines, finder = read_playbook(matcher.PLAYBOOK)
    matcher.train(
        of_labels(labels, finder),
        lines,
        fetch_wheel(MATCHER_BASE, CACHE),
        tmp_path / "poor",
        epochs=1,
        say=lambda line: None,
    )
    registry = open_registry(settings)
    name = registry.publish(
        tmp_path / "poor", task="issues", prompt_version="issues-1", base=MATCHER_BASE
    ).id
    registry.promote(name)
    return name


def test_a_better_adapter_is_promoted_and_a_running_worker_swaps_in_mid_stream(
    processes, settings, store, server, poor, tmp_path
):
    store.put([make_review(i, BAD.format(i), 1) for i in range(64)], "backfill")
    work = processes.beyond("work")
    assert wait_until(lambda: store.counts()["analysed"] == 64, 60)
    labels = some_labels(tmp_path / "labels.jsonl", 300, 70)
    trained = processes.run(
        "train",
        "--teacher",
        f"file:{labels}",
        "--task",
        "issues",
        "--base",
        "laptop",
        "--epochs",
        "4",
    )
    assert trained.returncode == 0 and "promoted: issues-" in trained.stdout, (
        trained.stdout + trained.stderr
    )
    promoted = open_registry(settings).promoted("issues")
    assert promoted != poor
    number = iter(range(1000, 10**6))

    def adapters() -> set[str]:
        review = make_review(n := next(number), BAD.format(n), 1)
        store.put([review], "live")
        assert wait_until(lambda: store.analyses([review.id])[0] is not None, 20)
        return {store.analyses([review.id])[0].insight.adapter}

    assert wait_until(lambda: adapters() == {promoted}, 30), "the worker did not swap"
    before = store.analyses([make_review(0, BAD.format(0), 1).id])[0]
    assert before.insight.adapter == poor, "what was analysed before has changed"
    assert work.poll() is None and not store.warnings()
    run = next((settings.home / "runs").iterdir())
    report = (run / "report.md").read_text()
    assert (
        "**promoted**" in report and "champion" in report and (run / "distributions.png").exists()
    )
    again = processes.run(
        "train",
        "--teacher",
        f"file:{labels}",
        "--task",
        "issues",
        "--epochs",
        "4",
        "--run",
        run.name,
    )
    assert again.returncode == 0 and len(open_registry(settings).all()) == 2, (
        "a finished run was repeated"
    )
    listed = processes.run("adapters", "list").stdout
    assert "*" in listed and processes.run("adapters", "rollback").stdout.startswith(poor)
    assert wait_until(lambda: adapters() == {poor}, 30), "the worker did not roll back"


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


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda tmp: "file:nowhere.jsonl", "no such labels file"),
        (lambda tmp: "gguf:/nowhere/mistral.gguf", "does not exist"),
        (lambda tmp: "magic:x", "gguf:PATH_OR_HUB_ID"),
        (lambda tmp: "openai:http://127.0.0.1:9/v1", "failed"),
        (
            lambda tmp: (
                f"file:{some_labels(tmp / 'l', 9, 9, issues=[{'theme': 'staff', 'problem': 'p', 'evidence': 'nope', 'action': 'a'}])}"
            ),
            "l:1",
        ),
    ],
)
def test_a_teacher_that_cannot_teach_is_explained(processes, store, tmp_path, make, says):
    store.put([make_review(0, BAD.format(0), 1)], "backfill")
    done = processes.run("train", "--teacher", make(tmp_path), "--task", "issues")
    assert done.returncode in (2, 75) and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


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


def test_offline_writing_keeps_order_and_names_bad_lines(processes, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": BAD.format(i), "rating": 1, "mine": i} for i in range(3)]
    source.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert processes.run("write", str(source), str(target)).returncode == 0
    out = [json.loads(line) for line in target.read_text().splitlines()]
    assert [r["mine"] for r in out] == [0, 1, 2] and all(r["issues"] for r in out)
    source.write_text('{"text": "fine"}\n{"rating": 3}\n')
    bad = processes.run("write", str(source), str(target))
    assert bad.returncode == 65 and "in.jsonl:2: text" in bad.stderr
    wrong = processes.run(
        "write", "--task", "reply", "--adapter", "packaged-minilm-issues", str(source), str(target)
    )
    assert wrong.returncode != 0 and "not for reply" in wrong.stderr or "in.jsonl:2" in wrong.stderr
