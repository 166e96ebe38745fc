"""Clauses of a review: the pieces that a quote is made of, so that it begins and ends where people pause.

Pure: it knows characters, not models or themes.
"""

from __future__ import annotations

import re

# A quote shorter than this says nothing alone; a longer one is a paragraph. Characters; from the
# labelling guide (10-300, ideally 25-140).
MIN_QUOTE_CHARS, MAX_QUOTE_CHARS = 10, 300
_MIN_CLAUSE_CHARS = 10  # a shorter piece is joined to its neighbour: "However," is no clause
# Model tokens such as <|im_end|>, which only attackers write, end a sentence: no quote holds one.
_STOP = re.compile(r"[.!?…]+[\"')\]]*(?=\s|$)|\n+|(?<=[a-z])[.!?](?=[A-Z])|<\|\w{1,20}\|>")
_PAUSE = re.compile(
    r"[;:,](?=\s)|\s[-–—]+\s|\.{2,}|\s[(\[]|[)\]](?=\s)"
    r"|\s(?=(?:and|but|so|because|although|though|however|while|which|then|except|plus)\s)",
    re.I,
)
_LEADING = " \t\r\n.,;:!?)]}-–—*\"'"
_TRAILING = " \t\r\n,;:([{-–—*"
_JOINER = re.compile(r"(?:and|but|so|because|although|though|then|plus|also|however)[,\s]+", re.I)


def clauses(text: str) -> list[tuple[int, int, int]]:
    """(start, end, sentence) of every clause, in order, not overlapping.

    Characters, sentences from 0.
    """
    out: list[tuple[int, int, int]] = []
    for number, (start, end) in enumerate(_cut(text, 0, len(text), _STOP)):
        pieces: list[list[int]] = []
        for a, b in _cut(text, start, end, _PAUSE):
            if pieces and (
                b - a < _MIN_CLAUSE_CHARS or pieces[-1][1] - pieces[-1][0] < _MIN_CLAUSE_CHARS
            ):
                pieces[-1][1] = b
            else:
                pieces.append([a, b])
        out += [(a, b, number) for a, b in pieces if text[a:b].strip()]
    return out


def _cut(text: str, start: int, end: int, border: re.Pattern[str]) -> list[tuple[int, int]]:
    """Pieces of text[start:end]; a border belongs to the piece before it."""
    out, begun = [], start
    for match in border.finditer(text, start, end):
        if match.end() > begun:
            out.append((begun, match.end()))
            begun = match.end()
    return [*out, (begun, end)] if begun < end else out


def quoted(text: str, start: int, end: int) -> tuple[int, int]:
    """The quote in text[start:end]: no stray punctuation or joining word around it, cut at a word if too long."""
    while start < end and text[start] in _LEADING:
        start += 1
    if joined := _JOINER.match(text, start, end):
        start = joined.end()
    if end - start > MAX_QUOTE_CHARS:
        end = start + len(text[start : start + MAX_QUOTE_CHARS].rsplit(" ", 1)[0])
    while end > start and text[end - 1] in _TRAILING:
        end -= 1
    while end > start + 1 and text[end - 1] == "." and text[end - 2] in ".,;: ":
        end -= 1
    return start, end
