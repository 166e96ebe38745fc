"""`beyond poll` as a person and an operating system use it."""

from __future__ import annotations

import signal

import pytest
from pydantic import SecretStr

from producers.poll.description import read_sources
from shared.errors import Misconfigured
from tests.conftest import ROOT, wait_until
from tests.producers.poll.conftest import item, reply


def test_once_polls_now_and_says_what_came(processes, config, played, store):
    played.answer = lambda *_: reply({"reviews": [item(1), item(2, stars="x")]})
    done = processes.run("poll", "--once", "--config", str(config()))
    assert (done.returncode, done.stdout) == (0, "blog: 1 pages: 1 new, 1 rejected\n")
    assert store.counts()["stored"] == 1


@pytest.mark.parametrize("status, code", [(503, 75), (403, 2)])
def test_once_ends_with_the_code_that_says_whether_repeating_helps(processes, config, played, status, code):  # fmt: skip
    played.answer = lambda *_: reply({}, status)
    done = processes.run("poll", "--once", "--config", str(config()))
    assert done.returncode == code and f"answers {status}" in done.stderr


def test_it_polls_on_its_schedule_until_it_is_stopped(processes, config, played, store):
    path = config()
    path.write_text(path.read_text().replace("every_seconds = 600", "every_seconds = 1"))
    played.answer = lambda *_: reply({"reviews": [item(len(played.asked))]})
    running = processes.beyond("poll", BEYOND_SOURCES=str(path))
    assert wait_until(lambda: store.counts()["stored"] >= 3, 60)
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 0


def test_two_pollers_share_sources_and_killed_one_is_replaced(processes, config, played, store):
    path = config()
    path.write_text(path.read_text().replace("every_seconds = 600", "every_seconds = 1"))
    played.answer = lambda *_: reply({"reviews": [item(len(played.asked))]})
    first, _ = (processes.beyond("poll", BEYOND_SOURCES=str(path)) for _ in range(2))
    assert wait_until(lambda: store.counts()["stored"] >= 2, 60)
    first.kill()
    before = len(played.asked)
    assert wait_until(lambda: len(played.asked) >= before + 2, 150)
    assert store.counts()["stored"] >= len(played.asked) - 1, "two asked at once"


def test_list_shows_how_each_source_stands(processes, config, played):
    path = str(config())
    assert "never" in processes.run("poll", "--config", path, "list").stdout
    played.answer = lambda *_: reply({}, 403)
    processes.run("poll", "--once", "--config", path)
    assert "answers 403" in processes.run("poll", "--config", path, "list").stdout


def test_test_shows_how_a_source_is_read_and_stores_nothing(processes, config, played, store):
    played.answer = lambda *_: reply({"reviews": [item(1), item(2, stars="x")]})
    done = processes.run("poll", "--config", str(config()), "test", "blog")
    assert '"text": "The soup was cold."' in done.stdout and "item 2 is no review" in done.stdout
    assert store.counts()["stored"] == 0 and not store.connection.exists("b:poll:blog")
    wrong = processes.run("poll", "--config", str(config()), "test", "nobody")
    assert wrong.returncode == 2 and "there are blog" in wrong.stderr


def test_the_sample_file_of_sources_is_right(polled, settings):
    settings.source_secrets = {n: SecretStr("x") for n in ("our-place", "our-shop")}
    _, sources = polled.prepared(ROOT / "producers" / "samples" / "sources.toml")
    assert [s.name for s in sources] == ["our-app", "our-place", "our-shop", "our-forum"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "describe at least one source"),
        ("[sources]\nx = 1", "must be a table"),
        ('[sources."A b"]\nurl = "x"', "name it in a-z"),
        ('[sources.a]\nconnector = "myspace"', "there is no connector 'myspace'"),
        ('[sources.a]\nurl = "https://x/{app}"', "set values"),
        ('[sources.a]\nurl = "https://x/"\nspeed = 1', "sources.a.speed"),
        ("[sources.a]\nevery_seconds = 5", "sources.a.url: Field required"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_wrong_file_of_sources_says_where_and_what(tmp_path, text, message):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(Misconfigured, match=message):
        read_sources(tmp_path / "s.toml")


def test_without_a_file_of_sources_it_says_what_to_write(processes):
    done = processes.run("poll", "--once")
    assert done.returncode == 2 and "beyond poll connectors" in done.stderr
    assert "values: app_id" in processes.run("poll", "connectors").stdout


def test_a_wrong_path_or_zone_is_refused_before_anything_is_fetched(polled, config):
    for wrong in ('[sources.blog.read]\neach = "$["', '[sources.blog.read]\nzone = "Mars"'):
        fields = f'{wrong}\n[sources.blog.fields]\nexternal_id = "$.id"\ntext = "$.t"'
        with pytest.raises(Misconfigured, match="source blog"):
            polled.prepared(config(fields=fields))
