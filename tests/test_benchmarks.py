"""Benchmarks that need another machine than this one: their code runs here, in small."""

from __future__ import annotations

import math
import sys

import pytest
import torch

from benchmarks import fleet, fleet_figures, gpu_models
from tests import tiny


def test_gpu_models_says_where_there_is_no_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_models.py"])
    gpu_models.main()
    assert capsys.readouterr().out == "no GPU\n"


def test_gpu_models_runs_all_but_cuda_on_a_cpu(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu_models, "PROMPT", 40)
    monkeypatch.setattr(gpu_models, "ANSWER", 8)
    tiny.tokenizer().save_pretrained(tmp_path)
    words = ["--words", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["gpu_models.py", "--tiny", "--rows", "2", *words])
    gpu_models.main()
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith(("bf16, ", "nf4, "))]
    assert len(rows) == 6 and sum("grammar" in row for row in rows) == 2, said
    assert said.count("texts/s") == 2 and "pipeline" in said, said


def test_answers_of_the_random_phi_are_as_long_as_they_are_asked_to_be(tmp_path):
    words = tiny.tokenizer()
    gpu_models.make_phi(tmp_path, words, tiny=True)
    model = gpu_models.load_phi(tmp_path, "cpu", "bf16")
    for fenced in (None, [gpu_models.REVIEW] * 2):
        engine = gpu_models.Generator(model, words, most_rows=2)
        engine.run("", ["Review:"] * 2, max_new_tokens=20, fenced=fenced)
        assert engine.tokens_out == 40


def test_cells_come_from_the_cpu_of_a_review_and_from_memory():
    need = fleet_figures.cells(151, 10_000, kept_days=1)
    assert need["cores"] == pytest.approx(1.51) and need["by_cpu"] == 4
    assert need["by_memory"] == 87 and math.isclose(need["gigabytes"], 695.52)
    assert need["gpus"] == math.ceil(10_000 / fleet_figures.REVIEWS_A_SECOND) == 63
    assert fleet_figures.cells(48, 116, kept_days=1)["by_cpu"] == 1


def test_a_fleet_that_does_not_fit_into_memory_is_refused_with_what_fits():
    with pytest.raises(SystemExit, match=r"GB are free; --reviews \d+ fits"):
        fleet.room(fleet_figures.Run(workers=10, backlog=10**11))
    fleet.room(fleet_figures.Run(workers=10, backlog=1000))


@pytest.mark.slow
def test_a_small_fleet_loses_and_doubles_nothing(settings, server, capsys):
    run = fleet_figures.Run(
        workers=10, backlog=5120, live_per_second=20, live_seconds=1, slower=0.1
    )
    seen = fleet.measured(settings, server, run).seen
    assert seen["saved_twice"] == 0 and 0 < seen["live_p50"] <= seen["live_max"]
    assert "10 workers, 5,120 waiting in backfill" in fleet_figures.row(run)
    assert "10,000 a second" in fleet_figures.limits(run)
