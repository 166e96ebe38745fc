"""Secrets that belong to one business: what they open writes that business's reviews and no other's.

    BEYOND_TENANTS='{"Harbour Grill": {"token": ["..."], "webhook": ["whsec_..."], "judgeme": ["..."]}}'

`token` and `webhook` are bearer tokens and signing secrets of our own schema, other names are
platforms. External ids get the business in front: otherwise a tenant could name a review of
another's and replace or delete it. It does not know schemes of proof, HTTP or storage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from producers.platforms.events import Delivery, Event, Platform
from shared.errors import Forbidden, Misconfigured, Unauthorized
from shared.settings import Settings

# A platform that is proved by any of the given secrets.
Make = Callable[[Sequence[str]], Platform]
OWN_SCHEMA = ("token", "webhook")


@dataclass(frozen=True)
class Tenant:
    """A platform as one business may use it."""

    business: str
    platform: Platform


class Scoped:
    """One platform for all tenants that have a secret of it, beside `everyone`'s secrets, if there are any.

    Which secret proves a delivery says whose it is. Tenants are tried one after another; the time
    that takes tells their number, nothing about a secret.
    """

    def __init__(self, everyone: Platform | None, tenants: Sequence[Tenant]) -> None:
        self._everyone, self._tenants = everyone, tuple(tenants)

    @property
    def may_wait(self) -> bool:
        """See Platform.may_wait."""
        everyone = self._everyone is not None and self._everyone.may_wait
        return everyone or any(tenant.platform.may_wait for tenant in self._tenants)

    def verify(self, delivery: Delivery) -> None:
        """See Platform.verify."""
        self._whose(delivery)

    def parse(self, delivery: Delivery) -> list[Event]:
        """See Platform.parse; raises Forbidden where an event names another business."""
        platform, business = self._whose(delivery)
        events = platform.parse(delivery)
        return events if business is None else [_within(event, business) for event in events]

    def _whose(self, delivery: Delivery) -> tuple[Platform, str | None]:
        """The platform whose secret proves the delivery, and its business; None: it may write all."""
        refusal = Unauthorized("no secret fits")
        candidates: list[tuple[Platform, str | None]] = [
            (t.platform, t.business) for t in self._tenants
        ]
        if self._everyone is not None:
            candidates.append((self._everyone, None))
        for platform, business in candidates:
            try:
                platform.verify(delivery)
                return platform, business
            except Unauthorized as error:
                refusal = error
        raise refusal


def _within(event: Event, business: str) -> Event:
    """The event as one of that business.

    Raises:
        Forbidden: it names another.
    """
    named = event.fields.get("business")
    if named not in (None, "", business):
        raise Forbidden(f"business: this secret writes reviews of {business!r} alone")
    fields = {**event.fields, "external_id": _external_id(event.fields, business)}
    return replace(event, fields=fields if event.deleted else {**fields, "business": business})


def _external_id(fields: Mapping[str, Any], business: str) -> str:
    """`BUSINESS/ID`; no business's name ends within another's, because `/` is quoted in it."""
    own = fields.get("external_id")
    if own is None or own == "":
        # The id would follow from text and date, which anybody can read off a public page.
        told = "\x1f".join(str(fields.get(name)) for name in ("text", "created_at", "author"))
        own = hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:20]
    return f"{quote(business, safe=' &')}/{own}"


def scoped(
    everyone: Platform | None, settings: Settings, ways: Mapping[str, Make]
) -> Platform | None:
    """The platform for everyone's secrets and tenants' ones; None where it has neither.

    Args:
        everyone: it with the secrets that write all businesses' reviews.
        settings: `tenants`.
        ways: names of BEYOND_TENANTS that lead to this platform, and how it is made with a secret.

    Raises:
        Misconfigured: a secret is of the wrong form.
    """
    found = [
        Tenant(business, make([secret.get_secret_value()]))
        for business, by_name in settings.tenants.items()
        for name, make in ways.items()
        for secret in by_name.get(name, [])
    ]
    return Scoped(everyone, found) if found else everyone


def check_tenants(settings: Settings, known: Collection[str]) -> None:
    """Look at BEYOND_TENANTS as a whole; `known` are the platforms there are.

    Raises:
        Misconfigured: a tenant has no name or names no platform, or a secret is empty or two
            tenants'.
    """
    owners: dict[str, str] = {}
    for business, by_name in settings.tenants.items():
        if not 0 < len(business.strip()) <= 100:
            raise Misconfigured(
                f"BEYOND_TENANTS: {business!r}: 1 to 100 characters name a business"
            )
        for name, secrets in by_name.items():
            if name not in known and name not in OWN_SCHEMA:
                raise Misconfigured(
                    f"BEYOND_TENANTS: {business}: there is no platform {name!r}; there are "
                    f"{', '.join([*OWN_SCHEMA, *sorted(known)])}"
                )
            for secret in (s.get_secret_value() for s in secrets):
                if not secret or owners.setdefault(secret, business) != business:
                    raise Misconfigured(
                        f"BEYOND_TENANTS: {business}: a secret of {name} is empty or another's as well"
                    )
