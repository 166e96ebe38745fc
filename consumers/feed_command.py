"""`beyond feed`: what changes, as JSON lines, for a terminal or a program outside."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import click

from shared.cli import command, opened
from shared.errors import Misconfigured
from shared.stream.feed import START, Entry, Feed, Group

_PLACE = re.compile(r"^\d+-\d+$")
_WAIT_SECONDS = 1.0


@click.command()
@click.option("--follow", is_flag=True, help="go on as changes come, until Ctrl-C")
@click.option(
    "--from",
    "place",
    help="print what came after this entry  [default: all that is left; --follow: from now on]",
)
@click.option("--group", help="with --follow: the server keeps your place under this name")
@command
def feed(follow: bool, place: str | None, group: str | None) -> None:
    """Print an entry a line: what was stored, analysed, deleted or became a dead letter.

    An entry names reviews and versions; `beyond show ID` has the rest.
    """
    if group and (place or not follow):
        raise Misconfigured("--group goes with --follow, and without --from: it has its own place")
    if place and not _PLACE.match(place):
        raise Misconfigured(f"--from {place}: an entry looks like 1764060000000-0; see `entry`")
    _, connection, _ = opened()
    try:
        if group:
            _share(Group(connection, group, "feed"))
        else:
            _print_all(Feed(connection), place, follow)
    except KeyboardInterrupt:
        pass


def _print_all(reader: Feed, place: str | None, follow: bool) -> None:
    if place is None and not follow:
        _print(left := reader.oldest())
        place = left[-1].id if left else START
    place = place or reader.last()
    while True:
        _print(entries := reader.after(place))
        if entries:
            place = entries[-1].id
        elif follow:
            reader.wait(place, _WAIT_SECONDS)
        else:
            return


def _share(reader: Group) -> None:
    while True:
        entries = reader.read(wait_seconds=_WAIT_SECONDS)
        _print(entries)
        reader.done(entries)


def _print(entries: Sequence[Entry]) -> None:
    for entry in entries:
        click.echo(json.dumps(entry.shown()))
