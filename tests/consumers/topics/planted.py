"""A record whose issues tell of a few things, each in many words: what topics should come out is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from consumers.record.database import writing
from consumers.record.project import apply
from shared.review import Analysis, Emotions, Insight, Issue, Review, Theme

NEWEST = datetime(2026, 10, 31, tzinfo=UTC)
# Kind -> theme, problem (none: the quotes speak for themselves), beginnings and endings of quotes.
KINDS: dict[str, tuple[Theme, str | None, Sequence[str], Sequence[str]]] = {
    "parking": (
        "facilities",
        None,
        ("There was no parking", "We circled for a parking space", "The car park was full"),
        ("at all", "on Saturday", "for half an hour", "again", "near the entrance", "as always"),
    ),
    "late": (
        "delivery",
        "The delivery was late or has not arrived.",
        ("The parcel came late", "My order has not arrived", "Delivery took three weeks"),
        ("again", "this time", "without any notice", "before Christmas", "to my door", "sadly"),
    ),
    "rude": (
        "staff",
        "An employee was rude, disrespectful or dismissive.",
        ("The waiter was rude", "The receptionist was rude to me", "Staff rolled their eyes"),
        ("from the start", "when I asked", "to my mother", "all evening", "twice", "for no reason"),
    ),
}


def plant(
    engine: Engine,
    kind: str,
    count: int,
    *,
    newest: datetime = NEWEST,
    days: int = 60,
    business: str = "Harbour Grill",
    seed: int = 0,
) -> list[str]:
    """Write `count` reviews of two stars with one issue of a kind, spread over the days before `newest`; their ids."""
    theme, problem, beginnings, endings = KINDS[kind]
    draw = random.Random(f"{kind} {seed}")
    pairs = []
    for number in range(count):
        quote = f"{draw.choice(beginnings)} {draw.choice(endings)}"
        review = Review(
            source="test",
            external_id=f"{kind}-{seed}-{number}",
            text=f"{quote}. That was visit {number}.",
            rating=2,
            business=business,
            created_at=newest - timedelta(seconds=draw.randrange(days * 86400)),
        )
        issue = Issue(theme=theme, problem=problem, evidence=quote, start=0, end=len(quote))
        insight = Insight(
            issues=(issue,),
            urgency="normal",
            urgency_reason="no danger",
            adapter="packaged",
            prompt_version="4",
        )
        felt = Emotions(probabilities={"annoyance": 0.8}, present=("annoyance",))
        analysis = Analysis(
            review_id=review.id, emotions=felt, insight=insight, analysed_at=review.created_at
        )
        pairs.append((review, analysis))
    with writing(engine) as connection:
        apply(connection, pairs)
    return [review.id for review, _ in pairs]
