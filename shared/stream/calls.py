"""What a refusal of the server means to its caller: one place that turns redis errors into ours.

It does not know keys, reviews or scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from redis.exceptions import NoPermissionError, RedisError

from shared.errors import Overloaded, TemporaryFailure

T = TypeVar("T")
# What the server says to a write past its `maxmemory` under the policy noeviction. A script meets it
# at its first write, so it has changed nothing then; later ones of the same script are let through.
_OUT_OF_MEMORY = "not allowed when used memory > 'maxmemory'"
MEMORY_REMEDY = (
    "raise the server's maxmemory (or BEYOND_MAX_MEMORY), let old reviews go with BEYOND_KEEP_DAYS, "
    "or add a cell (docs/ARCHITECTURE.md, Growing)"
)
ACCESS_REMEDY = (
    "the user of BEYOND_REDIS_URL may not do this: use that of another role (`beyond acl --help`), "
    "or, for a producer, run `beyond acl --prepare` once as admin"
)
# Memory is freed by people or by retention, not within seconds.
MEMORY_RETRY_SECONDS = 60


def call(function: Callable[[], T]) -> T:
    """The answer of `function`, which speaks to the server.

    Raises:
        Overloaded: the server's memory is full; nothing was changed.
        TemporaryFailure: the server refused for another reason, or was lost.
    """
    try:
        return function()
    except RedisError as error:
        if _OUT_OF_MEMORY in str(error):
            raise Overloaded(
                f"the server's memory is full: {MEMORY_REMEDY}", MEMORY_RETRY_SECONDS
            ) from error
        if isinstance(error, NoPermissionError) or "ACL failure in script" in str(error):
            raise TemporaryFailure(f"{error}: {ACCESS_REMEDY}") from error
        reason = str(error).rsplit("caused error: ", 1)[-1]
        raise TemporaryFailure(f"the Redis server refused or was lost: {reason}") from error
