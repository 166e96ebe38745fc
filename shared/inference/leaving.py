"""May a line that a model wrote leave? No line of a prompt, no label, no control, no address, no order obeyed.

Where the review addresses a machine, nothing written freely for it leaves: a quote is the review's
own words, but a written line might be the attacker's. It judges texts and knows no models.
"""

from __future__ import annotations

import re
from functools import cache

from shared.addressed import addresses_machine
from shared.inert import inert
from shared.inference.offers import offers_unsupported
from shared.inference.prompts import TASKS
from shared.privacy import holds_email

# So many words of an instruction in a row are no accident.
_LEAK_WORDS = 5
# Words in a row that an action takes over from its review: what is to be done is not for the review
# to dictate. Of 9,168 actions that were written for 3,981 real reviews, four repeat four words in a
# row and none repeats five. A reply may name what went wrong in the customer's words.
ACTION_WORDS, REPLY_WORDS = 5, 8
_LABEL = re.compile(
    r"^\s*(?:evidence|theme|problem|action|urgency)\s*[:=]|<<<|>>>|<\|", re.I | re.M
)
_ADDRESS = re.compile(r"https?://|www\.|javascript:|<\s*/?\s*[a-z!]", re.I)


def why_not(line: str, review_text: str, most_words: int | None = None) -> str | None:
    """Why a written line must not leave, or None.

    Args:
        line: a problem, an action, a reply.
        review_text: what it was written for.
        most_words: so many words in a row, taken from the review, speak against it; None: none do.
    """
    if addresses_machine(review_text):
        return "the review addresses a machine"
    if inert(line) != line or "\n" in line or _LABEL.search(line):
        return "it has labels or controls of its own"
    if _ADDRESS.search(line) or holds_email(line):
        return "it names an address"
    words, review = _words(line), f" {' '.join(_words(review_text))} "
    if any(
        run in _instructions() and f" {run} " not in review for run in _runs(words, _LEAK_WORDS)
    ):
        return "it repeats its instruction"
    if most_words and any(f" {run} " in review for run in _runs(words, most_words)):
        return "the review dictates it"
    return None


def unsupported(line: str, review_text: str) -> bool:
    """Whether a line offers what the review does not speak of; one that addresses a machine supports nothing."""
    return offers_unsupported(line, "" if addresses_machine(review_text) else review_text)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _runs(words: list[str], length: int) -> list[str]:
    return [" ".join(words[i : i + length]) for i in range(len(words) - length + 1)]


@cache
def _instructions() -> frozenset[str]:
    texts = [_words(task.instruction) for task in TASKS.values()]
    return frozenset(run for words in texts for run in _runs(words, _LEAK_WORDS))
