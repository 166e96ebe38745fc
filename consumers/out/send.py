"""One try to deliver one message to one target. It does not know when to try again, or the database.

Signed by the Standard Webhooks library; redirects are not followed, as that standard asks.
"""

from __future__ import annotations

import json
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

import httpx
from standardwebhooks import Webhook

from consumers.out.message import Message
from consumers.out.targets import MailTarget, SlackTarget, Target, WebhookTarget
from shared.backoff import asked_seconds
from shared.errors import BeyondError

TIMEOUT_SECONDS = 15
# Slack shows no more of one text; others cut earlier or later, none refuses it.
_SLACK_CHARS = 3000
# The address is gone or will never take this: a repetition only annoys.
_FINAL = frozenset({400, 401, 403, 404, 405, 410, 413, 422})


class Undelivered(BeyondError):
    """The try failed.

    `final`: repeating will not help; `after_seconds`: what the receiver asked to wait.
    """

    def __init__(self, reason: str, *, final: bool = False, after_seconds: float = 0) -> None:
        super().__init__(reason)
        self.final, self.after_seconds = final, after_seconds


def send(target: Target, message: Message, now: datetime) -> None:
    """Deliver it, waiting at most TIMEOUT_SECONDS for each answer.

    Raises:
        Undelivered: it did not arrive.
    """
    if isinstance(target, MailTarget):
        _mail(target, message)
    elif isinstance(target, SlackTarget):
        body = {"text": f"*{message.subject}*\n{message.text}"[:_SLACK_CHARS]}
        _post(target.slack, json.dumps(body, ensure_ascii=False), {}, now)
    else:
        _webhook(target, message, now)


def _webhook(target: WebhookTarget, message: Message, now: datetime) -> None:
    body = json.dumps(message.event(), ensure_ascii=False)
    signature = Webhook(target.secret.get_secret_value()).sign(message.id, now, body)
    headers = {
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    _post(target.webhook, body, headers, now)


def _post(url: str, body: str, headers: dict[str, str], now: datetime) -> None:
    host = urlsplit(url).hostname  # the rest of the address may be its secret
    sent = {"content-type": "application/json", "user-agent": "beyond-sentiment", **headers}
    try:
        answer = httpx.post(url, content=body.encode(), headers=sent, timeout=TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise Undelivered(f"{host}: {type(error).__name__}: {error}") from None
    if not answer.is_success:
        wait = asked_seconds(answer.headers.get("retry-after", ""), now.timestamp()) or 0
        final = answer.status_code in _FINAL
        raise Undelivered(
            f"{host} answered HTTP {answer.status_code}", final=final, after_seconds=wait
        )


def _mail(target: MailTarget, message: Message) -> None:
    parts = urlsplit(target.mail)
    host = parts.hostname or ""
    letter = _letter(target, message, host)
    safe = ssl.create_default_context()
    try:
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, parts.port or 465, timeout=TIMEOUT_SECONDS, context=safe
            )
        else:
            server = smtplib.SMTP(host, parts.port or 25, timeout=TIMEOUT_SECONDS)
        with server:
            if parts.scheme == "smtp" and server.ehlo()[0] == 250 and server.has_extn("starttls"):
                server.starttls(context=safe)
            if parts.username and target.password:
                server.login(unquote(parts.username), target.password.get_secret_value())
            server.send_message(letter)
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        raise Undelivered(f"{host} answered {_smtp_answer(error)}", final=_fatal(error)) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Undelivered(f"{host}: {type(error).__name__}: {error}") from None


def _letter(target: MailTarget, message: Message, host: str) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"] = target.sender, ", ".join(target.to)
    letter["Subject"] = " ".join(message.subject.split())
    letter["Date"] = formatdate(message.at.timestamp())
    # The same at every try, so that mail programs drop repeats.
    letter["Message-ID"] = f"<{message.id}@{target.sender.rpartition('@')[2] or host}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation answers
    letter.set_content(message.text)
    if message.html is not None:
        letter.add_alternative(message.html, subtype="html")
    for file in message.attachments:
        main, _, sub = file.kind.partition("/")
        letter.add_attachment(file.content, maintype=main, subtype=sub, filename=file.name)
    return letter


def _codes(error: Exception) -> list[int]:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [code for code, _ in error.recipients.values()]
    return [error.smtp_code] if isinstance(error, smtplib.SMTPResponseException) else []


def _fatal(error: Exception) -> bool:
    return all(code >= 500 for code in _codes(error))


def _smtp_answer(error: Exception) -> str:
    return ", ".join(f"SMTP {code}" for code in _codes(error))
