"""An A4 page to write on: fonts, wrapped text, headings that stay with their text, charts. It knows no report.

Fonts are DejaVu Sans Condensed, cut to Latin, Greek and Cyrillic; runs of other signs are shown as […].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from fpdf import FPDF

from consumers.record.answers import Point

Colour = tuple[int, int, int]
INK: Colour = (29, 39, 51)
SOFT: Colour = (85, 96, 110)
RULE: Colour = (217, 221, 229)
ACCENT: Colour = (31, 95, 139)
GOOD: Colour = (43, 122, 75)
BAD: Colour = (179, 64, 47)
MIDDLE: Colour = (138, 122, 58)
_BARS: Colour = (188, 211, 227)
_FONTS = Path(__file__).parent / "fonts"
_FAMILY = "DejaVu"
_STYLES: dict[Literal["", "B", "I"], str] = {"": "", "B": "-Bold", "I": "-Oblique"}
_MM_PER_POINT = 0.47  # height of a line of text


class Page(FPDF):
    """Lengths in millimetres, sizes in points."""

    def __init__(self) -> None:
        super().__init__(format="A4")
        self.set_margins(14, 12, 14)
        self.c_margin = 0
        self.set_auto_page_break(True, 12)
        for style, name in _STYLES.items():
            self.add_font(_FAMILY, style, _FONTS / f"DejaVuSansCondensed{name}.ttf")
        self.add_page()

    def say(
        self,
        text: str,
        size: float,
        colour: Colour = INK,
        style: Literal["", "B", "I"] = "",
        *,
        x: float | None = None,
        width: float = 0,
        align: Literal["L", "R"] = "L",
    ) -> None:
        """Text that wraps, from x (default: the margin) on, `width` wide (0: to the margin).

        Y moves below it.
        """
        self.set_font(_FAMILY, style, size)
        self.set_text_color(*colour)
        self.set_x(self.l_margin if x is None else x)
        self.multi_cell(
            width, size * _MM_PER_POINT, shown(text), align=align, new_x="LMARGIN", new_y="NEXT"
        )

    def height_of(self, text: str, size: float, width: float) -> float:
        """How high `say` would make it."""
        self.set_font(_FAMILY, "", size)
        height = self.multi_cell(
            width, size * _MM_PER_POINT, shown(text), dry_run=True, output="HEIGHT"
        )
        return float(height)  # type: ignore[arg-type]

    def heading(self, text: str, with_mm: float = 20) -> None:
        """A heading; a new page where not even `with_mm` of its text would follow."""
        self.keep(with_mm)
        self.ln(2.4)
        self.say(text, 10.5, ACCENT, "B")
        self.ln(0.6)

    def keep(self, height: float) -> None:
        """A new page, unless so much fits on this one."""
        if self.will_page_break(height):
            self.add_page()

    def rule(self, colour: Colour = RULE, width: float = 0.2) -> None:
        """A line from margin to margin at y."""
        self.set_draw_color(*colour)
        self.set_line_width(width)
        self.line(self.l_margin, self.y, self.w - self.r_margin, self.y)

    def bars(
        self,
        values: Sequence[float],
        x: float,
        y: float,
        width: float,
        height: float,
        colour: Colour,
    ) -> None:
        """Bars that stand on y + height."""
        self.set_fill_color(*colour)
        step, most = width / max(1, len(values)), max([*values, 1])
        for n, value in enumerate(values):
            high = height * value / most
            if high:
                self.rect(x + (n + 0.1) * step, y + height - high, 0.8 * step, high, style="F")

    def over_time(self, points: Sequence[Point]) -> None:
        """Bars of reviews, and the mean rating as a line over a scale from 1 to 5."""
        left, top, high = self.l_margin + 7, self.y + 1.5, 21.0
        wide = self.epw - 14
        self.bars([point.reviews for point in points], left, top, wide, high, _BARS)
        step = wide / len(points)
        self.set_draw_color(*BAD)
        self.set_line_width(0.35)
        last: tuple[float, float] | None = None
        for n, point in enumerate(points):
            if point.mean_rating is None:
                last = None
                continue
            here = (left + (n + 0.5) * step, top + high - high * (point.mean_rating - 1) / 4)
            if last:
                self.line(*last, *here)
            else:
                self.circle(*here, 0.3)
            last = here
        self._scale(points, left, top, wide, high)
        self.set_y(top + high + 4.5)

    def _scale(
        self, points: Sequence[Point], left: float, top: float, wide: float, high: float
    ) -> None:
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        self.line(left, top + high, left + wide, top + high)
        self.set_font(_FAMILY, "", 6.5)
        self.set_text_color(*SOFT)
        most = str(max([point.reviews for point in points] + [1]))
        self.text(left - 1 - self.get_string_width(most), top + 2, most)
        for place in sorted({0, len(points) // 2, len(points) - 1}):
            day = f"{points[place].day.day} {points[place].day:%b}"
            middle = left + (place + 0.5) * wide / len(points) - self.get_string_width(day) / 2
            self.text(max(left, min(middle, left + wide - 8)), top + high + 3, day)
        self.set_text_color(*BAD)
        for stars in (1, 3, 5):
            self.text(left + wide + 1, top + high + 0.8 - high * (stars - 1) / 4, f"{stars}★")


def shown(text: str) -> str:
    """The text as the fonts can show it, on one line."""
    known = _known()
    out = "".join(sign if ord(sign) in known else "\ufffc" for sign in " ".join(text.split()))
    return re.sub("\ufffc[\ufffc ]*", "[…] ", out).strip() if "\ufffc" in out else out


@cache
def _known() -> frozenset[int]:
    """Signs that all of the fonts have."""
    from fontTools.ttLib import TTFont

    fonts = [TTFont(_FONTS / f"DejaVuSansCondensed{name}.ttf") for name in _STYLES.values()]
    return frozenset.intersection(*(frozenset(font.getBestCmap()) for font in fonts))
