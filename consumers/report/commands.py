"""`beyond report`: what happened in a period, as HTML, Markdown or PDF. It does not know what a report says."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared.cli import command
from shared.errors import Misconfigured

if TYPE_CHECKING:
    from consumers.report.gather import Report

FORMS = (".html", ".md", ".pdf")


@click.command()
@click.option(
    "--since", default="30d", show_default=True, help="so many days (30d, 12w), or the first day"
)
@click.option(
    "--until", default=None, help="the last day, YYYY-MM-DD; default: the newest review's"
)
@click.option("--business", default=None, help="exact name; default: all")
@click.option("--source", multiple=True, help="only these sources")
@click.option(
    "-o",
    "--out",
    default="report.html",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="FILE.html, FILE.md or FILE.pdf; - prints Markdown",
)
@command
def report(
    since: str, until: str | None, business: str | None, source: tuple[str, ...], out: Path
) -> None:
    """One page to print: what changed, what hurts, what to do first, what customers loved."""
    from consumers.record.database import open_database
    from consumers.record.filters import parse
    from consumers.record.scope import owner_scope
    from consumers.report.gather import gather
    from shared.settings import load_settings

    if str(out) != "-" and out.suffix.lower() not in FORMS:
        raise Misconfigured(
            f"-o {out}: end the name with {', '.join(FORMS)}, or give - for Markdown"
        )
    first, days = _since(since)
    given = {"since": first, "until": until, "business": business}
    pairs = [(name, value) for name, value in given.items() if value]
    filters = parse([*pairs, *(("source", one) for one in source)])
    engine = open_database(load_settings())
    try:
        with engine.connect() as connection:
            found = gather(connection, owner_scope(), filters, datetime.now(UTC).date(), days=days)
    finally:
        engine.dispose()
    if str(out) == "-":
        from consumers.report.markdown import markdown

        click.echo(markdown(found), nl=False)
        return
    out.write_bytes(rendered(found, out.suffix.lower()))
    told = found.summary
    click.echo(f"{out}: {told.reviews} reviews, {told.since} to {told.until}", err=True)


def rendered(found: Report, form: str) -> bytes:
    """The report as a file of one of FORMS."""
    if form == ".pdf":
        from consumers.report.pdf import pdf

        return pdf(found)
    if form == ".md":
        from consumers.report.markdown import markdown

        return markdown(found).encode()
    from consumers.report.html import html

    return html(found).encode()


def _since(text: str) -> tuple[str | None, int | None]:
    """A first day, or a number of days.

    Raises:
        Misconfigured: it is neither.
    """
    if match := re.fullmatch(r"([1-9]\d{0,3})([dw])", text):
        return None, int(match[1]) * (7 if match[2] == "w" else 1)
    try:
        date.fromisoformat(text)
    except ValueError:
        raise Misconfigured(
            f"--since {text!r}: give days (30d), weeks (12w) or a day (2026-10-01)"
        ) from None
    return text, None
