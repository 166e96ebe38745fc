"""Offers of money, goods or favours: a draft must not promise what the review does not speak of.

Used by the workers' guard and by the trainer, which drops such labels and measures such answers. It
judges texts.
"""

from __future__ import annotations

import re

# Money, goods or favours offered to the customer. Verb and object must meet: "check refunds daily"
# offers nothing.
_GIVES = r"\b(?:offer|offers|offering|give|giving|send|sending|provide|issue|grant|credit|compensate|reimburse|comp|waive)\b"
_GOODS = (
    r"\b(?:refunds?|money back|compensation|discounts?|vouchers?|coupons?|gift cards?|free|complimentary|credits?|"
    r"rebates?|on the house|replacements?)\b"
)
_OFFER = re.compile(
    rf"{_GIVES}[^.;]{{0,60}}?{_GOODS}"
    r"|\b(?:refund|reimburse|compensate)\b (?:the|her|him|them|you|every\w*|all|guests?|customers?)",
    re.I,
)
_MENTIONED = re.compile(
    r"refund|money back|compensat|discount|voucher|coupon|gift card|free|complimentary|credit|rebate|on the house|"
    r"replace|reimburs|waive|charged",
    re.I,
)


def offers_unsupported(text: str, review_text: str) -> bool:
    """Whether the text (an action, a reply) gives money, goods or favours of which the review says nothing."""
    return bool(_OFFER.search(text)) and not _MENTIONED.search(review_text)
