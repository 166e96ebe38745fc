"""Personal data in a text: e-mail addresses, phone and card numbers; and authors as keyed hashes.

Intake redacts before storage, the trainer keeps texts that hold any from teachers and training, the
guard of replies lets none out. Phone numbers are Google's libphonenumber's matter: a number must be
one that its country gives out, written as it is written there or introduced as one; so order
numbers, prices and dates stay, which a business needs. Names and postal addresses are not looked
for. It does not know reviews or where texts come from.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from itertools import islice

EMAIL_MARK, NUMBER_MARK = "[email]", "[number]"
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
# Seven digits, however they are written, are the least that a phone number has; most texts have
# none, and the library, which takes milliseconds, is not asked about them.
_DIGITS = re.compile(r"\d(?:[^\w\n]{0,4}\d){6}")
# ISO 7812: 13 to 19 digits, in fours or (American Express) 4-6-5, or together.
_CARD = re.compile(
    r"(?<![\w+-])(?:\d{13,19}|\d{4}(?:[ -]\d{4}){2,3}[ -]\d{1,7}|\d{4}[ -]\d{6}[ -]\d{5})(?![\w-])"
)
# Just before a number: what says that it is one of ours, or a telephone.
_OURS = re.compile(
    r"(?:\b(?:order|booking|reservation|reference|ref|invoice|tracking|ticket|case|confirmation|account|item|model"
    r"|serial|flight|policy|claim|id|sku|imei|isbn)\b[^\w\n]*(?:(?:number|num|no|nr|id|is|was|code)\b[^\w\n]*){0,2}|[#/=&$€£]\s?)$",
    re.I,
)
_TELEPHONE = re.compile(
    r"\b(?:call(?:ed|ing)?|phone|telephone|tel|mobile|cell|text(?:ed)?|whats ?app|fax|reach(?:ed)?|ring|contact)\b[^\d\n]{0,20}$",
    re.I,
)
_BEFORE_CHARS = 40
_LEAST_DIGITS = 9  # of a number that nothing introduces: 0900-1730 are opening hours
# Where a number without a country's prefix may be at home: the countries most reviews in our
# languages come from. More of them find more numbers, and take more order numbers for one (Italy's
# mobile numbers are grouped like a big shop's orders).
REGIONS = ("US", "GB", "AU", "IE", "IN", "DE", "FR", "ES", "NL")
# A text with more numbers is a table or made to keep us busy: the library would need seconds. Then
# every run of 9 to 16 digits goes.
_MOST_NUMBERS = 30
_ANY_NUMBER = re.compile(r"(?<![\w.])\+?\d(?:[ ().-]{0,2}\d){8,15}(?!\w)")


@dataclass(frozen=True)
class Policy:
    """What `redact` does: nothing where `on` is false; `regions` are ISO 3166 codes."""

    on: bool = True
    regions: tuple[str, ...] = REGIONS


_policy = Policy()


def follow(policy: Policy) -> None:
    """Redact by this policy from now on, in this process. Until then everything is redacted."""
    global _policy
    _policy = policy


def redact(text: str) -> str:
    """The text with e-mail addresses as [email] and phone or card numbers as [number], by the policy."""
    return _redacted(text) if _policy.on else text


def holds_personal_data(text: str) -> bool:
    """Whether the text holds any, or has: a mark says that something stood there.

    No policy changes that.
    """
    return EMAIL_MARK in text or NUMBER_MARK in text or _redacted(text) != text


def holds_email(text: str) -> bool:
    """Whether an e-mail address stands in the text."""
    return "@" in text and bool(_EMAIL.search(text))


def author_hash(author: str, key: bytes) -> str:
    """16 hex characters of HMAC-SHA256: tells two reviews by one author without keeping who it is."""
    return hmac.new(key, author.encode(), hashlib.sha256).hexdigest()[:16]


def _redacted(text: str) -> str:
    if "@" in text:
        text = _EMAIL.sub(EMAIL_MARK, text)
    numbers = sum(1 for _ in islice(_DIGITS.finditer(text), _MOST_NUMBERS + 1))
    if numbers > _MOST_NUMBERS:
        return _ANY_NUMBER.sub(NUMBER_MARK, text)
    if numbers:
        text = _CARD.sub(lambda m: NUMBER_MARK if _luhn(m.group()) else m.group(), text)
        for start, end in sorted(_phones(text), reverse=True):
            text = text[:start] + NUMBER_MARK + text[end:]
    return text


def _luhn(number: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO 7812), and an issuer's digit leads."""
    digits = [int(c) for c in number if c.isdigit()]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return digits[0] in (2, 3, 4, 5, 6) and (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def _phones(text: str) -> list[tuple[int, int]]:
    """Spans of phone numbers; none overlaps another."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    found: list[tuple[int, int]] = []
    for region in (None, *_policy.regions):
        leniency = Leniency.POSSIBLE if region is None else Leniency.VALID
        for match in PhoneNumberMatcher(text, region, leniency=leniency):
            start, end = match.start, match.end
            taken = any(start < e and s < end for s, e in found)
            if not taken and (region is None or _is_phone(text, start, end, region)):
                found.append((start, end))
    return found


def _is_phone(text: str, start: int, end: int, region: str) -> bool:
    """Whether a number that the region gives out is meant as one where it stands."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    before = text[max(0, start - _BEFORE_CHARS) : start]
    if _OURS.search(before) or text[end : end + 1] in ("/", "-"):
        return False
    if _TELEPHONE.search(before):
        return True
    number = text[start:end]
    if sum(c.isdigit() for c in number) < _LEAST_DIGITS:
        return False
    return any(PhoneNumberMatcher(number, region, leniency=Leniency.EXACT_GROUPING))
