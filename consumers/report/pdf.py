"""A report as a PDF, A4, by fpdf2 with fonts of our own: no browser and no system package is needed.

The same report gives the same bytes: the file's date is the period's last day. It does not know
what a report says, nor how a page draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time

from consumers.report.gather import Report
from consumers.report.pdf_page import ACCENT, BAD, GOOD, INK, MIDDLE, RULE, SOFT, Page, shown
from consumers.report.view import Fact, Feeling, First, PainView, Praise, View, view_of

_LEANINGS = {"positive": GOOD, "negative": BAD, "ambiguous": MIDDLE}
_LACKING = "Signs that this file’s fonts lack are shown as […]; the HTML form has them."


def pdf(report: Report) -> bytes:
    """The whole file."""
    view, told = view_of(report), report.summary
    page = Page()
    page.set_creation_date(datetime.combine(told.until, time(), UTC))
    page.set_title(shown(f"Customer report: {view.business}, {view.period}"))
    page.set_lang("en")
    page.say(view.business, 17, style="B")
    page.say(f"Customer report, {view.period}", 9, SOFT)
    page.ln(1.5)
    page.rule(ACCENT, 0.8)
    page.ln(2.5)
    page.say(view.headline, 9.5)
    if view.facts:
        _facts(page, view.facts)
        page.over_time(view.trend)
        page.say(view.legend, 7, SOFT)
        for text in view.rising:
            page.ln(1.5)
            page.say(f"Rising. {text}", 8.5, BAD)
        _first(page, view.first)
        _pains(page, view.pains)
        _felt(page, view)
    _method(page, view.method)
    return bytes(page.output())


def _facts(page: Page, facts: Sequence[Fact]) -> None:
    page.ln(2)
    top, wide = page.y, page.epw / len(facts)
    for n, fact in enumerate(facts):
        x = page.l_margin + n * wide
        page.set_draw_color(*RULE)
        page.set_line_width(0.2)
        page.rect(x, top, wide - 2.5, 16, round_corners=True, corner_radius=1.2)
        page.set_y(top + 1.2)
        page.say(fact.value, 13, style="B", x=x + 1.5, width=wide - 5)
        page.say(fact.name, 7.5, SOFT, x=x + 1.5, width=wide - 5)
        page.say(fact.note, 7.5, SOFT, x=x + 1.5, width=wide - 5)
    page.set_y(top + 17.5)


def _first(page: Page, todo: Sequence[First]) -> None:
    if not todo:
        return
    page.heading("Do this first")
    for n, one in enumerate(todo, 1):
        page.keep(11)
        page.say(f"{n}. {one.action}", 9, style="B")
        page.say(f"{one.title}: {one.why}", 7.8, SOFT, x=page.l_margin + 4)
        page.ln(0.8)


def _pains(page: Page, pains: Sequence[PainView]) -> None:
    page.heading("What hurts")
    if not pains:
        page.say("No complaint was found with enough confidence.", 9)
    for pain in pains:
        _pain(page, pain)


def _pain(page: Page, pain: PainView) -> None:
    left, middle, right = page.l_margin + 14, 106.0, 26.0
    change = left + middle + 3
    needed = 5 + 4.5 * (1 + len(pain.quotes))
    page.keep(needed + 4)
    page.rule()
    page.ln(1)
    top = page.y
    page.say(pain.issues, 11, style="B", width=11, align="R")
    page.set_y(top)
    page.say(f"{pain.title}. {pain.problem}", 9, x=left, width=middle)
    for quote in pain.quotes:
        page.say(quote, 8, SOFT, "I", x=left, width=middle)
    below = page.y
    colour = {"up": BAD, "down": GOOD}.get(pain.way, SOFT)
    page.set_y(top)
    page.say(pain.change, 7.8, colour, x=change, width=28)
    page.bars(pain.trend, page.w - page.r_margin - right, top + 0.5, right, 6, ACCENT)
    page.set_y(max(below, page.y, top + 7) + 1)


def _felt(page: Page, view: View) -> None:
    """Praise on the left, emotions on the right of it."""
    half = page.epw / 2 - 4
    praise = sum(page.height_of(one.quote, 8, half) + 5 for one in view.loved)
    page.keep(max(praise, 4.6 * len(view.emotions)) + 8)
    top = page.y
    page.heading("What customers loved", 0)
    if not view.loved:
        page.say(
            "Too few happy reviews in English that praise the same thing.", 8.5, SOFT, width=half
        )
    for one in view.loved:
        _praise(page, one, half)
    below = page.y
    page.set_y(top)
    _feelings(page, view.emotions, page.l_margin + half + 8, half)
    page.set_y(max(below, page.y))


def _praise(page: Page, one: Praise, width: float) -> None:
    page.say(f"{one.phrase}, {one.reviews} reviews", 9, style="B", width=width)
    page.say(one.quote, 8, SOFT, "I", width=width)
    page.ln(0.6)


def _feelings(page: Page, emotions: Sequence[Feeling], x: float, width: float) -> None:
    page.ln(2.4)
    page.say("How they felt", 10.5, ACCENT, "B", x=x, width=width)
    page.ln(0.6)
    bar = width - 26 - 24
    for one in emotions:
        y = page.y
        page.say(one.name, 8.5, INK, x=x, width=26)
        page.set_fill_color(*_LEANINGS[one.leaning])
        page.rect(x + 26, y + 0.7, max(0.3, bar * one.width / 100), 2.8, style="F")
        page.set_y(y)
        page.say(f"{one.share} {one.change}", 8, SOFT, x=x + 28 + bar, width=24)
        page.set_y(y + 4.6)
    if emotions:
        page.say(
            "Share of analysed reviews that show it; a review may show several.",
            7,
            SOFT,
            x=x,
            width=width,
        )
    else:
        page.say("No emotion was found.", 8.5, SOFT, x=x, width=width)


def _method(page: Page, method: Sequence[str]) -> None:
    page.ln(3)
    page.keep(24)
    page.rule()
    page.ln(1.2)
    page.say("Method and limits", 7.5, SOFT, "B")
    for text in (*method, _LACKING):
        page.say(text, 7, SOFT)
