"""A worker for each GPU: what it sees, its share of threads and memory, and what happens where there is no GPU.

No GPU is needed: what is tested is what processes are given and what they say.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from shared.errors import Misconfigured, ModelUnavailable
from shared.inference.device import take_device
from shared.settings import Settings
from shared.stream import broker
from shared.stream.launch import rq_command
from tests import tiny
from tests.conftest import ROOT, make_review, wait_until
from workers import devices
from workers.batch_worker import EX_CONFIG
from workers.build import build_pipeline
from workers.supervisor import Supervisor


def test_devices_are_numbers_or_identifiers():
    assert devices.chosen("0, 1") == ["0", "1"]
    one = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
    assert devices.chosen(f"{one},MIG-{one}/1/0") == [one, f"MIG-{one}/1/0"]


@pytest.mark.parametrize("text", ["", "0,", "cuda:0", "0;rm", "-1"])
def test_what_names_no_gpu_is_refused_with_the_right_form(text):
    with pytest.raises(Misconfigured, match=r"nvidia-smi -L.*--devices 0,1"):
        devices.chosen(text)


def test_all_without_a_gpu_says_what_to_do(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # true on a machine with GPUs too
    with pytest.raises(Misconfigured, match="torch sees no GPU.*leave --devices out"):
        devices.chosen("all")


def test_threads_are_shared_by_all_and_a_gpu_by_its_own_workers(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    settings = Settings(preset="gpu", device="cuda:1")
    found = devices.places(settings, 2, ["0", "3"])
    assert [p["CUDA_VISIBLE_DEVICES"] for p in found] == ["0", "0", "3", "3"]
    assert {p["BEYOND_THREADS"] for p in found} == {"4"}
    assert {p["BEYOND_DEVICE_SHARE"] for p in found} == {"0.5000"}
    assert {p["BEYOND_DEVICE"] for p in found} == {"cuda"}, "cuda:1 is not there for who sees one"


def test_without_devices_a_worker_sees_what_its_parent_sees():
    found = devices.places(Settings(threads=3), 2, None)
    assert found == [{"BEYOND_THREADS": "3", "OMP_NUM_THREADS": "3"}] * 2


def test_each_worker_of_beyond_work_sees_its_own_gpu_alone(processes, server):
    work = processes.beyond("work", "--devices", "0,5", BEYOND_INSIGHT_MODEL="none")
    assert wait_until(lambda: server.scard("rq:workers") == 2, 120)
    seen = []
    for name in server.smembers("rq:workers"):
        pid = int(server.hget(name, "pid"))
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = dict(p.split("=", 1) for p in file.read().decode().split("\0") if "=" in p)
        seen.append(pairs["CUDA_VISIBLE_DEVICES"])
    assert sorted(seen) == ["0", "5"]
    work.send_signal(signal.SIGTERM)
    assert work.wait(60) == 0


def test_beyond_work_all_without_a_gpu_ends_with_the_remedy(processes):
    done = processes.run("work", "--devices", "all", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2 and "leave --devices out" in done.stderr, done.stderr


def test_a_worker_without_its_gpu_says_why_takes_no_job_and_is_not_started_again(
    processes, store, server
):
    store.put([make_review()])
    done = processes.run("work", BEYOND_DEVICE="cuda", CUDA_VISIBLE_DEVICES="")
    said = done.stdout + done.stderr
    assert done.returncode == 1 and said.count("cannot_start") == 1, said
    assert "torch sees no CUDA device" in said and "BEYOND_PRESET=laptop" in said
    assert store.counts()["live"] == 1
    job = next(iter(server.scan_iter("rq:job:*")))
    assert server.hmget(job, "status", "retries_left") == [b"queued", b"3"]


def test_a_stock_worker_without_its_weights_says_where_to_get_them_and_takes_no_job(
    processes, settings, store, server
):
    store.put([make_review()])
    node = processes.environment(
        BEYOND_PRESET="gpu",
        BEYOND_DEVICE="cpu",
        BEYOND_CACHE=str(settings.home / "cache"),
        HF_HUB_OFFLINE="1",
        HF_HOME=str(settings.home / "hub"),
        RQ_REDIS_URL=broker.server_url(settings),
    )
    done = subprocess.run(
        rq_command(), env=node, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    said = done.stdout + done.stderr
    assert done.returncode == EX_CONFIG and said.count("cannot_start") == 1, said
    assert "SamLowe/roberta-base-go_emotions" in said and "beyond models fetch --from" in said
    job = next(iter(server.scan_iter("rq:job:*")))
    assert server.hmget(job, "status", "retries_left") == [b"queued", b"3"]


def test_a_place_that_cannot_start_is_given_up_and_the_others_work_on(settings, server, tmp_path):
    code = (
        "import os, pathlib, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "with (folder / os.environ['CUDA_VISIBLE_DEVICES']).open('a') as file: file.write('x')\n"
        "if os.environ['CUDA_VISIBLE_DEVICES'] == '1': raise SystemExit(78)\n"
        "while not (folder / 'enough').exists(): time.sleep(0.01)\n"
        "raise SystemExit(78)\n"
    )
    places = devices.places(settings, 1, ["0", "1"])
    supervisor = Supervisor(settings, server, places, [sys.executable, "-c", code])
    rounds = []

    def progress() -> None:  # both have started, and some rounds later the first may go, too
        rounds.append((tmp_path / "0").exists() and (tmp_path / "1").exists())
        if rounds.count(True) >= 8:
            (tmp_path / "enough").touch()

    assert supervisor.run(progress=progress) == 1, "none is left in the end"
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text() == "x"


def test_weights_that_are_no_model_are_said_as_such_and_not_as_a_crash(settings, server, tmp_path):
    """Before: what transformers raised ended the worker, and it was started twenty times."""
    folder = tiny.roberta(tmp_path / "roberta")
    shape = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**shape, "hidden_size": 33}))
    broken = settings.model_copy(update={"emotion_model": str(folder), "insight_model": "none"})
    with pytest.raises(ModelUnavailable, match="cannot be loaded on cpu.*beyond models list"):
        build_pipeline(broken, server)


def test_the_cpu_needs_no_device():
    take_device(Settings(device="cpu"))
