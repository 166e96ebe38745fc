"""How fast one address and one source may post. It knows whom to count as one sender, and no HTTP.

An address pays for every request, genuine or not, its source only for genuine ones: a stranger
cannot use up what belongs to a platform. Who was refused is refused here, at no cost to the server,
until his time has come.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from functools import lru_cache

from shared.errors import RateLimited
from shared.stream.rate_limit import Bucket, Refusal

# A bucket holds so many seconds of its rate: platforms send in bursts, after an outage above all.
BURST_SECONDS = 10
# Refused senders that are remembered here; past it the server is asked again.
_MOST_REFUSED = 10_000


class Rates:
    """Limits by address and by source; the buckets are on the server, for all webhook processes.

    Args:
        address_rate: requests per second of one address; 0: no limit.
        source_rate: genuine requests per second of one source; 0: no limit.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        address_rate: float,
        source_rate: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._address_rate, self._source_rate = address_rate, source_rate
        self._refused: dict[str, float] = {}

    def check(self, address: str) -> None:
        """Before anything is read of a request.

        Raises:
            RateLimited: this address was refused, and its time has not come.
        """
        if not self._refused:
            return
        name = _address(address)
        left = self._refused.get(name, 0.0) - self._clock()
        if left > 0:
            raise _too_fast(Refusal(name, left))
        self._refused.pop(name, None)

    def buckets(self, address: str, source: str | None) -> list[Bucket]:
        """What a request must take from: of its address, and of its source where it is genuine."""
        found = []
        if self._address_rate and address:
            found.append(_bucket(_address(address), self._address_rate))
        if self._source_rate and source is not None:
            found.append(_bucket(f"source:{source}", self._source_rate))
        return found

    def refused(self, refusal: Refusal) -> RateLimited:
        """The error for it; the sender is remembered."""
        if len(self._refused) >= _MOST_REFUSED:
            self._refused.clear()
        self._refused[refusal.bucket] = self._clock() + refusal.seconds
        return _too_fast(refusal)


def _bucket(name: str, rate: float) -> Bucket:
    return Bucket(name, rate, max(1.0, rate * BURST_SECONDS))


@lru_cache(maxsize=1024)
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
