"""`beyond poll`: fetch from pull sources on their schedules, once, or show how one would be read."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shared.cli import command, opened

if TYPE_CHECKING:
    from producers.poll.description import Description
    from producers.poll.poller import Poller, Source
    from producers.poll.walk import Walk
    from shared.settings import Settings
    from shared.stream.arrivals import Arrival, Arrived

_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="file of sources  [default: BEYOND_SOURCES, or HOME/sources.toml]",
)


@click.group(invoke_without_command=True)
@_CONFIG
@click.option("--once", is_flag=True, help="each source now and to its end, then stop")
@click.pass_context
def poll(context: click.Context, config: Path | None, once: bool) -> None:
    """Fetch reviews from sources that do not push, each on its schedule, until stopped.

    Any number of machines may run this: each source has one poller at a time. Sources are described
    in a TOML file; `beyond poll connectors` lists what is built in.
    """
    context.obj = config
    if context.invoked_subcommand is None:
        _poll(config, once)


@command
def _poll(config: Path | None, once: bool) -> None:
    from shared.telemetry import configure

    settings, connection, store = opened()
    poller, sources = _prepared(settings, connection, store, config)
    if once:
        sys.exit(_once(poller, sources))
    configure(settings.log_format, settings.log_level, settings.metrics_port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    click.echo(f"polling {', '.join(source.name for source in sources)}", err=True)
    poller.run(sources, stop)


def _once(poller: Poller, sources: Sequence[Source]) -> int:
    """Poll each source to its end; 75 if one may succeed later, 2 if one needs a person, else 0."""
    from producers.poll.poller import Report
    from shared.errors import TemporaryFailure

    code = 0
    for source in sources:
        turn = poller.turn(source, now=True)
        while isinstance(turn, Report) and not turn.error and not turn.counts.finished:
            click.echo(f"{source.name}: {_told(turn.counts)}; going on")
            turn = poller.turn(source, now=True)
        if not isinstance(turn, Report):
            click.echo(f"{source.name}: in use elsewhere, or not before {turn:.0f} s have passed")
            code = code or 75
        elif turn.error:
            click.echo(f"{source.name}: {turn.error}", err=True)
            code = 75 if isinstance(turn.error, TemporaryFailure) and code != 2 else 2
        else:
            click.echo(f"{source.name}: {_told(turn.counts)}")
    return code


def _told(counts: Any) -> str:
    if counts.unchanged:
        return "unchanged"
    found = [f"{number} {name}" for name, number in sorted(counts.outcomes.items())]
    found += [f"{counts.rejected} rejected"] if counts.rejected else []
    return f"{counts.pages} pages: {', '.join(found) or 'no reviews'}"


@poll.command("list")
@click.pass_obj
@command
def list_sources(config: Path | None) -> None:
    """Every source: when it was read last, when it is due, and what is wrong with it."""
    from producers.poll.walk import State
    from shared.stream.polling import Turns

    settings, connection, _ = opened()
    turns = Turns(connection)
    for name, about in _described(settings, config).items():
        standing = turns.standing(name)
        state = State.model_validate_json(standing.state) if standing.state else State()
        due = max(0.0, standing.due_seconds or 0.0)
        when = "running" if standing.busy else f"due in {due:.0f} s" if due else "due"
        click.echo(
            f"{name:20}every {about.every_seconds} s, {when}, read {_day(state.succeeded_at)}"
        )
        click.echo(f"{'':20}{about.title or about.url}; newest review: {_day(state.newest)}")
        if standing.wanted:
            click.echo(
                f"{'':20}{standing.wanted} reviews named by notifications wait to be fetched"
            )
        if state.error:
            click.secho(f"{'':20}failed {state.failures} times: {state.error}", fg="red")


def _day(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment else "never"


@poll.command("connectors")
@command
def list_connectors() -> None:
    """What is built in, which values each needs, and what was verified against what."""
    import tomllib

    from producers.poll.description import connectors

    for name, path in connectors().items():
        about = tomllib.loads(path.read_text("utf-8"))
        click.echo(f"{name:20}{about['title']}; {about['needs']}")
        click.echo(f"{'':20}{about['checked']}")


@poll.command("test")
@click.argument("name")
@click.option("--limit", default=3, show_default=True, type=click.IntRange(1), help="reviews shown")
@click.pass_obj
@command
def test_source(config: Path | None, name: str, limit: int) -> None:
    """Fetch a source's first page and show how it would be read; nothing is stored, no cursor moves."""
    from producers.poll.pages import value_of
    from shared.errors import Misconfigured
    from shared.settings import load_settings

    settings = load_settings()
    found = _described(settings, config)
    if name not in found:
        raise Misconfigured(f"there is no source {name!r}; there are {', '.join(found)}")
    walk = _walk(settings, name, found[name], lambda arrivals: [])
    answer = walk.fetch_first()
    page = walk.read(value_of(found[name].format, answer.body, answer.headers))
    click.echo(f"{len(answer.body)} bytes, {page.items} items: {len(page.arrivals)} reviews")
    for bad in page.bad:
        click.echo(f"item {bad.number} is no review: {bad.reason}")
    for one in page.arrivals[:limit]:
        click.echo(
            one.review.model_dump_json(indent=2) if one.review else f"delete {one.review_id}"
        )


def _described(settings: Settings, config: Path | None) -> dict[str, Description]:
    from producers.poll.description import read_sources

    return read_sources(config or settings.sources or settings.home / "sources.toml")


def _prepared(
    settings: Settings, connection: Any, store: Any, config: Path | None
) -> tuple[Poller, list[Source]]:
    from producers.poll.poller import Poller, Source
    from shared.stream.arrivals import arrivals_of
    from shared.stream.polling import Turns, Wanted
    from shared.telemetry import REVIEWS_IN

    arrivals = arrivals_of(settings, connection)

    def sourced(name: str, about: Description) -> Source:
        def take(page: Sequence[Arrival]) -> list[Arrived]:
            outcomes = arrivals.take(page, settings.durable_seconds)
            for outcome in outcomes:
                REVIEWS_IN.labels(about.source or name, outcome).inc()
            return outcomes

        return Source(name, about, _walk(settings, name, about, take))

    described = _described(settings, config)
    sources = [sourced(name, about) for name, about in described.items()]
    return Poller(Turns(connection), Wanted(connection), store.warn), sources


def _walk(settings: Settings, name: str, about: Description, take: Any) -> Walk:
    from producers.fetch import send
    from producers.poll.auth import Credentials
    from producers.poll.description import filled
    from producers.poll.walk import Bad, Walk
    from producers.rejects import Rejects
    from shared.errors import Misconfigured

    given = settings.source_secrets.get(name)
    secret = given.get_secret_value() if given else ""
    if about.secret_file:
        try:
            secret = about.secret_file.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise Misconfigured(f"source {name}: secret_file cannot be read: {error}") from None
    places = {k: filled(getattr(about.auth, k), about.values) for k in ("issuer", "key_id")}
    auth = about.auth.model_copy(update=places)

    def plainly(method: str, url: str, headers: Any, body: bytes | None) -> Any:
        answer = send(method, url, headers, body)
        return answer.status, answer.headers, answer.body

    try:
        credentials = Credentials(auth, secret, plainly)
    except Misconfigured as error:
        raise Misconfigured(f"source {name}: {error}") from None
    rejects = Rejects(settings.home / "rejects.jsonl")

    def reject(bad: Bad) -> None:
        rejects.add(f"source {name}", bad.number, bad.reason, bad.item, {})

    return Walk(name, about, credentials, settings.author_key, settings.categories, take, reject)
