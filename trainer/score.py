"""Read labelled reviews with the models that serve, and say how they agree with the labels, kind by kind.

What is scored is what a worker would store: the promoted adapter or the packaged one, shown and
unsure issues, present emotions. It does not know queues, pictures or how the models work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.errors import Misconfigured
from shared.inference.adapters import (
    check,
    default_for,
    open_registry,
    packaged_for,
    read_manifest,
)
from shared.inference.answer import answerer
from shared.inference.emotions import load_emotions
from shared.inference.matcher_folder import CONFIG, load_matcher
from shared.inference.prompts import Unparsable, parse_issues
from shared.review import Issue, Review, review_id
from shared.settings import MATCHER_BASE, Settings, base_name
from trainer.metrics.labels_score import (
    MEANING,
    Read,
    Share,
    agreed,
    calibration_error,
    shares,
    total,
)
from trainer.readings import Reading

ALL = "all"
_STEP = 64  # reviews between two lines of progress
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# (reviews, present emotions of each) -> (shown, unsure) issues of each
Reader = Callable[
    [Sequence[Review], Sequence[Sequence[str]]], list[tuple[list[Issue], list[Issue]]]
]


@dataclass(frozen=True)
class Scores:
    """Shares by kind ("all" first), and (confidence, right) of every shown or unsure issue that has one."""

    adapter: str
    reviews: dict[str, int]
    shares: dict[str, dict[str, Share]]
    pairs: list[tuple[float, bool]]

    def as_json(self) -> dict[str, Any]:
        """Every figure, NaN as null."""
        error = calibration_error(self.pairs)
        return {
            "adapter": self.adapter,
            "calibration_error": None if math.isnan(error) else round(error, 4),
            "kinds": {
                kind: {"reviews": self.reviews[kind]} | {n: _number(s) for n, s in scores.items()}
                for kind, scores in self.shares.items()
            },
        }


def _number(share: Share) -> float | None:
    return round(share.value, 4) if share.of else None


def review_of(reading: Reading, known_trade: bool = False) -> Review:
    """The labelled review as it would come in; its trade is told only if asked for."""
    return Review(
        id=review_id("labels", reading.key, reading.text, _EPOCH),
        source="labels",
        external_id=reading.key,
        text=reading.text,
        rating=reading.rating,
        category=reading.trade if known_trade else None,  # type: ignore[arg-type]
        created_at=_EPOCH,
    )


def score(
    readings: Sequence[Reading],
    settings: Settings,
    places: dict[str, int],
    *,
    known_trade: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Scores:
    """Read all and score.

    Args:
        readings: labelled reviews; quotes are looked for in the text as it is stored.
        settings: which models serve.
        places: index in the playbook of each problem sentence.
        known_trade: tell the reader each review's trade, as a platform would.
        say: called with one line of progress at a time.

    Raises:
        Misconfigured: there is nothing to score.
        ModelUnavailable: weights are missing.
    """
    if not readings:
        raise Misconfigured("the labels file has no reviews to score")
    name, reader = serving(settings)
    rows: dict[str, list[dict[str, Share]]] = {ALL: []}
    pairs: list[tuple[float, bool]] = []
    read = _read(readings, settings, reader, known_trade, say)
    for label, found in zip(readings, read, strict=True):
        row = shares(label, found, places)
        rows[ALL].append(row)
        rows.setdefault(label.kind, []).append(row)
        pairs += [
            (one.confidence, agreed(one, label.quotes, places).theme)
            for one in (*found.issues, *found.unsure)
            if one.confidence is not None
        ]
    kinds = sorted(rows, key=lambda kind: (-len(rows[kind]), kind))
    return Scores(
        name,
        {kind: len(rows[kind]) for kind in kinds},
        {kind: total(rows[kind]) for kind in kinds},
        pairs,
    )


def serving(settings: Settings) -> tuple[str, Reader]:
    """The adapter in force for `issues` and the function that reads with it: a matcher or a language model."""
    name, folder = _in_force(settings)
    if folder is not None and (folder / CONFIG).exists():
        return name, matched(folder, settings)
    ask = answerer(folder, "issues", settings)

    def generated(
        reviews: Sequence[Review], felt: Sequence[Sequence[str]]
    ) -> list[tuple[list[Issue], list[Issue]]]:
        return [
            (_parsed(raw, one), []) for raw, one in zip(ask(reviews, felt), reviews, strict=True)
        ]

    return name, generated


def _in_force(settings: Settings) -> tuple[str, Path | None]:
    """Id and folder of the adapter that a worker with these settings takes up (workers/hotswap.py)."""
    registry, choice = open_registry(settings), settings.insight_adapter
    if "/" in choice:
        manifest = read_manifest(Path(choice))
        check(Path(choice), manifest)
        return manifest.id, Path(choice)
    name: str | None = choice
    if choice == "promoted":
        name = default_for(registry, "issues", settings)
    elif choice == "packaged":
        matched = settings.insight_writer == "matched"
        name = packaged_for(MATCHER_BASE if matched else base_name(settings), "issues")
    return (name, registry.fetch(name)) if name and name != "none" else ("none", None)


def matched(folder: Path, settings: Settings) -> Reader:
    """The reader in a matcher's folder."""
    matcher = load_matcher(folder, threads=settings.threads, show=settings.confidence)
    return lambda reviews, felt: matcher.read(reviews)


def _parsed(raw: str, review: Review) -> list[Issue]:
    try:
        return parse_issues(raw, review.text)
    except Unparsable:  # a worker stores it without an insight: nothing is shown
        return []


def _read(
    readings: Sequence[Reading],
    settings: Settings,
    reader: Reader,
    known_trade: bool,
    say: Callable[[str], None],
) -> Iterator[Read]:
    emotions = load_emotions(settings)
    for start in range(0, len(readings), _STEP):
        reviews = [review_of(one, known_trade) for one in readings[start : start + _STEP]]
        felt = [one.present for one in emotions.classify([review.text for review in reviews])]
        for (issues, unsure), present in zip(reader(reviews, felt), felt, strict=True):
            yield Read(issues, unsure, present)
        say(f"{min(start + _STEP, len(readings))} of {len(readings)} read")


def table(scores: Scores) -> list[list[str]]:
    """Rows for people: kind, reviews, then every score in the order of MEANING; n/a where nothing is asked."""
    return [
        [kind, str(scores.reviews[kind])]
        + [f"{found[name].value:.2f}" if found[name].of else "n/a" for name in MEANING]
        for kind, found in scores.shares.items()
    ]
