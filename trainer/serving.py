"""The reader in force: what a worker with these settings would find in a review.

It does not know labels or scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.inference.adapters import check, default_for, open_registry, packaged_for, read_manifest
from shared.inference.answer import answerer
from shared.inference.matcher_folder import CONFIG, load_matcher
from shared.inference.prompts import Unparsable, parse_issues
from shared.review import Issue, Review
from shared.settings import MATCHER_BASE, Settings, base_name
from trainer.score import Reader


def serving(settings: Settings) -> tuple[str, Reader]:
    """The adapter in force for `issues`, and the function that reads with it: a matcher or a language model.

    Raises:
        BadAdapter: it is missing or corrupt.
        ModelUnavailable: weights are missing.
    """
    name, folder = _in_force(settings)
    if folder is None or not (folder / CONFIG).exists():
        return name, _generated(folder, settings)
    matcher = load_matcher(folder, threads=settings.threads, show=settings.confidence)
    return name, lambda reviews, felt: matcher.read(reviews)


def _in_force(settings: Settings) -> tuple[str, Path | None]:
    """Id and folder of the adapter that BEYOND_INSIGHT_ADAPTER means; None: the bare model."""
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


def _generated(folder: Path | None, settings: Settings) -> Reader:
    ask = answerer(folder, "issues", settings)

    def read(
        reviews: Sequence[Review], felt: Sequence[Sequence[str]]
    ) -> list[tuple[list[Issue], list[Issue]]]:
        answers = ask(reviews, felt)
        return [(_parsed(raw, one), []) for raw, one in zip(answers, reviews, strict=True)]

    return read


def _parsed(raw: str, review: Review) -> list[Issue]:
    try:
        return parse_issues(raw, review.text)
    except Unparsable:  # a worker stores it without an insight: nothing is shown
        return []
