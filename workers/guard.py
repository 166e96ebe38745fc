"""What may leave: evidence is verbatim, no promise that the review doesn't carry, urgency by rule.

It does not know models or storage; it judges texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.review import Emotions, Insight, Issue, Review, Urgency

# Money, goods or favours offered to the customer. Verb and object must meet: "check refunds daily" offers nothing.
_GIVES = r"\b(?:offer|offers|offering|give|giving|send|sending|provide|issue|grant|credit|compensate|reimburse|comp|waive)\b"
_GOODS = (
    r"\b(?:refunds?|money back|compensation|discounts?|vouchers?|coupons?|gift cards?|free|complimentary|credits?|"
    r"rebates?|on the house|replacements?)\b"
)
_OFFER = re.compile(
    rf"{_GIVES}[^.;]{{0,60}}?{_GOODS}|\b(?:refund|reimburse|compensate)\b (?:the|her|him|them|you|guests?|customers?)", re.I
)
_MENTIONED = re.compile(
    r"refund|money back|compensat|discount|voucher|coupon|gift card|free|complimentary|credit|rebate|on the house|"
    r"replace|reimburs|waive|charged",
    re.I,
)
UNSUPPORTED_OFFER = "unsupported_offer"
_URGENT_THEMES = {"safety": "a safety matter", "billing": "money was taken or withheld"}


def offers_unsupported(action: str, review_text: str) -> bool:
    """Whether the action gives money, goods or favours of which the review says nothing."""
    return bool(_OFFER.search(action)) and not _MENTIONED.search(review_text)


def guarded(issues: Sequence[Issue], review: Review) -> list[Issue]:
    """The issues that may leave: evidence verbatim (others are dropped), unsupported offers flagged, no repeats."""
    out: list[Issue] = []
    for issue in issues:
        if review.text[issue.start : issue.end] != issue.evidence:
            continue
        if any(issue.start < kept.end and kept.start < issue.end for kept in out):
            continue
        flagged = offers_unsupported(issue.action, review.text)
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
        return "high", f"{strong[0]} in a review rated {f'{review.rating:g}/5' if review.rating else 'without stars'}"
    if not issues:
        return "low", "no issue was found"
    if review.rating is not None and review.rating >= 4:
        return "low", f"rated {review.rating:g}/5 all the same"
    return "normal", "an issue without danger, money or strong anger"


def insight(issues: Sequence[Issue], review: Review, emotions: Emotions, adapter: str, prompt_version: str) -> Insight:
    """The guarded Insight of one review."""
    kept = guarded(issues, review)
    level, reason = urgency(kept, review, emotions)
    return Insight(issues=tuple(kept), urgency=level, urgency_reason=reason, adapter=adapter, prompt_version=prompt_version)
