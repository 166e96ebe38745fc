"""What customers love: what happy reviews praise more often than unhappy ones do.

Things are ranked by class-based TF-IDF for two classes: the share of happy reviews that praise a
thing, times the log of how much larger that share is than among unhappy ones (the thing's part of
the Kullback-Leibler divergence between the two). English only. It does not know who asks for which
period, or how praise is recognised.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from consumers.report.praise import praised

LEAST_REVIEWS = 3  # what two reviews praise is chance,
_LEAST_SHARE = 0.002  # and so is what 9 of 5,000 do
_LEAST_RATIO = 1.2  # of the shares: below it, unhappy guests praise it as well
_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n+")
_QUOTE_CHARS, _QUOTE_BEST_CHARS = (20, 140), 65


@dataclass(frozen=True)
class Loved:
    """A thing in its most frequent praise ("friendly staff"), how many happy reviews praise it, one of their sentences."""

    phrase: str
    reviews: int
    quote: str
    review_id: str


def loved(happy: Sequence[tuple[str, str]], unhappy: Sequence[str], limit: int = 5) -> list[Loved]:
    """What sets happy reviews apart, the foremost first.

    Args:
        happy: (review id, text) of reviews with 4 or 5 stars.
        unhappy: texts of reviews with at most 3.
        limit: at most so many.
    """
    said: dict[str, Counter[str]] = defaultdict(Counter)  # thing -> how it is praised
    by: dict[str, list[int]] = defaultdict(list)  # thing -> places of the reviews that do
    for place, (_, text) in enumerate(happy):
        pairs = {(word, thing) for word, thing in praised(text)}
        for thing in sorted({_same(thing) for _, thing in pairs}):
            by[thing].append(place)
        for word, thing in sorted(pairs):
            said[_same(thing)][f"{word} {thing}"] += 1
    there = Counter(t for text in unhappy for t in {_same(thing) for _, thing in praised(text)})
    scores = _scores({t: len(p) for t, p in by.items()}, there, len(happy), len(unhappy))
    out: list[Loved] = []
    for thing in sorted(scores, key=lambda t: (-scores[t], t)):
        if len(out) == limit:
            break
        phrase = min(said[thing], key=lambda p: (-said[thing][p], p))
        found = _quote(phrase, thing, [happy[place] for place in by[thing]])
        if found:
            out.append(Loved(phrase, len(by[thing]), found[1], found[0]))
    return out


def _scores(
    here: dict[str, int], there: Counter[str], happy: int, unhappy: int
) -> dict[str, float]:
    """Thing -> how much its praise sets happy reviews apart.

    Half a review is added to both counts.
    """
    least = max(LEAST_REVIEWS, _LEAST_SHARE * happy)
    out = {}
    for thing, count in here.items():
        ratio = (count + 0.5) / (happy + 1) * (unhappy + 1) / (there[thing] + 0.5)
        if count >= least and (ratio >= _LEAST_RATIO or not unhappy):
            out[thing] = count / happy * math.log(max(ratio, _LEAST_RATIO))
    return out


def _quote(phrase: str, thing: str, reviews: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """Review id and a sentence that praises the thing, best in the phrase's own words, neither short nor long."""
    best: tuple[bool, int, str, str] | None = None
    for review, text in reviews:
        for found in _SENTENCES.split(text):
            sentence = " ".join(found.split()).lstrip("-–•*) ")
            if not _QUOTE_CHARS[0] <= len(sentence) <= _QUOTE_CHARS[1]:
                continue
            pairs = [(word, one) for word, one in praised(sentence) if _same(one) == thing]
            if pairs:
                other = all(f"{word} {one}" != phrase for word, one in pairs)
                key = (other, abs(len(sentence) - _QUOTE_BEST_CHARS), review, sentence)
                best = key if best is None else min(best, key)
    return None if best is None else best[2:]


def _same(thing: str) -> str:
    """What is named, singular: "beer selections" is a selection."""
    last = thing.rsplit(" ", 1)[-1]
    return last[:-1] if last.endswith("s") and not last.endswith("ss") else last
