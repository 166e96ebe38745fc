"""Asking a teacher over HTTP: a real server on loopback that speaks the OpenAI form."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.errors import TemporaryFailure
from tests.conftest import make_review
from trainer.examples import Label
from trainer.label import Cache, Labelled, ask
from trainer.teachers import OpenAITeacher, Tokens

ANSWER_SECONDS = 0.3


class Server(ThreadingHTTPServer):
    """Answers after a moment; remembers how many questions were under way at once."""

    daemon_threads = True

    def __init__(self, usage: bool = True) -> None:
        self.usage, self.lock, self.inside, self.most_inside, self.asked = (
            usage,
            threading.Lock(),
            0,
            0,
            0,
        )
        self.fails_for, self.busy_times = "nothing", 0
        super().__init__(("127.0.0.1", 0), Teaching)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Teaching(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][0]["content"]
        with self.server.lock:
            self.server.asked += 1
            self.server.inside += 1
            self.server.most_inside = max(self.server.most_inside, self.server.inside)
        # Later questions are answered sooner: order must not come from luck.
        time.sleep(ANSWER_SECONDS / (1 + self.server.asked % 4))
        with self.server.lock:
            self.server.inside -= 1
        number = text.split("visit ")[1].split(" ")[0]
        out = {
            "choices": [
                {
                    "message": {"content": f"Mend visit {number} at once."},
                    "finish_reason": "stop",
                }
            ]
        }
        if self.server.usage:
            out["usage"] = {"prompt_tokens": 100, "completion_tokens": 10}
        raw = json.dumps(out).encode()
        with self.server.lock:
            busy = self.server.busy_times > 0
            self.server.busy_times -= busy
        self.send_response(429 if busy else 400 if self.server.fails_for in text else 200)
        if busy:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def teaching():  # type: ignore[no-untyped-def]
    found = Server()
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def labels(count: int) -> list[Label]:
    return [Label(make_review(i, f"At visit {i} the soup was cold.")) for i in range(count)]


def asked(server, settings, tmp_path, count, parallel):  # type: ignore[no-untyped-def]
    teacher = OpenAITeacher(server.url, settings.model_copy(update={"teacher_parallel": parallel}))
    cache = Cache(tmp_path, teacher.name, "feedback")
    return ask(labels(count), "feedback", teacher, cache, lambda line: None)


@pytest.mark.parametrize("parallel", [1, 6])
def test_so_many_reviews_are_asked_at_once_and_labels_keep_the_order(
    teaching, settings, tmp_path, parallel
):
    found = asked(teaching, settings, tmp_path, 24, parallel)
    assert teaching.most_inside == parallel and teaching.asked == 24
    assert [one.feedback for one in found.labels] == [f"Mend visit {i} at once." for i in range(24)]


def test_tokens_are_counted_and_cached_answers_cost_nothing(teaching, settings, tmp_path):
    found = asked(teaching, settings, tmp_path, 10, 4)
    assert found.tokens == Tokens(1000, 100)
    assert found.spent("2,10") == "10 asked, 1000 prompt and 100 answer tokens, cost 0.0030"
    assert found.spent("2").endswith("cost 0.0022") and "cost" not in found.spent()
    again = asked(teaching, settings, tmp_path, 10, 4)
    assert (again.cached, again.asked, again.tokens) == (10, 0, Tokens())


def test_a_teacher_that_does_not_count_is_said_so_and_not_free(teaching, settings, tmp_path):
    teaching.usage = False
    found = asked(teaching, settings, tmp_path, 2, 2)
    assert found.spent("2") == "2 asked, tokens not counted by the teacher"
    assert (
        Labelled(asked=3, uncounted=1, tokens=Tokens(5, 1))
        .spent()
        .endswith("(1 answers not counted)")
    )


def test_a_rate_limit_is_waited_for_as_long_as_the_server_asks(teaching, settings, tmp_path):
    """Several questions at once run into it sooner; it used to end the step."""
    teaching.busy_times = 3
    begun = time.monotonic()
    assert len(asked(teaching, settings, tmp_path, 6, 3).labels) == 6
    assert teaching.asked == 9 and time.monotonic() - begun >= 1


def test_a_server_that_stays_busy_is_a_temporary_failure(teaching, settings, tmp_path):
    teaching.busy_times = 100
    with pytest.raises(TemporaryFailure, match="429"):
        asked(teaching, settings, tmp_path, 1, 1)
    assert teaching.asked == 4


def test_a_failure_stops_asking_and_answers_under_way_are_kept(teaching, settings, tmp_path):
    teaching.fails_for = "visit 5 "
    with pytest.raises(TemporaryFailure, match="400"):
        asked(teaching, settings, tmp_path, 200, 4)
    first = teaching.asked
    assert first < 60, "it went on asking a teacher that had failed"
    teaching.fails_for = "nothing"
    found = asked(teaching, settings, tmp_path, 200, 16)
    assert len(found.labels) == 200 and found.cached == first - 1
    assert teaching.asked == 201, "something was asked twice, and paid twice"


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b'{"choices": []}', b'{"choices": [{"message": null}]}']
)
def test_an_answer_of_another_form_is_the_teachers_failure(settings, body):
    class Odd(Teaching):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = Server()
    server.RequestHandlerClass = Odd
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(TemporaryFailure, match="failed"):
        OpenAITeacher(server.url, settings).answer("feedback", make_review(0))
    server.shutdown()
    server.server_close()
