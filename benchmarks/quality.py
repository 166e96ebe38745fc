"""Claim: the packaged reader finds what a careful reader marked, far more often than what needs no training.

    python benchmarks/quality.py LABELS.jsonl [--all]    # without --all: the tenth no training saw

In the same run, on the same reviews, by the same scores (trainer/metrics/labels_score.py): the
packaged reader; keyword rules, each sentence that holds a theme's words; and the nearest playbook
line, each clause by its sentence embedding (the base model of our reader, as it comes).
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from shared.inference.clauses import MIN_QUOTE_CHARS, clauses, quoted  # noqa: E402
from shared.inference.emotions import load_emotions  # noqa: E402
from shared.inference.playbook import Line  # noqa: E402
from shared.inference.prompts import MAX_ISSUES  # noqa: E402
from shared.inference.sentences import embed  # noqa: E402
from shared.inference.weights import resolve  # noqa: E402
from shared.review import Issue, Review  # noqa: E402
from shared.settings import MATCHER_BASE, Settings  # noqa: E402
from trainer.matcher import PLAYBOOK  # noqa: E402
from trainer.readings import in_dev, read_playbook, read_readings  # noqa: E402
from trainer.score import Reader, Scores, score  # noqa: E402
from trainer.serving import serving  # noqa: E402

SHOWN = ("quote", "theme", "problem", "main", "found", "silent")
# What a person would write down in an hour; in this order, the first theme that matches is taken.
KEYWORDS = {
    "safety": "unsafe|danger|injur|sick|food poison|stole|theft|harass|burn",
    "cleanliness": "dirt|filth|stain|hair in|cockroach|roach|bug|mold|mould|smell|gross",
    "billing": "refund|charge|overcharg|bill|fee|deposit|invoice",
    "waiting": "wait|slow|hour|minutes|forever|queue|line was|took so long",
    "staff": "rude|unfriendly|attitude|ignored|unprofessional|waitress|waiter|manager|staff|employee",
    "booking": "reservation|booking|booked|appointment|cancel|overbook",
    "delivery": "deliver|shipp|package|arriv|luggage|baggage|parcel",
    "digital": "app |website|login|log in|crash|update|bug|online",
    "communication": "no answer|no response|nobody told|call back|called|e-?mail|phone|inform",
    "accuracy": "wrong order|wrong item|forgot|missing|not what i ordered|mistake",
    "price": "expensive|overpriced|price|pricey|not worth|rip.?off",
    "description": "picture|photo|advertis|descri|size|misleading",
    "availability": "out of stock|sold out|closed|not available|selection|ran out",
    "policy": "policy|rule|not allowed|return",
    "facilities": "room|parking|noise|noisy|loud|air con|bathroom|elevator|crowded|wifi|bed",
    "quality": "cold|bland|dry|stale|broke|cheap|poor quality|terrible|awful|bad|disappoint|tasteless|soggy",
}
_NEGATION = re.compile(r"\b(?:not|no|never|n't|too|very|so|bad|worst|poor|only|but)\b|n't", re.I)
# Cosine from which a clause counts as telling of the nearest line's problem. Not tuned on labels, as
# a baseline that needs none would not be.
NEAR = 0.5


def keywords(reviews: Sequence[Review], felt: object) -> list[tuple[list[Issue], list[Issue]]]:
    """Sentences of a low-rated review that hold a theme's word, the first three."""
    return [(_by_words(review)[:MAX_ISSUES], []) for review in reviews]


def _by_words(review: Review) -> list[Issue]:
    out = []
    for start, end, _ in clauses(review.text):
        start, end = quoted(review.text, start, end)
        told = review.text[start:end]
        friendly = review.rating is not None and review.rating >= 4
        if end - start < MIN_QUOTE_CHARS or (friendly and not _NEGATION.search(told)):
            continue
        for theme, words in KEYWORDS.items():
            if re.search(words, told, re.I):
                out.append(Issue(theme=theme, evidence=told, start=start, end=end))  # type: ignore[arg-type]
                break
    return out


def nearest(base: Path, lines: Sequence[Line]) -> Reader:
    """Clauses that lie near a line's problem in the untrained embedding, nearest first."""
    places = embed(base, [line.problem for line in lines])

    def one(review: Review) -> list[Issue]:
        spans = [quoted(review.text, a, b) for a, b, _ in clauses(review.text)]
        spans = [(a, b) for a, b in spans if b - a >= MIN_QUOTE_CHARS]
        if not spans:
            return []
        near = embed(base, [review.text[a:b] for a, b in spans]) @ places.T
        out = {}
        for at in sorted(range(len(spans)), key=lambda i: -near[i].max()):
            line = lines[int(near[at].argmax())]
            if near[at].max() >= NEAR and line.problem not in out:
                a, b = spans[at]
                out[line.problem] = Issue(
                    theme=line.theme,  # type: ignore[arg-type]
                    problem=line.problem,
                    action=line.action,
                    evidence=review.text[a:b],
                    start=a,
                    end=b,
                )
        return list(out.values())[:MAX_ISSUES]

    return lambda reviews, felt: [(one(review), []) for review in reviews]


def shown(scores: Scores, seconds: float) -> str:
    every = scores.shares["all"]
    numbers = " ".join(f"{every[name].value:8.2f}" for name in SHOWN)
    return f"{scores.name:<32} {numbers} {scores.reviews['all'] / seconds:10.1f}"


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    settings = Settings(insight_adapter="packaged")
    lines, finder = read_playbook(PLAYBOOK)
    places = {line.problem: index for index, line in enumerate(lines)}
    labels = read_readings(Path(sys.argv[1]), finder)
    if "--all" not in sys.argv:
        labels = [one for one in labels if in_dev(one.key)]
    base = resolve(f"wheel:{MATCHER_BASE}", settings.cache)
    readers = [
        serving(settings),
        ("keyword rules", keywords),
        ("nearest line, untrained", nearest(base, lines)),
    ]
    emotions = load_emotions(settings)
    print(f"{len(labels)} labelled reviews; shares, see `beyond score`")
    print(f"{'':<32} " + " ".join(f"{name:>8}" for name in SHOWN) + "  reviews/s with emotions")
    for name, reader in readers:
        begun = time.perf_counter()
        scores = score(labels, name, reader, emotions, places)
        print(shown(scores, time.perf_counter() - begun), flush=True)


if __name__ == "__main__":
    main()
