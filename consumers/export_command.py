"""`beyond export`: analysed reviews as JSON lines, CSV or Parquet, with the dashboard's filters.

It writes one file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from consumers.export import Entry
from consumers.export_files import FORMS, write_csv, write_jsonl, write_parquet
from consumers.export_source import complete, from_record, from_store
from consumers.record.database import open_database
from consumers.record.filters import LISTS, Filters, parse
from consumers.record.scope import owner_scope
from shared.cli import command, opened
from shared.errors import Misconfigured
from shared.settings import Settings
from shared.stream.store import Store


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """One option per filter; lists take values separated by commas, or the option repeated."""
    for name, field in reversed(Filters.model_fields.items()):
        if name == "state":
            continue  # --pending says it
        text = field.description or ""
        many = "; one or more, by commas" if name in LISTS else ""
        option = click.option(f"--{name.replace('_', '-')}", name, multiple=True, help=text + many)
        function = option(function)
    return function


@click.command()
@click.option("--format", "form", type=click.Choice(FORMS), default="jsonl", show_default=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="file  [default: standard output]",
)
@click.option("--pending", is_flag=True, help="also reviews that wait for their analysis (jsonl)")
@filter_options
@command
def export(form: str, out: Path | None, pending: bool, **given: tuple[str, ...]) -> None:
    """Analysed reviews, oldest first: those that fit all filters."""
    filters = parse((name, value) for name, values in given.items() for value in values)
    if not (pending and form == "jsonl"):
        filters = filters.but(state="analysed")
    if form == "parquet" and out is None and sys.stdout.isatty():
        raise Misconfigured("Parquet is not text: name a file with --out")
    settings, _, store = opened()
    with ExitStack() as closed:
        source, found = _entries(settings, store, filters, closed)
        count = _write(form, found, out)
    click.echo(f"{count} reviews exported from the {source}", err=True)


def _entries(
    settings: Settings, store: Store, filters: Filters, closed: ExitStack
) -> tuple[str, Iterator[Entry]]:
    engine = open_database(settings)
    closed.callback(engine.dispose)
    connection = closed.enter_context(engine.connect())
    if complete(connection, store):
        return "record", from_record(connection, owner_scope(), filters)
    return "store", from_store(store, filters)


def _write(form: str, found: Iterator[Entry], out: Path | None) -> int:
    if form == "parquet":
        if out is None:
            return write_parquet(found, sys.stdout.buffer)
        with out.open("wb") as raw:
            return write_parquet(found, raw)
    write = write_csv if form == "csv" else write_jsonl
    if out is None:
        return write(found, sys.stdout)
    with out.open("w", encoding="utf-8", newline="") as stream:
        return write(found, stream)
