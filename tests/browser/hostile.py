"""Reviews that try to be more than words: markup, scripts, marks that turn the writing, and sheer length."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from shared.review import EMOTIONS, Analysis, Emotions, Insight, Issue, Review

BUSINESS = "<img src=x onerror=alert(1)>"
MOMENT = datetime(2026, 10, 31, 12, tzinfo=UTC)
TEXTS = {
    "script": "<script>alert('x')</script> was what the waiter said.",
    "attribute": "\"><svg onload=alert(2)> & 'quoted' {{ 7 * 7 }} {% raw %} ${8*8}",
    "turned": "The bill was \u202e5.99\u202c and then \u2067\u05e9\u05dc\u05d5\u05dd more text.",
    "zero width": "Never\u200b\u200d again\ufeff, \u2060said everybody.",
    "long": "Waiting and waiting " * 999 + "to the end.",
    "unbroken": "W" * 20_000,
}


def hostile() -> Iterator[tuple[Review, Analysis]]:
    """One analysed review for each text; its first words are the evidence of an issue."""
    for number, (name, text) in enumerate(TEXTS.items()):
        review = Review(
            source="hostile",
            external_id=name,
            text=text,
            title=f"<b>{name}</b>",
            rating=1,
            business=BUSINESS,
            author="<i>author</i>",
            url="javascript:alert(3)",
            created_at=MOMENT + timedelta(minutes=number),
        )
        evidence = review.text[:40]
        issue = Issue(
            theme="staff",
            problem="<script>alert(4)</script> is a problem.",
            evidence=evidence,
            start=0,
            end=len(evidence),
            action="<a href='javascript:alert(5)'>Do it.</a>",
            confidence=0.9,
        )
        emotions = Emotions(
            probabilities={e: 0.9 if e == "anger" else 0.01 for e in EMOTIONS}, present=("anger",)
        )
        insight = Insight(
            issues=(issue,),
            urgency="high",
            urgency_reason="<u>strong anger</u>",
            adapter="<adapter>",
            prompt_version="1",
        )
        yield (
            review,
            Analysis(review_id=review.id, emotions=emotions, insight=insight, analysed_at=MOMENT),
        )
