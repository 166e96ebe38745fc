"""Text that no terminal obeys: control and direction characters become visible. It knows no reviews.

A review may carry escape sequences (of C1 too: one byte in Latin-1, U+009B here) or turn the
reading direction, and an operator's terminal would follow them.
"""

from __future__ import annotations

import re

# C0 less tab and newline, DEL and C1; embeddings, overrides and isolates; line and paragraph
# separators; the byte order mark; invisible tags. Joiners and marks that scripts and emoji need stay.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


def inert(text: str) -> str:
    r"""The text with each such character written out, as in `\x1b` and `\u202e`."""
    plain = text.replace("\r\n", "\n")
    return _OBEYED.sub(lambda m: m[0].encode("unicode_escape").decode(), plain)


def inert_json(text: str) -> str:
    """JSON with the same meaning, in which such characters are escaped."""
    return _OBEYED.sub(lambda m: _escaped(m[0]), text)


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
