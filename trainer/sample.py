"""Which stored reviews a teacher should label: stratified, without near-duplicates, hostile texts or personal data.

The fixed holdout is decided by review id alone (trainer/examples.py), so sampling cannot move a
review into training. It does not know teachers or models.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rbloom import Bloom

from shared.addressed import addresses_machine
from shared.insight_rule import why_no_insight
from shared.privacy import holds_personal_data
from shared.review import Analysis, Review
from trainer.examples import Label

# Words in a row that are compared: shorter runs are common phrases, longer ones break at each typo.
_SHINGLE_WORDS = 6
# A text is a near-copy when more than this share of its shingles was seen. Measured on 2,077
# reviews: none is taken for a copy of another, and all copies of 600 of them (a typo every 25
# words, a sentence more or less, cut at 70%) are found.
_NEAR_SHARE = 0.5
# The first filter's shingles; each further one holds twice as many. And how often one filter takes
# an unseen shingle for a seen one: it decides alone only for texts of six words and less.
_FIRST_FILTER_SHINGLES, _FALSE_SHARE = 100_000, 0.001


@dataclass
class Sample:
    """Chosen reviews as labels without answers, and why others were left out."""

    labels: list[Label] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


class Duplicates:
    """Near-duplicates: more than half of a text's 6-word shingles were seen before (Broder 1997).

    Shingles are kept in Bloom filters of doubling size: 1.8 bytes each where filters are full, up
    to twice that just after a new one was begun (a set of hashes took 93).
    """

    def __init__(self) -> None:
        self._filters: list[Bloom] = []
        self._room_shingles = 0

    def is_new(self, text: str) -> bool:
        """Whether the text is no near-copy of an earlier one; a new text is remembered."""
        words = re.findall(r"\w+", text.lower())
        starts = range(max(1, len(words) - _SHINGLE_WORDS + 1))
        shingles = {" ".join(words[i : i + _SHINGLE_WORDS]) for i in starts}
        seen = sum(any(shingle in kept for kept in self._filters) for shingle in shingles)
        if seen > _NEAR_SHARE * len(shingles):
            return False
        if self._room_shingles < len(shingles):
            capacity = _FIRST_FILTER_SHINGLES << len(self._filters)
            self._filters.append(Bloom(capacity, _FALSE_SHARE, hash_func=_hashed))
            self._room_shingles = capacity
        self._filters[-1].update(shingles)
        self._room_shingles -= len(shingles)
        return True

    @property
    def bytes_held(self) -> int:
        """Memory of all filters."""
        return sum(kept.size_in_bits for kept in self._filters) // 8


def _hashed(shingle: str) -> int:
    # Not Python's own hash, which differs by process: the same store must give the same sample.
    return int.from_bytes(
        hashlib.blake2b(shingle.encode(), digest_size=16).digest(), "big", signed=True
    )


def quarantined(text: str) -> str | None:
    """Why a text must not reach a teacher or a training set, or None."""
    if addresses_machine(text):
        return "hostile"
    return "personal data" if holds_personal_data(text) else None


def stratum(review: Review, analysis: Analysis | None) -> tuple[str, str, str, str]:
    """(theme of the first issue, strongest emotion, rating band, business): what a sample should be even over."""
    issues = analysis.insight.issues if analysis and analysis.insight else ()
    emotion = analysis.emotions.present[0] if analysis and analysis.emotions.present else ""
    band = (
        ""
        if review.rating is None
        else "low"
        if review.rating <= 2
        else "mid"
        if review.rating <= 3
        else "high"
    )
    return (issues[0].theme if issues else "", emotion, band, review.business or "")


def sample(
    stored: Iterable[tuple[Review, Analysis | None]],
    limit: int,
    labelled: Callable[[Label], bool] = lambda label: False,
) -> Sample:
    """Choose up to `limit` new reviews.

    Args:
        stored: every stored review with its analysis, e.g. `Store.all()`; read once.
        limit: how many to choose.
        labelled: whether a review has a label already; such ones are kept for training but do not
            use up `limit`.

    Returns:
        The already labelled ones, then new ones taken from all strata in turn, rarest first;
        deterministic.
    """
    out, fresh = Sample(), Duplicates()
    strata: dict[tuple[str, ...], list[Label]] = defaultdict(list)
    for review, analysis in stored:
        if why_no_insight(review, analysis.emotions if analysis else None):
            out.left_out["needs no insight"] += 1
        elif reason := quarantined(review.text):
            out.left_out[reason] += 1
        elif not fresh.is_new(review.text):
            out.left_out["near-duplicate"] += 1
        else:
            label = Label(review, emotions=analysis.emotions.present if analysis else ())
            if labelled(label):
                out.labels.append(label)
            else:
                strata[stratum(review, analysis)].append(label)
    chosen = _in_turn(strata, limit)
    out.left_out["beyond the limit"] += sum(map(len, strata.values())) - len(chosen)
    out.labels += chosen
    return out


def _in_turn(strata: dict[tuple[str, ...], list[Label]], limit: int) -> list[Label]:
    # By a hash of the id: an order that favours no date, and is the same next time.
    def order(label: Label) -> str:
        return hashlib.sha256(f"sample {label.review.id}".encode()).hexdigest()

    queues = [
        sorted(group, key=order)
        for _, group in sorted(strata.items(), key=lambda item: (len(item[1]), item[0]))
    ]
    chosen: list[Label] = []
    depth = 0
    while len(chosen) < limit and any(depth < len(q) for q in queues):
        chosen += [q[depth] for q in queues if depth < len(q)][: limit - len(chosen)]
        depth += 1
    return chosen
