"""A record of a small restaurant whose report is known: what hurts, what is loved, what rises."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from consumers.record.database import writing
from consumers.record.project import apply
from shared.review import Analysis, Emotions, Insight, Issue, Review, Theme, Urgency

NEWEST = datetime(2026, 10, 31, 12, tzinfo=UTC)
HAPPY = (
    "We had such friendly staff at our table. We come again.",
    "The staff were really friendly and the terrace lovely in the sun!",
    "Fresh fish and friendly staff, as always by the harbour.",
    "What a lovely terrace to sit on. The fish was very fresh.",
)
COMPLAINTS: dict[Theme, tuple[str, str, str]] = {
    "waiting": (
        "We waited fifty minutes for our soup",
        "The customer waited far too long for food or drinks.",
        "Send a second cook to the pass on Fridays.",
    ),
    "price": (
        "Nine euros for a small beer is too much",
        "The price was too high for what the customer got.",
        "Compare the drinks' prices with the neighbours'.",
    ),
}


def review(
    number: str,
    text: str,
    rating: float | None,
    created_at: datetime,
    business: str | None = "Harbour Grill",
) -> Review:
    return Review(
        source="google",
        external_id=number,
        text=text,
        rating=rating,
        business=business,
        created_at=created_at,
        language="en",
    )


def happy(one: Review) -> tuple[Review, Analysis]:
    felt = Emotions(probabilities={"joy": 0.8, "love": 0.6}, present=("joy", "love"))
    return one, Analysis(
        review_id=one.id, emotions=felt, insight_reason="rated well", analysed_at=one.created_at
    )


def unhappy(
    one: Review, theme: Theme, urgency: Urgency = "normal", quote: str | None = None
) -> tuple[Review, Analysis]:
    said, problem, action = COMPLAINTS[theme]
    said = quote or said
    start = one.text.index(said)
    issue = Issue(
        theme=theme,
        problem=problem,
        action=action,
        evidence=said,
        start=start,
        end=start + len(said),
        confidence=0.9,
    )
    insight = Insight(
        issues=(issue,),
        urgency=urgency,
        urgency_reason="by rule",
        adapter="packaged",
        prompt_version="4",
    )
    felt = Emotions(probabilities={"annoyance": 0.8}, present=("annoyance",))
    return one, Analysis(
        review_id=one.id, emotions=felt, insight=insight, analysed_at=one.created_at
    )


def write(engine: Engine, pairs: Sequence[tuple[Review, Analysis]]) -> None:
    with writing(engine) as connection:
        apply(connection, pairs)


def restaurant(engine: Engine, seed: int = 0) -> Engine:
    """Ninety days: 300 happy reviews, 60 about waiting (40 of them in the last week), 30 about prices."""
    draw = random.Random(seed)

    def moment(days: float) -> datetime:
        return NEWEST - timedelta(seconds=draw.randrange(int(days * 86400)))

    pairs = [
        happy(review(f"h{n}", f"{draw.choice(HAPPY)} (visit {n})", draw.choice([4, 5]), moment(90)))
        for n in range(300)
    ]
    for theme, count, days in (("waiting", 20, 90), ("waiting", 40, 6), ("price", 30, 90)):
        said = COMPLAINTS[theme][0]  # type: ignore[index]
        for n in range(count):
            one = review(f"{theme}{days}-{n}", f"{said}. That was visit {n}.", 2, moment(days))
            pairs.append(unhappy(one, theme, "high" if theme == "waiting" else "normal"))  # type: ignore[arg-type]
    write(engine, pairs)
    return engine
