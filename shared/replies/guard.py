"""What no public answer may say, whoever wrote it: five rules, each named where it is broken.

Promises of money or goods, promises of an outcome, asking for another review, admitting legal fault,
personal data. Patterns of English; names of people are not found by patterns. It judges texts and
does not know who wrote them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.inference.offers import offers_unsupported
from shared.privacy import holds_personal_data

_MONEY = re.compile(
    r"\b(?:we|i|us|let (?:us|me))\b[^.!?]{0,40}(?<!the )(?<!a )(?<!your )\b(?:refund|reimburse|compensate|waive)\b"
    r"|\b(?:on us|on the house|free of charge|at no (?:cost|charge)|your money back)\b"
    r"|\b(?:get|receive|an?|full|partial|\d+ ?%) (?:your )?(?:refund|discount|voucher|coupon|gift card|credit)\b"
    r"|[$€£] ?\d",
    re.I,
)
_OUTCOME = re.compile(
    r"\b(?:we|i) (?:can |do |hereby )?(?:promise|guarantee|assure|swear)\b|\byou have (?:our|my) word\b"
    r"|\b(?:will|shall|won't|wont|not going to|can't|cannot) (?:never |not )?happen again\b"
    r"|\bnever (?:again|happen)\b|\bguaranteed\b|\bwill be (?:fired|dismissed|disciplined|replaced)\b",
    re.I,
)
_REVIEW = re.compile(
    r"\b(?:chang|updat|edit|remov|delet|revis|reconsider|rais|improv|amend|tak\w* down|withdraw)\w*\b"
    r"[^.!?]{0,30}\b(?:review|rating|stars?|score)\b"
    r"|\b(?:5|five)[- ]stars?\b|\b(?:in exchange|in return) for\b|\b(?:positive|better|new) (?:review|rating)\b",
    re.I,
)
_FAULT = re.compile(
    r"\b(?:our|my) (?:own )?(?:fault|negligence|liability)\b|\b(?:negligent|liable|unlawful|illegal|at fault)\b"
    r"|\b(?:we|i) (?:fully |hereby )?(?:admit|confess)\b|\b(?:our|my) (?:food|product|staff|driver)[^.!?]{0,30}"
    r"\b(?:made|caused|poisoned|injured|discriminated)\b|\b(?:take|accept|bear)\w* (?:full |all |the )?(?:responsibility|blame)\b"
    r"|\bwe (?:poisoned|injured|hurt|overcharged|stole|discriminated|broke the law)\b"
    r"|\b(?:we|i) (?:are|were|am|was) (?:solely |fully )?(?:responsible for|to blame)\b",
    re.I,
)
# A number of this many digits that the review has too: an order, a booking, a telephone.
_LONG_NUMBER = re.compile(r"\d[\d -]{3,}\d")


@dataclass(frozen=True)
class Breach:
    """One broken rule: its name, what it forbids, and the words that break it."""

    rule: str
    forbids: str
    words: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.forbids} (“{self.words}”)"


_RULES = (
    ("money", "no promise of money, goods or favours", _MONEY),
    ("outcome", "no promise of what will or will not happen", _OUTCOME),
    ("review", "no request or reward for another review", _REVIEW),
    ("fault", "no admission of legal fault", _FAULT),
)


def breaches(text: str, review_text: str = "", signature: str = "") -> list[Breach]:
    """Every rule that the answer breaks, at most once each; empty: it may be approved.

    Args:
        text: the whole answer.
        review_text: what it answers; numbers copied from it count as personal.
        signature: the business's own last lines, which may give its telephone and address.
    """
    body = text.removesuffix(signature) if signature else text
    found = [
        Breach(rule, forbids, match.group().strip())
        for rule, forbids, pattern in _RULES
        if (match := pattern.search(body))
    ]
    if offers_unsupported(body, "") and not any(b.rule == "money" for b in found):
        found.append(Breach("money", _RULES[0][1], "an offer"))
    copied = [n for n in _LONG_NUMBER.findall(body) if n in review_text]
    if holds_personal_data(body) or copied:
        words = copied[0] if copied else "an e-mail address or a long number"
        found.append(Breach("personal data", "nothing that tells who the customer is", words))
    return found
