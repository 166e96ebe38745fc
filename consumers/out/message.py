"""A message that leaves the house: for people (subject, text, html) and for programs (kind, data)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import Base64Bytes, Field

from shared.review import Frozen


class Attachment(Frozen):
    """A file that goes with a mail; `kind` is its media type, e.g. "application/pdf"."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    kind: str = Field(pattern=r"^[a-z]+/[a-z0-9.+-]+$")
    content: Base64Bytes


class Message(Frozen):
    """Says the same to people and programs. `id` is the same at every try: receivers drop repeats by it.

    `kind` is dotted words, e.g. "alert.raised", "report.ready". `data` is whatever JSON fits it.
    `attachments` go with mails only.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")
    kind: str = Field(pattern=r"^[a-z]+(\.[a-z_]+)+$")
    subject: str = Field(min_length=1, max_length=200)
    text: str
    html: str | None = None
    data: dict[str, Any] = {}
    attachments: tuple[Attachment, ...] = ()
    at: datetime

    def event(self) -> dict[str, Any]:
        """The body that Standard Webhooks recommends: type, timestamp, data."""
        moment = self.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        shown = {"subject": self.subject, "text": self.text, **self.data}
        return {"type": self.kind, "timestamp": moment, "data": shown}
