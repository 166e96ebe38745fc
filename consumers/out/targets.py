"""Where messages go, as a TOML table names it: webhook (Standard Webhooks), slack, or mail (SMTP).

    [targets.ops]
    webhook = "https://example.org/hooks/beyond"
    secret_file = "ops.secret"                     # whsec_...; or secret = "whsec_..."

    [targets.chat]
    slack = "https://chat.example.org/hooks/T0/B0"

    [targets.owner]
    mail = "smtp://user@mail.example.org:587"      # smtps:// for TLS from the start
    password_file = "mail.secret"
    sender = "beyond@example.org"
    to = ["owner@example.org"]

Secrets may stand in files beside the TOML file. It does not send.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from shared.errors import Misconfigured
from shared.review import Frozen

_ADDRESS = r"^[^@\s,;<>\"]+@[^@\s,;<>\"]+$"


def _http(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give an http:// or https:// address")
    return value


class WebhookTarget(Frozen):
    """An address that takes signed events."""

    webhook: str
    secret: SecretStr

    @field_validator("webhook")
    @classmethod
    def _address(cls, value: str) -> str:
        return _http(value)

    @field_validator("secret")
    @classmethod
    def _base64(cls, value: SecretStr) -> SecretStr:
        try:
            kept = base64.b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            kept = b""
        if not 24 <= len(kept) <= 64:  # as Standard Webhooks asks
            raise ValueError("give whsec_ and 24 to 64 bytes in base64")
        return value


class SlackTarget(Frozen):
    """An incoming webhook of Slack, Mattermost, Rocket.Chat, Discord (…/slack)."""

    slack: str

    @field_validator("slack")
    @classmethod
    def _address(cls, value: str) -> str:
        return _http(value)


class MailTarget(Frozen):
    """A mailbox; `mail` is smtp:// (STARTTLS where offered) or smtps://, with the user's name in it."""

    mail: str
    password: SecretStr | None = None
    sender: str = Field(pattern=_ADDRESS)
    to: tuple[str, ...] = Field(min_length=1)

    @field_validator("to")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [one for one in value if not re.fullmatch(_ADDRESS, one)]:
            raise ValueError(f"{wrong[0]!r} is no e-mail address")
        return value

    @model_validator(mode="after")
    def _server(self) -> MailTarget:
        parts = urlsplit(self.mail)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("mail: give smtp://HOST:PORT or smtps://HOST:PORT")
        if parts.password:
            raise ValueError("mail: put the password into password_file, not into the address")
        return self


Target = WebhookTarget | SlackTarget | MailTarget
_KINDS: dict[str, type[Target]] = {
    "webhook": WebhookTarget,
    "slack": SlackTarget,
    "mail": MailTarget,
}


def read_target(name: str, table: Mapping[str, Any], folder: Path) -> Target:
    """One `[targets.NAME]` table.

    Args:
        name: for error texts.
        table: its fields.
        folder: where `secret_file` and `password_file` lie.

    Raises:
        Misconfigured: names target, field and remedy; the caller adds the file.
    """
    fields = dict(table)
    kinds = [kind for kind in _KINDS if kind in fields]
    if len(kinds) != 1:
        raise Misconfigured(f"[targets.{name}]: give one of webhook, slack, mail")
    for field in ("secret", "password"):
        if (file := fields.pop(f"{field}_file", None)) is not None:
            fields[field] = _secret(name, field, folder / str(file))
    try:
        return _KINDS[kinds[0]](**fields)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = f" {first['loc'][0]}" if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise Misconfigured(f"[targets.{name}]{where}: {message}") from None


def _secret(name: str, field: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"[targets.{name}] {field}_file: {path} cannot be read: {error}"
        ) from None
