"""A record with synthetic analysed reviews, made by the projector's own functions: for tests and benchmarks.

    engine = filled(open_database(settings), 2000)

Several businesses, sources, trades, languages, two years of days, all themes and urgencies; the
same number and seed give the same reviews. A tenth still waits for its analysis.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from sqlalchemy import Engine

from consumers.record.database import writing
from consumers.record.project import apply
from shared.review import EMOTIONS, NEGATIVE, THEMES, Analysis, Emotions, Insight, Issue, Review

NEWEST = datetime(2026, 10, 31, tzinfo=UTC)
DAYS = 730
BUSINESSES = ("Harbour Grill", "Hotel Linde", "Nordic Outfitters", "Café Zoë & Söhne", "")
TRADES = ("food", "lodging", "clothing", "food", None)
SOURCES = ("google", "trustpilot", "judgeme", "csv")
SUBJECTS = (
    "soup",
    "room",
    "waiter",
    "parcel",
    "invoice",
    "shower",
    "jacket",
    "app",
    "menu",
    "queue",
)
FAULTS = (
    "was cold when it came",
    "took forty minutes too long",
    "was dirty and smelled",
    "was charged twice",
    "broke after two days",
    "did not match its description",
)
PRAISES = (
    "We liked the friendly people at the door.",
    "Lovely view over the water.",
    "Good value for the money.",
    "My family enjoyed the evening.",
)
BATCH = 1000


def synthetic(
    count: int, seed: int = 0, newest: datetime = NEWEST, in_order: bool = False
) -> Iterator[tuple[Review, Analysis | None]]:
    """`count` reviews with their analyses, in no order of time, or oldest first."""
    draw = random.Random(seed)
    for number in range(count):
        back = draw.randrange(DAYS * 86400)
        if in_order:
            back = DAYS * 86400 * (count - number) // count
        moment = newest - timedelta(seconds=back)
        review, fault = _review(draw, f"s{seed}-{number}", moment)
        yield review, _analysis(draw, review, fault) if draw.random() < 0.9 else None


def filled(
    engine: Engine, count: int, seed: int = 0, newest: datetime = NEWEST, in_order: bool = False
) -> Engine:
    """The engine, its record holding `count` synthetic reviews more."""
    pairs = synthetic(count, seed, newest, in_order)
    while some := list(islice(pairs, BATCH)):
        with writing(engine) as connection:
            apply(connection, some)
    return engine


def _review(draw: random.Random, identity: str, moment: datetime) -> tuple[Review, str]:
    place = draw.randrange(len(BUSINESSES))
    rating = draw.choice([1, 2, 3, 4, 5, 5, 4.5, None])
    fault = f"The {draw.choice(SUBJECTS)} {draw.choice(FAULTS)}"
    praise = " ".join(draw.sample(PRAISES, draw.randint(1, 3)))
    bad = rating is None or rating <= 3
    text = f"{fault}. {praise} Visit number {identity}." if bad else f"{praise} ({identity})"
    review = Review(
        source=draw.choice(SOURCES),
        external_id=identity,
        text=text,
        title=draw.choice([None, "Our visit", "Never again" if bad else "Highly recommended"]),
        rating=rating,
        business=BUSINESSES[place] or None,
        category=TRADES[place],
        author=f"{draw.randrange(10**6):064x}",
        language=draw.choice(["en", "en", "en", "de", None]),
        created_at=moment,
    )
    return review, fault if bad else ""


def _analysis(draw: random.Random, review: Review, fault: str) -> Analysis:
    felt = draw.sample(
        sorted(NEGATIVE) if fault else ["joy", "admiration", "gratitude", "approval"], 2
    )
    strengths = {e: round(draw.random() / 20, 4) for e in EMOTIONS} | {
        felt[0]: round(0.6 + draw.random() / 3, 4),
        felt[1]: round(0.3 + draw.random() / 4, 4),
    }
    emotions = Emotions(probabilities=strengths, present=tuple(felt))
    moment = review.created_at + timedelta(minutes=draw.randint(1, 90))
    models = {"emotions": "packaged:goemotions-minilm"}
    if not fault:
        return Analysis(
            review_id=review.id,
            emotions=emotions,
            insight_reason="rated well",
            models=models,
            analysed_at=moment,
        )
    issue = Issue(
        theme=draw.choice(THEMES),
        problem=f"{fault}." if draw.random() < 0.8 else None,
        evidence=fault,
        start=0,
        end=len(fault),
        action="Check it before it leaves." if draw.random() < 0.8 else None,
        confidence=round(draw.random(), 3),
    )
    sure = draw.random() < 0.8
    insight = Insight(
        issues=(issue,) if sure else (),
        unsure=() if sure else (issue,),
        urgency=draw.choice(["low", "normal", "normal", "high"]),
        urgency_reason="an issue without danger, money or strong anger",
        adapter="packaged",
        prompt_version="4",
    )
    return Analysis(
        review_id=review.id, emotions=emotions, insight=insight, models=models, analysed_at=moment
    )
