"""`beyond work` and `beyond classify`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from shared.cli import command, opened
from shared.errors import InvalidReview

_BATCH_LINES = 512


@click.command()
@click.option("--burst", is_flag=True, help="stop when nothing waits or is in flight")
@click.option(
    "--workers",
    "count",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="processes; with --devices, for each of these",
)
@click.option(
    "--devices",
    metavar="all|0,1",
    help="a worker for each of these GPUs, which sees no other  [default: all in one worker]",
)
@command
def work(burst: bool, count: int, devices: str | None) -> None:
    """Analyse queued reviews. Ctrl-C or SIGTERM: finish the batch in hand, then stop."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from shared.stream.launch import record_command, worker_environment
    from workers import devices as gpus
    from workers.beside import Beside
    from workers.supervisor import Supervisor

    settings, connection, store = opened()
    places = gpus.places(settings, count, gpus.chosen(devices) if devices else None)
    if devices and not settings.device.startswith("cuda"):
        click.echo(
            f"BEYOND_DEVICE={settings.device}: models run there, not on GPUs {devices}; "
            "set BEYOND_PRESET=gpu",
            err=True,
        )
    # Its metrics would need a port of their own; the workers have the one that is set.
    environment = worker_environment(settings, BEYOND_METRICS_PORT="0")
    record = Beside(record_command(), environment) if settings.record else None
    supervisor = Supervisor(settings, connection, places, beside=record)
    columns = (
        TextColumn("analysed"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(file=sys.stderr), disable=not (burst and sys.stderr.isatty())
    ) as bar:
        task = bar.add_task("analysed")

        def progress() -> None:
            if not bar.disable:
                counts = store.counts()
                bar.update(task, completed=counts["analysed"], total=counts["stored"])

        code = supervisor.run(burst, progress)
    if burst:
        if settings.record:  # the projector was stopped with the workers, wherever it was
            subprocess.run(record_command("--once"), env=environment, stdout=sys.stderr)
        counts = store.counts()
        click.echo(f"{counts['analysed']} of {counts['stored']} stored reviews are analysed")
    sys.exit(code)


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@command
def classify(source: Path, target: Path) -> None:
    """Classify the `text` of each line of SOURCE (JSON lines) into TARGET; order kept, no queue, no store.

    Each line gets `emotions` (28 probabilities) and `present`; its other fields stay. A line's stars
    (`rating` or `stars`, 1 to 5) are read, too.
    """
    from shared.inference.emotions import load_emotions
    from shared.settings import load_settings

    classifier = load_emotions(load_settings())
    done = 0
    with source.open(encoding="utf-8-sig") as lines, target.open("w", encoding="utf-8") as out:
        batch: list[dict[str, Any]] = []
        for number, line in enumerate(lines, 1):
            if line.strip():
                batch.append(_record(source, number, line))
            if len(batch) >= _BATCH_LINES:
                done += _classify(classifier, batch, out)
                click.echo(f"\r{done} classified", nl=False, err=True)
        done += _classify(classifier, batch, out)
    click.echo(f"\r{done} classified into {target}", err=True)


def _record(source: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InvalidReview(f"{source}:{number}: not JSON: {error}") from None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise InvalidReview(
            f'{source}:{number}: text: a JSON object with a string "text" is expected'
        )
    return record


def _stars(record: dict[str, Any]) -> float | None:
    """The line's `rating`, else its `stars`, where that is a number of one to five."""
    for name in ("rating", "stars"):
        value = record.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 5:
            return float(value)
    return None


def _classify(classifier: Any, batch: list[dict[str, Any]], out: Any) -> int:
    for record, emotions in zip(
        batch,
        classifier.classify([r["text"] for r in batch], [_stars(r) for r in batch]),
        strict=True,
    ):
        shown = {**record, "emotions": emotions.probabilities, "present": list(emotions.present)}
        out.write(json.dumps(shown, ensure_ascii=False) + "\n")
    count = len(batch)
    batch.clear()
    return count
