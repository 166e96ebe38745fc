"""What people did beside the record, as queries answer it: changes, replies, saved views, alerts. No SQL, no HTTP.

Times are aware UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from shared.review import Frozen


class Change(Frozen):
    """Something that a person did. `what`: status, owner, note, reply, ..."""

    what: str
    value: str
    at: datetime
    by: str


class Reply(Frozen):
    """A draft answer, and what people made of it."""

    review_id: str
    draft: str
    text: str
    state: Literal["draft", "edited", "approved", "copied"]
    written_by: str
    updated_at: datetime
    updated_by: str


class ReplyJob(Frozen):
    """A reply that was asked for: a worker writes it.

    "failed": it was tried and given up, `reason` says why; asking again is right.
    """

    review_id: str
    state: Literal["being written", "failed"]
    reason: str = ""


class View(Frozen):
    """A saved query string of the list of reviews."""

    number: int
    name: str
    query: str


class Alert(Frozen):
    """Something that a rule noticed. Nobody acknowledged it while `acknowledged_at` is none."""

    id: str
    rule: str
    business: str | None
    text: str
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None


class ViewList(Frozen):
    """Saved views, by name."""

    views: tuple[View, ...]


class AlertList(Frozen):
    """Alerts, newest first."""

    alerts: tuple[Alert, ...]
