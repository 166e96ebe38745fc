"""`beyond backfill` and `beyond webhook`."""

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
from shared.review import TRADES

if TYPE_CHECKING:
    from producers.taking import Tally


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--map",
    "mapping",
    help="FIELD=COLUMN,... for any CSV or JSON lines, e.g. text=body,rating=stars",
)
@click.option("--source", default="file", show_default=True, help="name of the source, with --map")
@click.option(
    "--category",
    type=click.Choice(TRADES),
    help="the trade that rows without a category are about; else it is inferred",
)
@click.option(
    "--since", type=click.DateTime(), help="only reviews known to be written at or after this (UTC)"
)
@click.option(
    "--max-rating", type=click.FloatRange(1, 5), help="only reviews with at most so many stars"
)
@click.option(
    "--limit", type=click.IntRange(1), help="stop after so many accepted reviews per file"
)
@click.option("--date-format", help="how dates are written, as for strptime, e.g. '%d.%m.%Y %H:%M'")
@click.option(
    "--day-first/--month-first",
    default=None,
    help="what 03/04/2026 means, where no date of the file tells",
)
@click.option(
    "--rating-scale",
    type=click.FloatRange(1),
    default=5,
    show_default=True,
    help="the best grade of plain numbers; '8/10' and '80%' say it themselves",
)
@click.option("--follow", is_flag=True, help="go on with each file as it grows, until stopped")
@click.option(
    "--watch", is_flag=True, help="PATHS are folders: read what is put there, until stopped"
)
@click.option("--strict", is_flag=True, help="stop at the first bad row")
@click.option("--dry-run", is_flag=True, help="read and validate, store nothing")
@click.option(
    "--rejects",
    type=click.Path(path_type=Path),
    help="where bad rows go  [default: HOME/rejects.jsonl]",
)
@command
def backfill(
    paths: tuple[str, ...],
    mapping: str | None,
    source: str,
    category: str | None,
    since: datetime | None,
    max_rating: float | None,
    limit: int | None,
    date_format: str | None,
    day_first: bool | None,
    rating_scale: float,
    follow: bool,
    watch: bool,
    strict: bool,
    dry_run: bool,
    rejects: Path | None,
) -> None:
    """Read historical reviews from PATHS into the queue: files, - for standard input, s3://BUCKET/*.jsonl.

    Yelp, yelp_review_full, Kaggle's yelp.csv, Amazon 2023, or any CSV/JSON lines by --map; plain,
    .gz, .zst, Parquet. Run it again after an interruption: it continues where it stopped.
    Reviews without a date get the time of import and are marked so.
    """
    from datetime import UTC

    from producers.addresses import expanded, shown
    from producers.backfill import Backfill, Options
    from producers.formats import parse_map
    from producers.intake import Intake

    _check_standing(paths, follow, watch, limit)
    settings, connection, store = opened()
    options = Options(
        mapping=parse_map(mapping) if mapping else None,
        source=source,
        category=category,
        max_rating=max_rating,
        limit=limit,
        date_format=date_format,
        day_first=day_first,
        rating_scale=rating_scale,
        strict=strict,
        since=since.replace(tzinfo=UTC) if since else None,
        dry_run=dry_run,
    )
    rejects = rejects or settings.home / "rejects.jsonl"
    intake = Intake(store, settings.author_key, settings.chunk_reviews, settings.categories)
    rejected = 0
    ending = " (dry run: nothing stored)" if dry_run else ""
    if follow:
        return _follow(paths, intake, connection, options, rejects, ending)
    with _Progress() as progress:
        reader = Backfill(intake, connection, options, rejects, progress.update)
        if watch:
            return _watch(paths, reader, ending)
        for path in [one for given in paths for one in expanded(given)]:
            tally = reader.run(path)
            rejected += tally.rejected
            progress.print(f"{shown(path)}: {_told(tally)}{ending}")
    if rejected:
        click.echo(f"{rejected} rejected rows, with reasons: {rejects}")


def _told(tally: Tally) -> str:
    return (
        f"{tally.row} rows: {tally.new} new, {tally.updated} updated, {tally.same} known, "
        f"{tally.filtered} filtered, {tally.rejected} rejected"
    )


def _check_standing(paths: Sequence[str], follow: bool, watch: bool, limit: int | None) -> None:
    """Refuse what cannot be meant.

    Raises:
        Misconfigured: the text says what to leave out.
    """
    from producers.addresses import is_remote
    from shared.errors import Misconfigured

    if follow and watch:
        raise Misconfigured("--follow reads files, --watch folders: give one of them")
    if (follow or watch) and limit:
        raise Misconfigured("--limit has no end to count to with --follow or --watch")
    for path in paths if follow or watch else ():
        if path == "-" or is_remote(path):
            raise Misconfigured(f"{path}: --follow and --watch need a path of this machine")


def _stopping() -> threading.Event:
    """Set by Ctrl-C and by SIGTERM: what was begun is stored first."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _follow(
    paths: Sequence[str], intake: Any, connection: Any, options: Any, rejects: Path, ending: str
) -> None:
    from producers.follow import Follower, follow
    from producers.taking import Taker

    def tell(path: str, tally: Tally) -> None:
        click.echo(f"{path}: {_told(tally)}{ending}")

    taker = Taker(intake, options, rejects)
    followers = [Follower(path, taker, options, connection, tell) for path in paths]
    stop = _stopping()
    click.echo(f"following {', '.join(paths)}", err=True)
    follow(followers, stop)


def _watch(folders: Sequence[str], reader: Any, ending: str) -> None:
    from producers.watch import Watch, watch

    def tell(path: Path, found: Any) -> None:
        said = f"{found}" if isinstance(found, Exception) else f"{_told(found)}{ending}"
        click.echo(f"{path}: {said}", err=isinstance(found, Exception))

    watches = [Watch(Path(folder), reader, tell) for folder in folders]
    stop = _stopping()
    click.echo(f"watching {', '.join(folders)}", err=True)
    watch(watches, stop)


class _Progress:
    """A bar with rate and time left on a terminal; nothing where nobody looks."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._console = Console(file=sys.stderr)
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, tally: Any, source: Any) -> None:
        if source.name not in self._tasks:
            self._tasks[source.name] = self._bar.add_task(
                Path(source.name).name, total=source.size, rate=""
            )
        task = self._tasks[source.name]
        elapsed = self._bar.tasks[task].elapsed or 0.001
        self._bar.update(
            task, completed=source.position, rate=f"{tally.row} rows, {tally.row / elapsed:.0f}/s"
        )

    def print(self, text: str) -> None:
        self._bar.stop()
        click.echo(text)
        self._bar.start()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@command
def webhook(host: str, port: int) -> None:
    """Serve POST /reviews; documentation at /docs, metrics at /metrics."""
    import contextlib

    import uvicorn

    from producers.connections import door_config
    from producers.webhook import create_app

    settings, connection, _ = opened()
    app = create_app(settings, connection)
    click.echo(f"webhook on http://{host}:{port}/reviews (docs: /docs)", err=True)
    with contextlib.suppress(KeyboardInterrupt):  # all that was under way is answered by then
        uvicorn.Server(door_config(app, settings, host, port)).run()
