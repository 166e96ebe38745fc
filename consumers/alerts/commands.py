"""`beyond alerts`: test the rules, watch by them, list what was raised, and what did not arrive."""

from __future__ import annotations

import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from consumers.alerts.raising import news, raise_alerts
from consumers.alerts.rules import Watch, read_watch
from consumers.out.message import Message
from consumers.out.outbox import deliver, letters, retry
from consumers.out.send import Undelivered, send
from consumers.record.database import open_database, writing
from consumers.record.schema import alerts as table
from shared.cli import command, opened
from shared.errors import Misconfigured, TemporaryFailure
from shared.settings import Settings, load_settings
from shared.stream.names import BACKFILL, LIVE, TRAINING
from shared.stream.status import status
from shared.telemetry import configure, log

_file = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="rules and targets  [default: BEYOND_ALERTS, or alerts.toml in BEYOND_HOME]",
)


@click.group()
def alerts() -> None:
    """Rules that tell people and programs when something happens; docs/ALERTS.md has examples."""


def _watch(settings: Settings, file: Path | None) -> Watch:
    return read_watch(file or settings.alerts or settings.home / "alerts.toml")


class _DeadLetters:
    """How many jobs are out of retries; the server is asked, and connected to, only when needed."""

    def __init__(self) -> None:
        self._connection = None

    def __call__(self) -> int:
        if self._connection is None:
            self._connection = opened()[1]
        found = status(self._connection, (LIVE, BACKFILL, TRAINING))
        return sum(queue.dead_letters for queue in found.queues.values())


@alerts.command()
@_file
@click.option("--send", "target", help="send a test message to this target and say what it answers")
@command
def test(file: Path | None, target: str | None) -> None:
    """Check the file; show what each rule would raise now. Nothing is kept."""
    settings = load_settings()
    watch = _watch(settings, file)
    if target is not None:
        _try(watch, target)
        return
    engine, ask = open_database(settings), _DeadLetters()
    for rule in watch.rules:
        found = news(engine, rule, int(time.time()), ask)
        click.echo(f"{rule.name}: {rule.when}, to {', '.join(rule.targets)}: {len(found)} now")
        for finding in found[:5]:
            click.echo(f"  {finding.text}")
    click.echo(f"{len(watch.rules)} rules and {len(watch.targets)} targets are right", err=True)


def _try(watch: Watch, name: str) -> None:
    if name not in watch.targets:
        raise Misconfigured(f"no target {name!r}; there are: {', '.join(watch.targets) or 'none'}")
    now = datetime.now(UTC)
    text = "This is a test of `beyond alerts test --send`; nothing has happened."
    message = Message(
        id=f"test-{int(now.timestamp())}", kind="alert.test", subject="Test", text=text, at=now
    )
    try:
        send(watch.targets[name], message, now)
    except Undelivered as error:
        raise Misconfigured(f"{name}: {error}") from None
    click.echo(f"{name}: arrived")


@alerts.command()
@_file
@click.option("--every", default=60, show_default=True, type=click.IntRange(1), help="seconds")
@click.option("--once", is_flag=True, help="look once, try what is due, exit")
@command
def run(file: Path | None, every: int, once: bool) -> None:
    """Watch by the rules and send what they raise; until Ctrl-C or SIGTERM.

    The file is read anew when it changes.
    """
    settings = load_settings()
    configure(settings.log_format, settings.log_level)
    watch, engine, ask = _watch(settings, file), open_database(settings), _DeadLetters()
    if once:
        raised, sent, failed = _step(engine, watch, ask)
        click.echo(f"{raised} alerts raised, {sent} messages sent, {failed} tries failed")
        return
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    while not stop.is_set():
        try:
            watch = _watch(settings, file)
        except Misconfigured as error:
            log("alerts").error("alerts_file_wrong", reason=str(error))  # go on by the last one
        try:
            _step(engine, watch, ask)
        except (TemporaryFailure, OperationalError) as error:
            log("alerts").warning("alerts_wait", reason=str(error).splitlines()[0])
        stop.wait(every)


def _step(engine: Engine, watch: Watch, ask: _DeadLetters) -> tuple[int, int, int]:
    raised = raise_alerts(engine, watch, int(time.time()), ask)
    for one in raised:
        log("alerts").info("alert_raised", rule=one.rule.name, count=len(one.findings))
    return sum(len(one.findings) for one in raised), *deliver(engine, watch.targets)


@alerts.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
@command
def list_raised(limit: int) -> None:
    """Alerts that were raised, newest first."""
    query = select(table).order_by(table.c.raised_at.desc(), table.c.id).limit(limit)
    with open_database(load_settings()).connect() as connection:
        for row in connection.execute(query):
            seen = f"seen by {row.acknowledged_by}" if row.acknowledged_at else "new"
            moment = datetime.fromtimestamp(row.raised_at, UTC)
            click.echo(f"{moment:%Y-%m-%d %H:%M}  {row.rule}  {seen}  {row.text}")


@alerts.command("letters")
@click.option("--retry", "again", is_flag=True, help="let dead letters wait again")
@click.argument("ids", nargs=-1)
@command
def dead(again: bool, ids: tuple[str, ...]) -> None:
    """Messages that wait for another try, and dead letters (IDS: which to retry; default: all)."""
    engine = open_database(load_settings())
    if again:
        with writing(engine) as connection:
            click.echo(f"{retry(connection, ids, int(time.time()))} messages wait again")
        return
    with engine.connect() as connection:
        for state in ("waiting", "dead"):
            for one in letters(connection, state):
                line = f"{one.message.id}  {one.target}  {state}  {one.tries} tries"
                click.echo(f"{line}  {one.reason}  {one.message.subject}")
