"""How fast one address and one source may post. It knows whom to count as one sender, and no HTTP.

An address pays for every request, genuine or not, its source only for genuine ones: a stranger
cannot use up what belongs to a platform. Who was refused is refused here, at no cost to the server,
until his time has come.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable, Sequence

import redis

from producers.together import Together
from shared.errors import RateLimited, TemporaryFailure
from shared.stream.rate_limit import Bucket, Refusal, take

# A bucket holds so many seconds of its rate: platforms send in bursts, after an outage above all.
BURST_SECONDS = 10
# A limit that cannot be asked for is none: while the server is away nothing is stored anyway.
PATIENCE_SECONDS = 0.25
_MOST_TOGETHER = 256
# Refused senders that are remembered here; past it the server is asked again.
_MOST_REFUSED = 10_000


class Rates:
    """Limits by address and by source, shared by all webhook processes.

    Args:
        connection: the server that keeps the buckets.
        address_rate: requests per second of one address; 0: no limit.
        source_rate: genuine requests per second of one source; 0: no limit.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        connection: redis.Redis,
        address_rate: float,
        source_rate: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection, self._clock = connection, clock
        self._address_rate, self._source_rate = address_rate, source_rate
        self._refused: dict[str, float] = {}
        self._asker: Together[list[Bucket], Refusal | None] = Together(
            "rates", self._ask, _MOST_TOGETHER
        )

    def refuse(self, address: str) -> None:
        """Before anything is read of a request.

        Raises:
            RateLimited: this address was refused, and its time has not come.
        """
        name = _address(address)
        left = self._refused.get(name, 0.0) - self._clock()
        if left > 0:
            raise _too_fast(Refusal(name, left))
        self._refused.pop(name, None)

    async def charge(self, address: str, source: str | None) -> None:
        """One request of an address, and of a source where it was genuine.

        Raises:
            RateLimited: one of them is too fast; neither paid.
        """
        buckets = []
        if self._address_rate and address:
            buckets.append(_bucket(_address(address), self._address_rate))
        if self._source_rate and source is not None:
            buckets.append(_bucket(f"source:{source}", self._source_rate))
        if not buckets:
            return
        try:
            refusal = await self._asker.ask(buckets, PATIENCE_SECONDS)
        except (TimeoutError, TemporaryFailure):
            return
        if refusal is not None:
            self._remember(refusal)
            raise _too_fast(refusal)

    def close(self) -> None:
        """End the thread."""
        self._asker.close()

    def _ask(self, requests: Sequence[list[Bucket]]) -> list[Refusal | None]:
        return take(self._connection, requests)

    def _remember(self, refusal: Refusal) -> None:
        if len(self._refused) >= _MOST_REFUSED:
            self._refused.clear()
        self._refused[refusal.bucket] = self._clock() + refusal.seconds


def _bucket(name: str, rate: float) -> Bucket:
    return Bucket(name, rate, max(1.0, rate * BURST_SECONDS))


def _address(address: str) -> str:
    """The bucket of an address; of IPv6 its /64, which is what one customer gets."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # what a proxy was told: counted as it is, but not at any length
        return f"address:{address[:64]}"
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ipaddress.ip_network((int(ip), 64), strict=False).network_address
    return f"address:{ip}"


def _too_fast(refusal: Refusal) -> RateLimited:
    kind, _, who = refusal.bucket.partition(":")
    return RateLimited(
        f"too many requests from this {kind} ({who}); slow down, or raise "
        f"BEYOND_WEBHOOK_{kind.upper()}_RATE",
        max(1, math.ceil(refusal.seconds)),
    )
