"""One delivery from proof to disk: verify, parse, validate all, then store all or none.

It does not know HTTP or how a platform proves and writes; intake says what a valid review is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from producers.group_commit import GroupCommit
from producers.intake import make_review
from producers.platforms.events import Delivery, Event, Platform
from producers.rates import Rates
from shared.errors import Forbidden, InvalidReview, TemporaryFailure, Unauthorized
from shared.review import review_id
from shared.stream.arrivals import Arrival, Arrived, Bundle
from shared.stream.polling import Wanted
from shared.stream.rate_limit import Refusal
from shared.telemetry import REVIEWS_IN

READ_HERE_BYTES = 8 * 1024
PAY_SECONDS = 0.25


@dataclass(frozen=True)
class Taken:
    """What became of one review of a delivery."""

    id: str
    status: Arrived | Literal["named"]


@dataclass(frozen=True)
class Asked:
    """What a delivery asks for: to store and delete `arrivals`, to fetch `named` (source, external_id)."""

    arrivals: list[Arrival]
    named: list[tuple[str, str]]


class Doorway:
    """Takes deliveries for the platforms that are served."""

    def __init__(
        self,
        platforms: Mapping[str, Platform],
        commit: GroupCommit,
        rates: Rates,
        wanted: Wanted,
        author_key: bytes,
        durable_seconds: float,
        categories: Mapping[str, str] | None = None,
    ) -> None:
        """`categories`: the trade of all reviews of a source, where they do not name their own."""
        self.platforms, self._categories = platforms, categories
        self._wanted, self._durable_seconds = wanted, durable_seconds
        self._commit, self._rates, self._author_key = commit, rates, author_key

    async def take(self, name: str, delivery: Delivery, address: str = "") -> list[Taken]:
        """The delivery's reviews, on the server's disk; none where its events mean nothing here.

        `address`: who sent it, for the rate limits.

        Raises:
            KeyError: no such platform is served.
            Unauthorized, Forbidden, Malformed, InvalidReview, Overloaded, TemporaryFailure: nothing
                was stored.
        """
        try:
            asked = await self._read(name, delivery)
        except Unauthorized:
            await self._pay(address, None)
            raise
        except (Forbidden, InvalidReview):
            await self._pay(address, name or "webhook")
            raise
        arrivals = asked.arrivals
        if not arrivals:
            await self._pay(address, name or "webhook")
            if asked.named:
                return await self._remember(name, asked.named)
            REVIEWS_IN.labels(name or "webhook", "ignored").inc()
            return []
        buckets = self._rates.buckets(address, name or "webhook")
        found = await self._commit.take(Bundle(arrivals, buckets))
        if isinstance(found, Refusal):
            raise self._rates.refused(found)
        for arrived, status in zip(arrivals, found, strict=True):
            source = arrived.review.source if arrived.review else name or "webhook"
            REVIEWS_IN.labels(source, status).inc()
        return [Taken(a.review_id, s) for a, s in zip(arrivals, found, strict=True)]

    async def _pay(self, address: str, source: str | None) -> None:
        """For a request that stores nothing.

        Where the server does not answer at once, it is free.
        """
        if buckets := self._rates.buckets(address, source):
            try:
                found = await self._commit.take(Bundle(buckets=buckets), PAY_SECONDS)
            except TemporaryFailure:
                return
            if isinstance(found, Refusal):
                raise self._rates.refused(found)

    async def _remember(self, name: str, named: list[tuple[str, str]]) -> list[Taken]:
        """Reviews that were only named: `beyond poll` fetches them."""
        await asyncio.to_thread(self._wanted.add, named, self._durable_seconds)
        REVIEWS_IN.labels(name, "named").inc(len(named))
        return [Taken(_identity(*one), "named") for one in named]

    async def _read(self, name: str, delivery: Delivery) -> Asked:
        # One review takes 0.3 ms to read, less than a thread costs; a hundred take 20 ms, which
        # others need not wait for.
        if len(delivery.body) <= READ_HERE_BYTES and not self.platforms[name].may_wait:
            return self.read(name, delivery)
        return await asyncio.to_thread(self.read, name, delivery)

    def read(self, name: str, delivery: Delivery) -> Asked:
        """What a genuine delivery asks for, validated; one per review.

        Raises:
            KeyError, Unauthorized, Forbidden, Malformed, InvalidReview: as `take`.
        """
        platform = self.platforms[name]
        platform.verify(delivery)
        events = platform.parse(delivery)
        key, categories = self._author_key, self._categories
        arrivals = [arrival(event, key, categories) for event in events if not event.wanted]
        fields = [event.fields for event in events if event.wanted]
        named = dict.fromkeys((one["source"], one["external_id"]) for one in fields)
        return Asked(newest(arrivals), list(named))


def arrival(
    event: Event, author_key: bytes, categories: Mapping[str, str] | None = None
) -> Arrival:
    """The event as what is stored or deleted.

    Raises:
        InvalidReview: a field is missing or wrong.
    """
    if event.deleted:
        identity = _identity(event.fields["source"], event.fields["external_id"])
        return Arrival(identity, None, event.happened_at)
    review = make_review(event.fields, author_key, categories)
    return Arrival(review.id, review, event.happened_at)


def _identity(source: str, external_id: str) -> str:
    """The id of a review that has one of its platform: text and date do not matter then."""
    return review_id(source, external_id, "", datetime.fromtimestamp(0, UTC))


def newest(arrivals: list[Arrival]) -> list[Arrival]:
    """One per review: the one with the latest time; of equal or unknown times, the last."""
    out: dict[str, Arrival] = {}
    for one in arrivals:
        before = out.get(one.review_id)
        if before is not None and before.happened_at and one.happened_at:
            if before.happened_at > one.happened_at:
                continue
        out[one.review_id] = one
    return list(out.values())
