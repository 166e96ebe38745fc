"""`beyond report`: what happened in a period, as HTML, Markdown or PDF.

It does not know what a report says.
"""

from __future__ import annotations

import re
import signal
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared.cli import command
from shared.errors import Misconfigured

if TYPE_CHECKING:
    from consumers.record.filters import Filters
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
@click.option("--schedule", "cron", default=None, help="cron, UTC: '0 7 * * 1' sends on Mondays")
@click.option("--to", "targets", multiple=True, help="with --schedule: targets of the alerts file")
@command
def report(
    since: str,
    until: str | None,
    business: str | None,
    source: tuple[str, ...],
    out: Path,
    cron: str | None,
    targets: tuple[str, ...],
) -> None:
    """One page to print: what changed, what hurts, what to do first, what customers loved.

    With --schedule it runs until it is stopped, and sends the report to mailboxes, chats and webhooks
    (docs/ALERTS.md tells how to name them).
    """
    from consumers.record.filters import parse

    if str(out) != "-" and out.suffix.lower() not in FORMS:
        raise Misconfigured(
            f"-o {out}: end the name with {', '.join(FORMS)}, or give - for Markdown"
        )
    first, days = _since(since)
    given = {"since": first, "until": until, "business": business}
    pairs = [(name, value) for name, value in given.items() if value]
    filters = parse([*pairs, *(("source", one) for one in source)])
    if cron is not None:
        if days is None or until is not None:
            raise Misconfigured("--schedule: give --since in days (30d) and no --until")
        _run_schedule(cron, filters, days, targets)
        return
    if targets:
        raise Misconfigured("--to: give --schedule as well, or write a file with -o")
    found = _gathered(filters, days)
    if str(out) == "-":
        click.echo(rendered(found, ".md").decode(), nl=False)
        return
    try:
        out.write_bytes(rendered(found, out.suffix.lower()))
    except OSError as error:
        raise Misconfigured(f"-o {out}: cannot be written: {error}") from None
    told = found.summary
    click.echo(f"{out}: {told.reviews} reviews, {told.since} to {told.until}", err=True)


def _gathered(filters: Filters, days: int | None) -> Report:
    from consumers.record.database import open_database
    from consumers.record.scope import owner_scope
    from consumers.report.gather import gather
    from shared.settings import load_settings

    engine = open_database(load_settings())
    try:
        with engine.connect() as connection:
            today = datetime.now(UTC).date()
            return gather(connection, owner_scope(), filters, today, days=days)
    finally:
        engine.dispose()


def _run_schedule(cron: str, filters: Filters, days: int, targets: tuple[str, ...]) -> None:
    from consumers.alerts.rules import read_watch
    from consumers.out.outbox import deliver
    from consumers.record.database import open_database
    from consumers.report.schedule import Schedule, keep_posting
    from shared.settings import load_settings
    from shared.telemetry import configure

    settings = load_settings()
    configure(settings.log_format, settings.log_level)
    file = settings.alerts or settings.home / "alerts.toml"
    known = read_watch(file).targets
    if not targets or (unknown := [name for name in targets if name not in known]):
        wrong = f"no target {unknown[0]!r}" if targets else "give at least one target"
        raise Misconfigured(f"--to: {wrong}; {file} has: {', '.join(known) or 'none'}")
    schedule = Schedule(cron, filters, days, targets, datetime.now(UTC))
    engine, stop = open_database(settings), threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    click.echo(f"sending to {', '.join(targets)} at {cron} (UTC) until stopped", err=True)
    keep_posting(schedule, engine, lambda: deliver(engine, known), stop.wait)
    engine.dispose()


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
