"""A scheduled report reaches real mailboxes and webhooks, once a moment, whoever schedules it."""

from __future__ import annotations

import email
import email.policy
import json
import signal
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from consumers.erase_record import erase_rows
from consumers.out.outbox import deliver, letters
from consumers.out.targets import MailTarget, WebhookTarget
from consumers.record.database import open_database
from consumers.record.filters import Filters
from consumers.report.schedule import Schedule, keep_posting
from shared.errors import Misconfigured
from tests.conftest import wait_until
from tests.consumers.out.test_out import SECRET, mailbox, receiver  # noqa: F401
from tests.consumers.report.filled import restaurant

MONDAY = datetime(2026, 11, 2, 7, tzinfo=UTC)
GRILL = Filters(business="Harbour Grill")


def schedule(
    begun: datetime = MONDAY - timedelta(days=1), targets: tuple[str, ...] = ("owner", "hook")
) -> Schedule:
    return Schedule("0 7 * * 1", GRILL, 30, targets, begun)


@pytest.fixture
def grill(settings):
    return restaurant(open_database(settings))


def test_moments_are_due_once_and_none_from_before_the_beginning(grill):
    one = schedule()
    assert one.due(MONDAY - timedelta(seconds=1)) is None
    assert one.due(MONDAY) == MONDAY and one.due(MONDAY + timedelta(hours=5)) == MONDAY
    one.post(grill, MONDAY)
    assert one.due(MONDAY + timedelta(hours=5)) is None
    assert one.due(MONDAY + timedelta(days=7)) == MONDAY + timedelta(days=7)
    assert schedule(MONDAY + timedelta(hours=1)).due(MONDAY + timedelta(days=3)) is None


def test_the_report_arrives_as_mail_with_pdf_and_as_a_signed_webhook(grill, mailbox, receiver):  # noqa: F811
    box, address = mailbox
    targets = {
        "owner": MailTarget(
            mail=f"smtp://ann%40x@{address}",
            password=SecretStr("open"),
            sender="beyond@example.org",
            to=("owner@example.org",),
        ),
        "hook": WebhookTarget(webhook=receiver.url, secret=SecretStr(SECRET)),
    }
    # Two schedulers of the same schedule: one message for each target.
    assert (schedule().post(grill, MONDAY), schedule().post(grill, MONDAY)) == (2, 0)
    assert deliver(grill, targets) == (2, 0)
    (envelope,) = box.letters
    letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert letter["Subject"] == "Customer report: Harbour Grill, 3 October to 1 November 2026"
    body = letter.get_body(("plain",))
    assert body is not None and "Send a second cook to the pass" in body.get_content()
    files = {f.get_filename(): f.get_content() for f in letter.iter_attachments()}
    assert files["report-2026-10-03-to-2026-11-01.pdf"].startswith(b"%PDF")
    assert "Harbour Grill" in str(files["report-2026-10-03-to-2026-11-01.html"])
    ((headers, content),) = receiver.seen
    event = Webhook(SECRET).verify(content, headers)
    assert event["type"] == "report.ready" and event["data"]["complaints"]["waiting"] >= 40
    assert event == json.loads(content)


def test_a_letter_with_the_words_of_an_erased_review_is_not_sent(grill):
    schedule(targets=("owner",)).post(grill, MONDAY)
    with grill.connect() as connection:
        (letter,) = letters(connection, "waiting")
    quoted = letter.message.data["quoted"]
    assert quoted
    erase_rows(grill, quoted[:1])
    with grill.connect() as connection:
        assert letters(connection, "waiting") == []


def test_it_goes_on_where_the_database_was_away(grill, monkeypatch):
    moments = iter([MONDAY, MONDAY + timedelta(minutes=1)])
    one, tried = schedule(targets=("owner",)), []

    def fails_once() -> None:
        tried.append(1)
        if len(tried) == 1:
            from shared.errors import TemporaryFailure

            raise TemporaryFailure("the disk is full")

    keep_posting(one, grill, fails_once, lambda _: len(tried) == 2, lambda: next(moments))
    with grill.connect() as connection:
        assert len(letters(connection, "waiting")) == 1


def test_a_wrong_expression_is_refused():
    with pytest.raises(Misconfigured, match="five fields"):
        Schedule("every monday", GRILL, 30, ("owner",), MONDAY)


def test_the_command_sends_until_it_is_stopped(processes, settings, mailbox):  # noqa: F811
    box, address = mailbox
    restaurant(open_database(settings))
    (settings.home / "alerts.toml").write_text(
        f'[targets.owner]\nmail = "smtp://{address}"\nsender = "a@example.org"\n'
        'to = ["owner@example.org"]\n'
    )
    done = processes.run("report", "--schedule", "* * * * *", "--to", "nobody")
    assert done.returncode == 2 and "no target 'nobody'" in done.stderr
    # Six fields: every second.
    process = processes.beyond("report", "--schedule", "* * * * * *", "--to", "owner")
    assert wait_until(lambda: bool(box.letters))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
