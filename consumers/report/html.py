"""A report as one HTML file: styles and charts inside, nothing fetched, everything escaped.

It prints on A4.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from consumers.report.draw import over_time, sparkline
from consumers.report.gather import Report
from consumers.report.view import view_of


def html(report: Report) -> str:
    """The whole file."""
    from markupsafe import Markup

    view = view_of(report)
    pains = [
        {**vars(pain), "spark": Markup(sparkline(pain.trend))}  # nosec B704: numbers of ours
        for pain in view.pains
    ]
    facts = [(fact.name, fact.value, fact.note) for fact in view.facts]
    chart = Markup(over_time(view.trend))  # nosec B704: numbers and days of ours
    shown = {**vars(view), "pains": pains, "facts": facts, "chart": chart}
    text: str = _template().render(told=report.summary, **shown)
    return text


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    # Always: a template's name does not end as Jinja's own choice expects.
    made = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    return made.get_template("report.html.j2")
