"""What may leave: evidence is verbatim, no promise that the review doesn't carry, urgency by rule.

It does not know models or storage; it judges texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.inference.offers import offers_unsupported
from shared.review import Emotions, Insight, Issue, Review, Urgency

UNSUPPORTED_OFFER = "unsupported_offer"
_URGENT_THEMES = {"safety": "a safety matter", "billing": "money was taken or withheld"}


def guarded(issues: Sequence[Issue], review: Review) -> list[Issue]:
    """The issues that may leave: evidence verbatim (others are dropped), unsupported offers flagged, no repeats."""
    out: list[Issue] = []
    for issue in issues:
        if review.text[issue.start : issue.end] != issue.evidence:
            continue
        if any(issue.start < kept.end and kept.start < issue.end for kept in out):
            continue
        flagged = offers_unsupported(issue.action or "", review.text)
        out.append(issue.model_copy(update={"flags": (UNSUPPORTED_OFFER,)}) if flagged else issue)
    return out


def urgency(issues: Sequence[Issue], review: Review, emotions: Emotions) -> tuple[Urgency, str]:
    """Urgency and the reason for it, from theme, rating and emotions."""
    for issue in issues:
        if issue.theme in _URGENT_THEMES:
            return "high", _URGENT_THEMES[issue.theme]
    strong = [e for e in ("anger", "fear", "disgust") if e in emotions.present]
    low = review.rating is not None and review.rating <= 2
    if strong and (low or review.rating is None):
        return (
            "high",
            f"{strong[0]} in a review rated {f'{review.rating:g}/5' if review.rating else 'without stars'}",
        )
    if not issues:
        return "low", "no issue was found"
    if review.rating is not None and review.rating >= 4:
        return "low", f"rated {review.rating:g}/5 all the same"
    return "normal", "an issue without danger, money or strong anger"


def insight(
    issues: Sequence[Issue],
    review: Review,
    emotions: Emotions,
    adapter: str,
    prompt_version: str,
    *,
    unsure: Sequence[Issue] = (),
) -> Insight:
    """The guarded Insight of one review; what is unsure has no say in its urgency."""
    kept = guarded(issues, review)
    level, reason = urgency(kept, review, emotions)
    return Insight(
        issues=tuple(kept),
        unsure=tuple(guarded(unsure, review)),
        urgency=level,
        urgency_reason=reason,
        adapter=adapter,
        prompt_version=prompt_version,
    )
