"""Messages reach real servers of HTTP and SMTP, signed.

What does not arrive is tried again, then a dead letter.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import SecretStr
from standardwebhooks import Webhook

from consumers.out.message import Message
from consumers.out.outbox import MAX_TRIES, deliver, enqueue, letters, retry, wait_seconds
from consumers.out.send import Undelivered, send
from consumers.out.targets import MailTarget, SlackTarget, WebhookTarget, read_target
from consumers.record.database import writing
from shared.errors import Misconfigured
from tests.conftest import free_port
from tests.consumers.record.conftest import database, postgresql, record_settings  # noqa: F401

SECRET = "whsec_" + "QUJD" * 8
NOW = datetime.now(UTC).replace(microsecond=0)
MESSAGE = Message(
    id="alert-1",
    kind="alert.raised",
    subject="Urgent review at Café Zoë",
    text="Somebody was hurt.\nRead it.",
    data={"rule": "urgent"},
    at=NOW,
)


class Receiver:
    """A real HTTP server that answers with what the test puts into `answers`, then 200."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.seen: list[tuple[dict[str, str], bytes]] = []
        ours = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                ours.seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
                status, headers = ours.answers.pop(0) if ours.answers else (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


class Mailbox:
    """A real SMTP server's handler; refuses with `answer` if set."""

    def __init__(self) -> None:
        self.answer, self.letters = "", []  # type: ignore[var-annotated]

    async def handle_DATA(self, server, session, envelope) -> str:  # type: ignore[no-untyped-def]
        if not self.answer:
            self.letters.append(envelope)
        return self.answer or "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    found = Mailbox()

    def check(_server, _session, _envelope, _mechanism, given) -> AuthResult:  # type: ignore[no-untyped-def]
        right = (given.login, given.password) == (b"ann@x", b"open")
        return AuthResult(success=right, handled=False)

    controller = Controller(
        found, "127.0.0.1", free_port(), authenticator=check, auth_require_tls=False
    )
    controller.start()
    yield found, f"127.0.0.1:{controller.port}"
    controller.stop()


def test_a_webhook_is_signed_so_that_any_standard_webhooks_receiver_accepts_it(receiver):
    now = datetime.now(UTC)  # NOW is of the collection: too old for a receiver minutes later
    send(WebhookTarget(webhook=receiver.url, secret=SecretStr(SECRET)), MESSAGE, now)
    ((headers, body),) = receiver.seen
    event = Webhook(SECRET).verify(body, headers)
    assert event["type"] == "alert.raised" and event["data"]["rule"] == "urgent"
    assert event["data"]["subject"] == "Urgent review at Café Zoë"
    assert headers["webhook-id"] == "alert-1"


def test_slack_gets_its_form(receiver):
    send(SlackTarget(slack=receiver.url), MESSAGE, NOW)
    text = json.loads(receiver.seen[0][1])["text"]
    assert text.startswith("*Urgent review at Café Zoë*\nSomebody")


def test_mail_arrives_with_subject_and_the_same_id_each_time(mailbox):
    box, host = mailbox
    target = MailTarget(mail=f"smtp://{host}", sender="b@example.org", to=("o@example.org",))
    html = MESSAGE.model_copy(update={"html": "<p>Somebody</p>"})
    send(target, html, NOW)
    content = box.letters[0].content.decode()
    assert "Message-ID: <alert-1@example.org>" in content and "text/html" in content
    assert "Subject: Urgent review at =?utf-8?" in content
    assert box.letters[0].rcpt_tos == ["o@example.org"]


@pytest.mark.parametrize(("password", "final"), [("open", None), ("shut", True)])
def test_mail_signs_in_with_the_password(mailbox, password, final):
    box, host = mailbox
    where = {"mail": f"smtp://ann%40x@{host}", "sender": "b@example.org", "to": ["o@example.org"]}
    target = MailTarget(**where, password=SecretStr(password))
    if final is None:
        send(target, MESSAGE, NOW)
        assert len(box.letters) == 1
    else:
        with pytest.raises(Undelivered, match="SMTP 535") as error:
            send(target, MESSAGE, NOW)
        assert error.value.final and "shut" not in str(error.value)


@pytest.mark.parametrize(("answer", "final"), [("451 later", False), ("554 no", True)])
def test_a_mail_server_says_whether_repeating_helps(mailbox, answer, final):
    box, host = mailbox
    box.answer = answer
    target = MailTarget(mail=f"smtp://{host}", sender="b@example.org", to=("o@example.org",))
    with pytest.raises(Undelivered) as error:
        send(target, MESSAGE, NOW)
    assert error.value.final is final


@pytest.mark.parametrize(
    ("status", "retry_after", "final", "seconds"),
    [
        (500, "", False, 0),
        (302, "", False, 0),
        (429, "120", False, 120),
        (503, "in 90 seconds, as a date", False, 90),
        (503, "soon", False, 0),
        (410, "", True, 0),
    ],
)
def test_a_web_server_says_when_and_whether_to_repeat(
    receiver, status, retry_after, final, seconds
):
    if "date" in retry_after:
        retry_after = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    receiver.answers = [(status, {"retry-after": retry_after} if retry_after else {})]
    with pytest.raises(Undelivered, match=f"127.0.0.1 answered HTTP {status}") as error:
        send(SlackTarget(slack=receiver.url), MESSAGE, NOW)
    assert error.value.final is final and error.value.after_seconds == seconds
    assert "/hook" not in str(error.value), "the address may be the secret"


def test_nobody_listening_is_worth_another_try():
    with pytest.raises(Undelivered) as error:
        send(SlackTarget(slack=f"http://127.0.0.1:{free_port()}/x"), MESSAGE, NOW)
    assert not error.value.final


def test_waits_grow_fourfold_less_jitter_and_obey_the_receiver():
    assert [wait_seconds(n, 0, 0) for n in (1, 2, 3, 4, 9)] == [5, 20, 80, 320, 43200]
    assert wait_seconds(3, 0, 0.999) == 40
    assert wait_seconds(1, 600, 0.5) == 600
    assert wait_seconds(1, 10**9, 0) == 43200, "no receiver holds a message up for years"


def test_a_message_is_tried_until_it_arrives_and_sent_once(database, receiver):  # noqa: F811
    targets = {"chat": SlackTarget(slack=receiver.url)}
    receiver.answers = [(500, {}), (503, {"retry-after": "60"})]
    moment = [NOW]

    def later(seconds: int) -> tuple[int, int]:
        moment[0] += timedelta(seconds=seconds)
        return deliver(database, targets, lambda: moment[0], lambda: 0.0)

    with writing(database) as connection:
        html = MESSAGE.model_copy(update={"html": "<p>Somebody</p>"})
        assert enqueue(connection, ["chat", "chat"], html) == 1
        assert enqueue(connection, ["chat"], MESSAGE) == 0
    assert later(0) == (0, 1) and later(4) == (0, 0) and later(1) == (0, 1)
    assert later(59) == (0, 0), "the receiver asked for a minute"
    assert later(1) == (1, 0) and later(10**6) == (0, 0)
    assert len(receiver.seen) == 3
    with database.connect() as connection:
        (sent,) = letters(connection, "sent")
    assert sent.message.html is None, "pages that were sent are not kept"


def test_what_never_arrives_becomes_a_dead_letter_that_can_be_sent_again(database, receiver):  # noqa: F811
    targets = {"chat": SlackTarget(slack=receiver.url)}
    receiver.answers = [(500, {})] * MAX_TRIES
    with writing(database) as connection:
        enqueue(connection, ["chat", "gone"], MESSAGE)
    for day in range(MAX_TRIES):
        deliver(database, targets, lambda day=day: NOW + timedelta(days=day), lambda: 0.0)
    with database.connect() as connection:
        dead = {
            letter.target: (letter.tries, letter.reason) for letter in letters(connection, "dead")
        }
    assert dead["chat"] == (MAX_TRIES, "127.0.0.1 answered HTTP 500")
    assert dead["gone"] == (1, "no target 'gone' in the alerts file")
    with writing(database) as connection:
        assert retry(connection, ["alert-1"], int(NOW.timestamp())) == 2
    assert deliver(database, targets, lambda: NOW) == (1, 1)


def test_two_senders_do_not_send_the_same_message(database, receiver):  # noqa: F811
    targets = {"chat": SlackTarget(slack=receiver.url)}
    with writing(database) as connection:
        for number in range(20):
            enqueue(connection, ["chat"], MESSAGE.model_copy(update={"id": f"m{number}"}))
    threads = [threading.Thread(target=deliver, args=(database, targets)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.seen) == 20


def test_targets_come_from_tables_and_secrets_from_files(tmp_path):
    (tmp_path / "ops.secret").write_text(SECRET + "\n")
    target = read_target(
        "ops", {"webhook": "https://x.org/h", "secret_file": "ops.secret"}, tmp_path
    )
    assert isinstance(target, WebhookTarget) and SECRET not in repr(target)
    assert target.secret.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "give one of webhook, slack, mail"),
        ({"slack": "chat.example.org"}, "slack: give an http"),
        ({"webhook": "https://x.org"}, "secret: Field required"),
        ({"webhook": "https://x.org", "secret": "abc"}, "24 to 64 bytes"),
        ({"webhook": "https://x.org", "secret_file": "none"}, "secret_file: .*cannot be read"),
        ({"mail": "x.org", "sender": "a@b", "to": ["c@d"]}, "mail: give smtp://"),
        ({"mail": "smtp://x.org", "sender": "a@b", "to": ["c"]}, "to: 'c' is no e-mail"),
        ({"mail": "smtp://u:p@x.org", "sender": "a@b", "to": ["c@d"]}, "password_file"),
        ({"slack": "https://x.org", "chanel": "x"}, "chanel: Extra inputs"),
    ],
)
def test_a_wrong_target_is_named_with_field_and_remedy(tmp_path, table, told):
    with pytest.raises(Misconfigured, match=r"\[targets.ops\].*" + told):
        read_target("ops", table, tmp_path)
