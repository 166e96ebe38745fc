"""The learning loop with real processes: `beyond train`, killed and resumed, beside a running
worker."""

from __future__ import annotations

import json

import pytest

from shared.inference.adapters import open_registry
from tests.conftest import make_review, wait_until
from tests.trainer.conftest import BAD, some_labels


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
