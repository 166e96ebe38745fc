"""What people judged about single issues, for the trainer: whether an issue is one. No review text.

A verdict belongs to one version of a review: where the text changed, the trainer leaves it out. It
does not know who shows issues or what is learned from verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from json import dumps, loads

import redis

from shared.stream.calls import call

_KEY = "b:verdicts"


@dataclass(frozen=True)
class Verdict:
    """Characters [start, end) of a review's version are an issue of this theme, or are none."""

    review_id: str
    version: str
    start: int
    end: int
    theme: str
    is_issue: bool


def note_verdicts(connection: redis.Redis, found: Mapping[str, Verdict | None]) -> None:
    """Keep verdicts by issue id; None takes one back.

    Raises:
        TemporaryFailure: the server cannot be used; repeating is safe.
    """
    kept = {i: dumps(asdict(verdict)) for i, verdict in found.items() if verdict is not None}
    gone = [i for i, verdict in found.items() if verdict is None]
    pipe = connection.pipeline(transaction=True)
    if kept:
        pipe.hset(_KEY, mapping=kept)
    if gone:
        pipe.hdel(_KEY, *gone)
    if kept or gone:
        call(pipe.execute)


def read_verdicts(connection: redis.Redis) -> dict[str, Verdict]:
    """All verdicts by issue id, in the order of the ids.

    Raises:
        TemporaryFailure: the server cannot be used.
    """
    found = call(lambda: connection.hgetall(_KEY))
    return {i.decode(): Verdict(**loads(text)) for i, text in sorted(found.items())}


def forget_verdicts(connection: redis.Redis, review_ids: Iterable[str]) -> int:
    """Remove the verdicts on these reviews, which are to be erased; how many there were.

    Raises:
        TemporaryFailure: the server cannot be used.
    """
    wanted = set(review_ids)
    theirs: Sequence[str] = [
        i for i, verdict in read_verdicts(connection).items() if verdict.review_id in wanted
    ]
    return int(call(lambda: connection.hdel(_KEY, *theirs))) if theirs else 0
