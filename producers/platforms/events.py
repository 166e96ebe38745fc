"""What a platform is to the webhook: the Delivery it judges, the Events it finds in it, and the protocol.

It does not know HTTP frameworks, storage, or any single platform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

Clock = Callable[[], float]  # seconds since 1970


@dataclass(frozen=True)
class Delivery:
    """One request: headers with lower-case names, the raw body, and the last part of a secret address."""

    headers: Mapping[str, str]
    body: bytes
    key: str = ""


@dataclass(frozen=True)
class Event:
    """A review that was written or changed, or, with `deleted`, one that is gone.

    `fields` are those of Review less `id`; of a deleted one only source and external_id, as of one
    that is `wanted`: the platform only named it, and `beyond poll` fetches it.
    `happened_at` is the event's own time, aware, or None where the platform gives none.
    """

    fields: dict[str, Any]
    deleted: bool = False
    wanted: bool = False
    happened_at: datetime | None = None


class Platform(Protocol):
    """One way that reviews arrive. Instances are shared by all requests.

    The webhook calls `verify` and then, if it returned, `parse`, once per delivery and in a thread
    of its pool, several at a time: both may compute, neither may keep state between deliveries.
    Any error but those named is a fault of the platform's code and answered with 500.
    """

    @property
    def may_wait(self) -> bool:
        """May `verify` ask somebody over the network? Then it never runs on the event loop."""
        ...

    def verify(self, delivery: Delivery) -> None:
        """Return if the delivery is genuine, judged on the raw body; nothing was parsed before.

        Raises:
            Unauthorized: the proof is missing, wrong or out of date (401); nothing more is read.
            TemporaryFailure: what it takes to judge cannot be had now, e.g. the sender's keys (503).
        """
        ...

    def parse(self, delivery: Delivery) -> list[Event]:
        """The events of a genuine delivery, oldest first; none for kinds that mean nothing here (204).

        Raises:
            Malformed: the body cannot be read at all (400).
            InvalidReview: it can, but an event lacks what a review needs (422). Nothing is stored
                of the whole delivery.
        """
        ...
