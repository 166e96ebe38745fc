"""A review that a language model's context does not hold, as parts of whole sentences, and their answers as one.

It does not know models; it is told what a text takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import zip_longest

from shared.inference.batching import windows
from shared.inference.prompts import (
    MAX_ISSUES,
    SEEN_CHARS,
    Unparsable,
    fence,
    parse_issues,
    target,
)
from shared.review import Issue

# Texts -> tokens of each.
Count = Callable[[Sequence[str]], Sequence[int]]
_END = re.compile(r"[.!?…]+[\"')\]]*\s+|[。！？]+[」』”’）]*\s*|\n\s*")
_WHOLE = 1000


def parts_of(text: str, count: Count, most_tokens: int) -> list[str]:
    """Parts of a text, in order, that have at most `most_tokens` and SEEN_CHARS each; most often the text itself.

    Cut between sentences; a sentence that is too long, near the middle, between words where it has
    any. Nothing but blanks is left out.
    """
    pieces = [piece for one in _sentences(text) for piece in _fitting(one, count, most_tokens)]
    shares = [
        math.ceil(_WHOLE * max(tokens / most_tokens, len(piece) / SEEN_CHARS))
        for piece, tokens in zip(pieces, count(pieces), strict=True)
    ]
    joined = ("".join(pieces[i] for i in window).strip() for window in windows(shares, _WHOLE))
    # Where sentences meet, a tokenizer may, rarely, make more of both than of each.
    return [p for part in joined if part for p in _fitting(part, count, most_tokens)] or [text]


def _sentences(text: str) -> list[str]:
    ends = [match.end() for match in _END.finditer(text)]
    cuts = sorted({0, *ends, len(text)})
    return [text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]


def _fitting(piece: str, count: Count, most_tokens: int) -> list[str]:
    if len(piece) <= 1 or (len(piece) <= SEEN_CHARS and count([piece])[0] <= most_tokens):
        return [piece]
    middle = len(piece) // 2
    at = piece.rfind(" ", middle // 2, middle) + 1 or middle
    return _fitting(piece[:at], count, most_tokens) + _fitting(piece[at:], count, most_tokens)


def merged(answers: Sequence[str], parts: Sequence[str]) -> str:
    """The answers to the parts of one review as one answer, in the form of `target`.

    Each part's most important issue comes before any part's second. What is said twice stays once,
    and of MAX_ISSUES those go first whose theme was not named yet.

    Args:
        answers: one a part; those that cannot be read are passed over, unless none can.
        parts: of one review, unfenced.
    """
    read: list[list[Issue]] = []
    for answer, part in zip(answers, parts, strict=True):
        try:
            read.append(parse_issues(answer, part))
        except Unparsable:
            continue
    if not read:
        return answers[0]
    found: list[Issue] = []
    for issue in (one for rank in zip_longest(*read) for one in rank if one is not None):
        if not any(_alike(issue, other) for other in found):
            found.append(issue)
    themes = [one.theme for one in found]
    # Sorting is stable: those whose theme an earlier one has go behind.
    order = sorted(range(len(found)), key=lambda i: themes[i] in themes[:i])
    return target([found[i] for i in sorted(order[:MAX_ISSUES])]).strip()


def _alike(one: Issue, other: Issue) -> bool:
    """The same words quoted, or the same thing said under the same theme."""
    if fence(one.evidence).casefold() == fence(other.evidence).casefold():
        return True
    said = one.problem is not None and one.problem.casefold() == (other.problem or "").casefold()
    return said and one.theme == other.theme
