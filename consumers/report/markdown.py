"""A report as Markdown: for wikis, chats and mail.

Customers' words cannot become markup. No charts.
"""

from __future__ import annotations

import re

from consumers.report.gather import Report
from consumers.report.view import PainView, View, view_of

# What CommonMark reads as markup anywhere; `_plain` sees to what begins a line.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def markdown(report: Report) -> str:
    """The whole text; ends with a line break."""
    view = view_of(report)
    parts = [f"# {_plain(view.business)}", f"Customer report, {view.period}", _plain(view.headline)]
    if view.facts:
        parts += _body(view)
    parts += ["## Method and limits", "\n".join(f"- {_plain(text)}" for text in view.method)]
    return "\n\n".join(parts) + "\n"


def _body(view: View) -> list[str]:
    out = [_table(["", "", ""], [[fact.name, fact.value, fact.note] for fact in view.facts])]
    out += [f"**Rising.** {_plain(text)}" for text in view.rising]
    if view.first:
        todo = (
            f"{n}. **{_plain(one.action)}**\n   {one.title}: {_plain(one.why)}"
            for n, one in enumerate(view.first, 1)
        )
        out += ["## Do this first", "\n".join(todo)]
    out.append("## What hurts")
    out += [_pain(pain) for pain in view.pains] or [
        "No complaint was found with enough confidence."
    ]
    out.append("## What customers loved")
    praise = (
        f"- **{_plain(one.phrase)}**, {one.reviews} reviews: {_plain(one.quote)}"
        for one in view.loved
    )
    out.append("\n".join(praise) or "Too few happy reviews in English that praise the same thing.")
    out.append("## How they felt")
    felt = [[one.name, one.share, one.change] for one in view.emotions]
    out.append(
        _table(["emotion", "of analysed reviews", ""], felt) if felt else "No emotion found."
    )
    return out


def _pain(pain: PainView) -> str:
    lines = [f"### {pain.title}: {pain.issues}", f"{pain.change}. {_plain(pain.problem)}".strip()]
    lines += [f"> {_plain(quote)}" for quote in pain.quotes]
    return "\n\n".join(lines)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text if text == "---" else _plain(text)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    line = _MARKUP.sub(r"\\\1", " ".join(text.split()))
    return re.sub(r"^(\d+)([.)])(?=\s|$)|^([-+=])", lambda m: f"{m[1] or ''}\\{m[2] or m[3]}", line)
