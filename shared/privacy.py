"""Personal data in a text: e-mail addresses, phone and card numbers. The only patterns for them.

Intake redacts by them before storage, the trainer keeps texts that hold any from teachers and
training. Names and postal addresses are not found by patterns, and not looked for here. It does
not know reviews or where texts come from.
"""

from __future__ import annotations

import hashlib
import hmac
import re

EMAIL_MARK, NUMBER_MARK = "[email]", "[number]"
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
# 9-16 digits with phone or card punctuation; shorter runs are prices, dates and order numbers a
# business needs, longer ones are no phone (E.164: 15 digits) or card (ISO 7812: 16) number.
_NUMBER = re.compile(r"(?<![\w.])\+?\d(?:[ ().-]{0,2}\d){8,15}(?!\w)")


def redact(text: str) -> str:
    """The text with e-mail addresses as [email] and phone or card numbers as [number]."""
    return _NUMBER.sub(NUMBER_MARK, _EMAIL.sub(EMAIL_MARK, text))


def holds_personal_data(text: str) -> bool:
    """Whether `redact` would change the text, or has: a mark says that something stood there."""
    return EMAIL_MARK in text or NUMBER_MARK in text or redact(text) != text


def author_hash(author: str, key: bytes) -> str:
    """16 hex characters of HMAC-SHA256: tells two reviews by one author without keeping who it is."""
    return hmac.new(key, author.encode(), hashlib.sha256).hexdigest()[:16]
