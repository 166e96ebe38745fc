"""`beyond erase`: a person's reviews leave this installation; says what went and what cannot."""

from __future__ import annotations

import click

from consumers.erase import Erased, erase, ids_by
from consumers.record.database import open_database
from shared.cli import command, opened
from shared.errors import Misconfigured


@click.command("erase")
@click.option("--review", "reviews", multiple=True, help="id; may be repeated")
@click.option(
    "--author",
    "authors",
    multiple=True,
    help="name as the platform has it, or its stored hash; may be repeated",
)
@click.option("--yes", is_flag=True, help="do not ask")
@command
def erase_command(reviews: tuple[str, ...], authors: tuple[str, ...], yes: bool) -> None:
    """Erase reviews for good: store, record, full text, replies, notes, alerts, training samples and labels."""
    if not reviews and not authors:
        raise Misconfigured("name what to erase: --review ID, --author NAME")
    settings, _, store = opened()
    engine = open_database(settings)
    ids = set(reviews) | (ids_by(authors, settings, store, engine) if authors else set())
    if not ids:
        click.echo("no review by that author is known here; nothing was erased")
        return
    if not yes:
        click.confirm(f"erase {len(ids)} reviews for good?", abort=True)
    _show(erase(sorted(ids), settings, store, engine))
    engine.dispose()


def _show(erased: Erased) -> None:
    for what, count in erased.removed.items():
        click.echo(f"removed   {count} {what}")
    if not erased.removed:
        click.echo("removed   nothing: no such review is known here")
    for text in erased.remains:
        click.secho(f"remains   {text}", fg="yellow")
