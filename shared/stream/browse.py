"""Reading the store without reading all of it: newest first, oldest first, some days, at random.

Every command touches one small set or one page of records, so nobody else waits (days.py has the
layout). Reviews that come or go meanwhile may be seen or not; none is seen twice unless its date
changes. It does not write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import redis

from shared.review import Analysis, Review
from shared.stream.calls import call
from shared.stream.days import SIZES, leaves_key, set_key
from shared.stream.records import unpack_pair

Pair = tuple[Review, Analysis | None]
# Reviews that are fetched at once: some 0.5 MB and 5 ms.
PAGE_REVIEWS = 500
# Reviews of one hour that are put in order together: some 25 MB of Python objects. An hour that has
# more is an import without times of day, whose order within the hour means nothing.
SORTED_REVIEWS = 5000
# Ids that one SSCAN returns, about; some 0.1 ms of the server's time.
_SCAN_IDS = 500
_EPOCH = date(1970, 1, 1)


class Browse:
    """Iterators over stored reviews with their analyses (None while they wait).

    Args:
        connection: the server.
        analysed: only reviews that have an analysis; others are not even fetched.

    All raise TemporaryFailure when the server cannot be used.
    """

    def __init__(self, connection: redis.Redis, *, analysed: bool = False) -> None:
        self._redis, self._analysed = connection, analysed

    def days(self) -> dict[date, int]:
        """How many reviews each day has that has any, oldest first. One command."""
        return {_EPOCH + timedelta(days=day): size for day, size in self._sizes().items()}

    def oldest_first(self, first: date = date.min, last: date = date.max) -> Iterator[Pair]:
        """By time, from day `first` to day `last` (UTC, both included).

        The order is exact, except within an hour of more than SORTED_REVIEWS reviews.
        """
        for day in self._sizes():
            if first <= _EPOCH + timedelta(days=day) <= last:
                yield from self._day(day, newest=False)

    def newest_first(self) -> Iterator[Pair]:
        """By time, backwards; take as many as you need. Exact as `oldest_first` is."""
        for day in reversed(self._sizes()):
            yield from self._day(day, newest=True)

    def ids(self) -> Iterator[list[str]]:
        """Ids of all reviews, a page at a time, oldest day first.

        The reviews themselves are not read.
        """
        waiting: list[str] = []
        for day in self._sizes():
            for key in [set_key(day), *(k for keys in self._hours(day).values() for k in keys)]:
                waiting += sorted(self._ids(key))
                while len(waiting) >= PAGE_REVIEWS:
                    yield waiting[:PAGE_REVIEWS]
                    waiting = waiting[PAGE_REVIEWS:]
        if waiting:
            yield waiting

    def sample(self, count: int, seed: int = 0) -> Iterator[Pair]:
        """`count` reviews drawn at random without replacement, each with the same chance; all where there are fewer.

        The number from each day, then from each set of the day, is drawn (multivariate
        hypergeometric), then the ids within the set: so nothing is kept but the days' sizes and
        one page, and what is read is in proportion to `count`. The same store and seed give the same
        sample, in an order of days that is random too. With `analysed`, waiting reviews are drawn
        and left out, so fewer come.
        """
        import numpy

        random = numpy.random.default_rng(seed)
        for day, wanted in _draw(random, self._sizes(), count):
            keys = sorted([set_key(day), *(k for ks in self._hours(day).values() for k in ks)])
            sizes = dict(zip(keys, self._many("SCARD", [(k,) for k in keys]), strict=True))
            chosen: list[str] = []
            for key, some in _draw(random, sizes, wanted):
                ids = sorted(self._ids(key))
                chosen += random.choice(ids, min(some, len(ids)), replace=False).tolist()
                while len(chosen) >= PAGE_REVIEWS:
                    yield from self._read(chosen[:PAGE_REVIEWS])
                    chosen = chosen[PAGE_REVIEWS:]
            yield from self._read(chosen)

    def _day(self, day: int, newest: bool) -> Iterator[Pair]:
        """One day in order: its first set has any hour, further ones say theirs."""
        first: dict[int, list[Pair]] = {}
        for pair in self._pairs([set_key(day)]):
            first.setdefault(pair[0].created_at.hour, []).append(pair)
        hours = self._hours(day)
        for hour in sorted(first.keys() | hours.keys(), reverse=newest):
            kept = first.get(hour, [])
            for pair in self._pairs(hours.get(hour, [])):
                kept.append(pair)
                if len(kept) >= SORTED_REVIEWS:
                    yield from _by_time(kept, newest)
                    kept = []
            yield from _by_time(kept, newest)

    def _sizes(self) -> dict[int, int]:
        found = call(lambda: self._redis.hgetall(SIZES))
        return dict(sorted((int(day), int(size)) for day, size in found.items()))

    def _hours(self, day: int) -> dict[int, list[str]]:
        """Hour -> keys of the sets that a day has beside its first."""
        out: dict[int, list[str]] = {}
        for leaf in sorted(self._ids(leaves_key(day))):
            out.setdefault(int(leaf.split(":")[0]), []).append(set_key(day, leaf))
        return out

    def _ids(self, key: str) -> set[str]:
        """The members of one set, a page at a time: SMEMBERS of a big one would make everybody wait."""
        return call(lambda: {i.decode() for i in self._redis.sscan_iter(key, count=_SCAN_IDS)})

    def _pairs(self, keys: Sequence[str]) -> Iterator[Pair]:
        waiting: list[str] = []
        for key in keys:
            waiting += self._ids(key)
            while len(waiting) >= PAGE_REVIEWS:
                yield from self._read(waiting[:PAGE_REVIEWS])
                waiting = waiting[PAGE_REVIEWS:]
        yield from self._read(waiting)

    def _read(self, ids: Sequence[str]) -> list[Pair]:
        """The pairs of those ids that still exist."""
        if self._analysed and ids:
            there = self._many("EXISTS", [(f"b:a:{i}",) for i in ids])
            ids = [i for i, exists in zip(ids, there, strict=True) if exists]
        if not ids:
            return []
        keys = [[prefix + i for i in ids] for prefix in ("b:r:", "b:a:")]
        reviews, analyses = self._many("MGET", keys)
        return [
            pair
            for i, review, analysis in zip(ids, reviews, analyses, strict=True)
            if review is not None
            and ((pair := unpack_pair(i, review, analysis))[1] is not None or not self._analysed)
        ]

    def _many(self, command: str, calls: Iterable[Sequence[str]]) -> list:  # type: ignore[type-arg]
        pipe = self._redis.pipeline(transaction=False)
        for arguments in calls:
            pipe.execute_command(command, *arguments)
        return list(call(pipe.execute))


def day_number(moment: datetime) -> int:
    """Days since 1970, as the index counts them."""
    return (moment.astimezone(UTC).date() - _EPOCH).days


def _by_time(pairs: list[Pair], newest: bool) -> list[Pair]:
    return sorted(pairs, key=lambda pair: (pair[0].created_at, pair[0].id), reverse=newest)


def _draw(random, sizes: dict, count: int) -> Iterator[tuple]:  # type: ignore[no-untyped-def,type-arg]
    """(group, how many of it) of a draw of `count` from all groups together, groups in random order."""
    names, limits = list(sizes), list(sizes.values())
    if count >= sum(limits):
        wanted = limits
    else:
        wanted = random.multivariate_hypergeometric(limits, count, method="marginals").tolist()
    for place in random.permutation(len(names)).tolist():
        if wanted[place]:
            yield names[place], wanted[place]
