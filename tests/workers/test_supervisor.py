"""The supervisor restarts workers, gives up when they keep dying, and serves what all of them count."""

from __future__ import annotations

import os
import re
import signal
import sys
import urllib.request

import pytest

from shared.errors import Misconfigured
from shared.telemetry import configure
from tests.conftest import free_port, make_review, wait_until
from workers.exporter import Exporter
from workers.restarts import Restarts
from workers.supervisor import Supervisor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_deaths_that_lie_far_apart_never_end_it():
    """Before: the twentieth death of its whole life did, a year after the first."""
    clock = Clock()
    restarts = Restarts(limit=20, window_seconds=600, clock=clock)
    for _ in range(1000):
        clock.now += 60
        restarts.died()
        assert not restarts.too_many()


def test_as_many_deaths_within_the_window_do_and_the_wait_between_them_grows():
    clock = Clock()
    restarts = Restarts(limit=20, window_seconds=600, clock=clock)
    waits = []
    for _ in range(20):
        assert not restarts.too_many()
        restarts.died()
        waits.append(restarts.wait_seconds())
    assert restarts.too_many()
    assert waits == sorted(waits) and waits[0] < 1 and waits[-1] == 10
    clock.now = 601
    assert not restarts.too_many() and restarts.recent() == 0


def test_workers_that_die_at_once_end_it_with_code_1(server, settings):
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    supervisor = Supervisor(settings, server, [{}, {}], command, Restarts(limit=4))
    assert supervisor.run() == 1


def test_a_worker_that_can_never_start_ends_it_without_a_second_try(server, settings, tmp_path):
    code = f"open({str(tmp_path / 'starts')!r}, 'a').write('x'); raise SystemExit(78)"
    assert Supervisor(settings, server, [{}], [sys.executable, "-c", code]).run() == 1
    assert (tmp_path / "starts").read_text() == "x"


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def total(text: str) -> float:
    found = re.findall(r'^beyond_reviews_analysed_total\{outcome="analysed"\} (\S+)', text, re.M)
    return sum(map(float, found))


def test_two_workers_share_one_metrics_port_and_the_counts_of_dead_ones_stay(
    store, server, processes
):
    """Before: the second worker could not have the port, died, and was started again and again."""
    port = free_port()
    work = processes.beyond(
        "work", "--workers", "2", BEYOND_METRICS_PORT=str(port), BEYOND_INSIGHT_MODEL="none"
    )
    assert wait_until(lambda: server.scard("rq:workers") == 2, 120)
    names = {n.decode() for n in server.smembers("rq:workers")}
    for i in range(40):
        store.put([make_review(i)])
    assert wait_until(lambda: store.counts()["analysed"] == 40, 60)
    assert wait_until(lambda: total(scrape(port)) == 40, 10), scrape(port)
    pid = int(server.hget(sorted(names)[0], "pid"))
    os.kill(pid, signal.SIGKILL)
    assert total(scrape(port)) == 40
    store.put([make_review(40)])
    assert wait_until(lambda: total(scrape(port)) == 41, 60)
    assert work.poll() is None
    work.send_signal(signal.SIGTERM)
    assert work.wait(60) == 0


def test_a_metrics_port_that_is_taken_is_said_by_the_supervisor_and_stops_no_worker(capfd):
    port = free_port()
    first = Exporter(port)
    try:
        with pytest.raises(Misconfigured, match=f"BEYOND_METRICS_PORT={port}"):
            Exporter(port)
        configure(metrics_port=port)
        assert "metrics_not_served" in capfd.readouterr().err
    finally:
        first.stop()
        configure()
