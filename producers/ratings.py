"""Ratings as people's files write them, to 1-5 stars. It knows values, not files, columns or reviews.

A grade on another scale becomes the same share of five: 8/10 and 80% are 4 stars. A grade below
one star (1/10, 0%) is the worst there is and becomes 1, because a Review counts from 1.
"""

from __future__ import annotations

import math
import re
from typing import Any

from producers.dates import MISSING
from shared.errors import InvalidReview

TOP_STARS = 5.0  # what a plain number is out of, unless --rating-scale says otherwise
_NUMBER = r"(\d+(?:[.,]\d+)?)"
_OUT_OF = re.compile(rf"(?:rated\s+)?{_NUMBER}\s*(?:/|out of|of)\s*{_NUMBER}(?:\s*stars?)?", re.I)
_PERCENT = re.compile(rf"{_NUMBER}\s*%")
_STARS = re.compile(rf"{_NUMBER}\s*(?:-\s*)?stars?(?:\s+rating)?", re.I)
_PLAIN = re.compile(rf"(-?){_NUMBER}")
_FULL, _HALF, _HOLLOW = "★⭐✭✮🌟", "½⯪", "☆✩✰"
# U+FE0F asks for the emoji form of the star before it.
_GLYPHS = re.compile(rf"[{_FULL}{_HALF}{_HOLLOW}\ufe0f\s]+")
# Google Business and surveys spell them out.
_WORDS = {"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0}


def stars(value: Any, scale: float = TOP_STARS) -> float | None:
    """A rating in stars; None for an empty cell.

    Args:
        value: a number, or text such as `5 stars`, `4/5`, `8/10`, `80%`, `4.5 out of 5`, `★★★★☆`.
        scale: the best grade of plain numbers; forms that name their own scale ignore it.

    Raises:
        InvalidReview: no rating; the text says what is one.
    """
    if value is None or str(value).strip().lower() in MISSING:
        return None
    text = str(value).strip()
    if found := _PLAIN.fullmatch(text):
        return _plain(text, float(found[1] + found[2].replace(",", ".")), scale)
    if found := _OUT_OF.fullmatch(text):
        return _share(text, _float(found[1]), _float(found[2]))
    if found := _PERCENT.fullmatch(text):
        return _share(text, _float(found[1]), 100.0)
    if found := _STARS.fullmatch(text):
        return _plain(text, _float(found[1]), TOP_STARS)
    if _GLYPHS.fullmatch(text):
        return _drawn(text)
    word = text.lower().removesuffix("s").removesuffix("star").strip(" -_")
    if word in _WORDS:
        return _WORDS[word]
    raise _refused(text)


def _float(digits: str) -> float:
    return float(digits.replace(",", "."))


def _plain(text: str, number: float, scale: float) -> float:
    if scale != TOP_STARS:
        return _share(text, number, scale)
    if not 1 <= number <= TOP_STARS or not math.isfinite(number):
        raise InvalidReview(
            f"rating: {text[:40]!r} is not in 1-5; for another scale add --rating-scale 10 "
            "(or what its best grade is); leave the cell empty for none"
        )
    return number


def _share(text: str, number: float, scale: float) -> float:
    """The same share of five stars; `0/10` is a grade, so it is the worst one, not a missing one."""
    if scale <= 0 or not 0 <= number <= scale:
        raise InvalidReview(f"rating: {text[:40]!r} is not between 0 and {scale:g}")
    return round(max(1.0, TOP_STARS * number / scale), 2)


def _drawn(text: str) -> float:
    full = sum(text.count(glyph) for glyph in _FULL)
    half = sum(text.count(glyph) for glyph in _HALF)
    drawn = full + half + sum(text.count(glyph) for glyph in _HOLLOW)
    if not full and not half:
        raise _refused(text)
    return _share(text, full + half / 2, max(TOP_STARS, drawn))


def _refused(text: str) -> InvalidReview:
    return InvalidReview(
        f"rating: {text[:40]!r} is no rating; write 1-5, '4/5', '8/10', '80%', '4 stars' or "
        "'★★★★☆', empty for none, or leave rating out of --map"
    )
