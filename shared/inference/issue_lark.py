"""The grammar of an `issues` answer as Lark text: what llguidance reads here, and vLLM's guidance backend on a server.

"none", or blocks of four lines, whose evidence is a run of words of the review, whose theme is a
known one, and whose other lines begin with a word and end. It does not know models or tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from shared.inference.prompts import MAX_ISSUES
from shared.review import THEMES

# Characters. A shorter quote says nothing alone; a longer one is a paragraph, or a loop.
MIN_EVIDENCE, MAX_EVIDENCE = 12, 220
MIN_LINE, MAX_LINE = 6, 240
# Runs that a quote takes as a whole or not at all, too long for that: Chinese, Thai, nonsense, "!!!".
_LONG_RUN = re.compile(r"\w{40,}|[^\w\s]{40,}|\s{40,}")
# What a quote or a line begins with: whatever is neither a blank nor one of ASCII's signs. (Letters
# by their Unicode property would be finer, and take longer to compile than all else together.)
_BEGINS = (
    ("0", "9"), ("A", "Z"), ("a", "z"), ("\xa1", "\u167f"), ("\u1681", "\u1fff"),
    ("\u2070", "\u2fff"), ("\u3001", "\ufefe"), ("\uff00", "\U0010ffff"),
)  # fmt: skip
_WORD = re.compile("[" + "".join(f"{a}-{b}" for a, b in _BEGINS) + "]")
_LARK_WORD = "[" + "".join(f"\\u{{{ord(a):x}}}-\\u{{{ord(b):x}}}" for a, b in _BEGINS) + "]"

HEAD, REST = '"evidence:"', r'"theme: " THEME "\nproblem: " LINE "\naction: " LINE "\n"'
_LINES = f"""THEME: {" | ".join(f'"{theme}"' for theme in THEMES)}
LINE: /{_LARK_WORD}[^\\n<\\x00-\\x1f]{{{MIN_LINE - 1},{MAX_LINE - 1}}}/
"""
# The parts of an answer, for who follows it step by step: all that can be said where nothing can be
# quoted; what it begins with; a further issue, or the end; what follows each quote.
NONE = 'start: "none"\n'
FIRST, LATER = f'start: "none" | {HEAD}\n', f'start: "" | {HEAD}\n'
AFTER_QUOTE = f"start: {REST}\n{_LINES}"


def answer(pieces: Sequence[str]) -> str:
    """The grammar of a whole answer. One rule makes all its issues, so two may quote the same words.

    Args:
        pieces: the fenced review; no quote runs from one piece into the next.
    """
    shortest = shortest_quote(pieces)
    if not quotable(pieces, shortest):
        return NONE
    blocks = "block" + " (block" * (MAX_ISSUES - 1) + ")?" * (MAX_ISSUES - 1)
    block = f'block: {HEAD} " " QUOTE "\\n" {REST}'
    return f'start: "none" | {blocks}\n{block}\n{_quote(pieces, shortest)}{_LINES}'


def quote(pieces: Sequence[str], shortest: int) -> str:
    """The grammar of what follows "evidence:", up to the line's end.

    Args:
        pieces: what is left of the fenced review; one of them at least holds a quote.
        shortest: characters of a quote, at least.
    """
    return f'start: " " QUOTE "\\n"\n{_quote(pieces, shortest)}'


def _quote(pieces: Sequence[str], shortest: int) -> str:
    spans = [
        f'SPAN{i}: %regex {{"{_unit(piece)}": {json.dumps(piece)}}}'
        for i, piece in enumerate(pieces)
        if _room(piece) >= shortest
    ]
    either = " | ".join(span.split(":")[0] for span in spans)
    lengths = f"{{{shortest - 1},{MAX_EVIDENCE - 1}}}"
    return "\n".join([*spans, f"QUOTE: ({either}) & /{_LARK_WORD}(?s:.){lengths}/\n"])


def shortest_quote(pieces: Sequence[str]) -> int:
    """Characters that a first quote must have; a review shorter than MIN_EVIDENCE may be quoted as a whole."""
    return max(1, min(MIN_EVIDENCE, max(map(_room, pieces), default=0)))


def quotable(pieces: Sequence[str], shortest: int = MIN_EVIDENCE) -> bool:
    """Whether an issue finds something to quote."""
    return any(_room(piece) >= shortest for piece in pieces)


def _room(piece: str) -> int:
    """Characters from the first word of a piece to its end."""
    found = _WORD.search(piece)
    return len(piece) - found.start() if found else 0


def _unit(piece: str) -> str:
    """What a quote is made of: words, or characters where words are not told apart by blanks."""
    return "substring_chars" if _LONG_RUN.search(piece) else "substring_words"
