"""`beyond record`: keep the record, catch up once, or make it again."""

from __future__ import annotations

import signal
import threading
from functools import partial

import click

from shared.cli import command, opened
from shared.errors import Misconfigured


@click.command()
@click.option("--once", is_flag=True, help="catch up, then exit")
@click.option("--rebuild", is_flag=True, help="make all that is derived again from the store")
@command
def record(once: bool, rebuild: bool) -> None:
    """Keep the SQL database that pages, reports and searches read; until Ctrl-C or SIGTERM.

    `beyond work` does this as well, unless BEYOND_RECORD=false. What people wrote (statuses, notes,
    replies) is never touched.
    """
    from consumers.record.database import open_database
    from consumers.record.projector import Projector, calm_collector
    from consumers.replies.courier import Courier
    from consumers.replies.drafts import ask_urgent
    from shared.stream.feed import Feed
    from shared.stream.replies import Replies
    from shared.telemetry import configure

    if once and rebuild:
        raise Misconfigured("--once or --rebuild: a rebuild ends by itself, and up to date")
    settings, connection, store = opened()
    calm_collector()
    Feed(connection).keep(settings.feed_entries)
    stop = threading.Event()
    engine, replies = open_database(settings), Replies(connection)
    news, courier = partial(ask_urgent, replies), Courier(engine, replies)
    projector = Projector(engine, store, stop.is_set, news, courier.bring)
    if rebuild:
        changed = projector.rebuild(anew=True) + projector.catch_up()
        click.echo(f"the record was made again: {changed} reviews")
    elif once:
        click.echo(f"the record is up to date: {projector.catch_up()} reviews changed")
    else:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.set())
        configure(settings.log_format, settings.log_level, settings.metrics_port)
        projector.run()
