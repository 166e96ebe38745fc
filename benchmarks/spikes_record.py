"""A corpus of benchmarks/spikes.py as reviews in a real record, and the flags that the program raises on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np

from consumers.record.database import open_database, writing
from consumers.record.project import apply
from consumers.record.scope import owner_scope
from consumers.topics.rising import spikes
from shared.review import THEMES, Analysis, Emotions, Insight, Issue, Review
from shared.settings import Settings

UNTIL = date(2026, 10, 31)
_FELT = Emotions(probabilities={"annoyance": 0.7}, present=("annoyance",))


def names(business: int, theme: int) -> tuple[str, str]:
    """Of a series, as the record has them."""
    return f"Business {business}", THEMES[theme]


def flags_of_record(counts: np.ndarray, reviews: np.ndarray, home: Path) -> set[tuple[str, str]]:
    """(business, theme) of the flags; counts [business, theme, week], reviews [business, week]."""
    engine = open_database(Settings(home=home))
    pairs = _pairs(counts, reviews)
    while some := list(islice(pairs, 1000)):
        with writing(engine) as connection:
            apply(connection, some)
    with engine.connect() as connection:
        found = spikes(connection, owner_scope(), UNTIL)
    engine.dispose()
    return {(spike.business, spike.key) for spike in found}


def _pairs(counts: np.ndarray, reviews: np.ndarray) -> Iterator[tuple[Review, Analysis]]:
    """Every issue in some review of its week, at most three in one."""
    weeks = reviews.shape[1]
    for business in range(len(reviews)):
        for week in range(weeks):
            end = datetime(UNTIL.year, UNTIL.month, UNTIL.day, 12, tzinfo=UTC) - timedelta(
                7 * (weeks - 1 - week)
            )
            told: list[list[int]] = [[] for _ in range(int(reviews[business, week]))]
            issues = np.repeat(np.arange(counts.shape[1]), counts[business, :, week])
            if len(issues) > 3 * len(told):
                raise ValueError("more than three issues a review: choose lower rates")
            for n, theme in enumerate(issues.tolist()):
                told[n % len(told)].append(theme)
            for n, themes in enumerate(told):
                moment = end - timedelta(days=n % 7)
                yield _review(f"{business}-{week}-{n}", business, moment, themes)


def _review(
    number: str, business: int, moment: datetime, themes: list[int]
) -> tuple[Review, Analysis]:
    words = [f"trouble {place}" for place in range(len(themes))]
    text = ", ".join(words) or "all well"
    review = Review(
        source="test",
        external_id=number,
        text=text,
        rating=2 if themes else 5,
        business=f"Business {business}",
        created_at=moment,
    )
    issues = tuple(
        Issue(
            theme=THEMES[theme],  # type: ignore[arg-type]
            evidence=word,
            start=text.index(word),
            end=text.index(word) + len(word),
        )
        for theme, word in zip(themes, words, strict=True)
    )
    insight = Insight(
        issues=issues,
        urgency="normal",
        urgency_reason="no danger",
        adapter="packaged",
        prompt_version="4",
    )
    return review, Analysis(
        review_id=review.id, emotions=_FELT, insight=insight, analysed_at=moment
    )
