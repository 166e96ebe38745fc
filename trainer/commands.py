"""`beyond train` and its five steps as commands, and `beyond schedule`."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from shared.cli import command, opened

_BASES = {"laptop", "gpu"}


def plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a cycle's plan."""
    for option in reversed(
        [
            click.option(
                "--teacher",
                help="gguf:PATH_OR_HUB_ID | openai:URL | file:PATH  [default: BEYOND_TEACHER]",
            ),
            click.option(
                "--task", default="issues", show_default=True, help="issues, feedback or reply"
            ),
            click.option(
                "--student",
                type=click.Choice(["matched", "generated"]),
                help="[default: what the preset serves]",
            ),
            click.option(
                "--also",
                multiple=True,
                help="a further task to learn from the same labels, e.g. reply",
            ),
            click.option(
                "--base", help="laptop, gpu, or a model: hub:ORG/NAME, wheel:NAME, a folder"
            ),
            click.option(
                "--recipe", default="default", show_default=True, help="default, original or phi-2"
            ),
            click.option("--epochs", type=click.FloatRange(0.01, 100)),
            click.option("--rate", type=click.FloatRange(1e-7, 1), help="peak learning rate"),
            click.option(
                "--reviews",
                default=500,
                show_default=True,
                type=click.IntRange(1),
                help="new reviews to sample",
            ),
            click.option(
                "--margin", default=0.0, show_default=True, help="a refresh may be worse by so much"
            ),
            click.option(
                "--min-examples",
                default=40,
                show_default=True,
                help="reviews the holdout must have",
            ),
            click.option(
                "--marks",
                default="",
                help="verdicts on spans of stored reviews, for a matched student",
            ),
            click.option(
                "--labels",
                multiple=True,
                help="reviews with every complaint marked, for a matched student; a tenth of the real ones fits its confidence",
            ),
            click.option(
                "--from-champion",
                is_flag=True,
                help="go on from the promoted adapter, not from the base",
            ),
            click.option("--licence", default="", help="noted in the adapter's manifest"),
        ]
    ):
        function = option(function)
    return function


def teacher_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How a teacher is asked; no part of the plan, so a run may go on with others."""
    for option in (
        click.option(
            "--price-per-million",
            "price",
            help="PRICE or PROMPT,ANSWER of the teacher's tokens  [default: BEYOND_TEACHER_PRICE]",
        ),
        click.option(
            "--parallel",
            type=click.IntRange(1, 256),
            help="reviews an openai: teacher is asked at once; a gguf: one takes one  [default: "
            "BEYOND_TEACHER_PARALLEL, 4]",
        ),
    ):
        function = option(function)
    return function


def _plan(options: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from shared.errors import Misconfigured
    from trainer.run import Plan

    try:
        return Plan(**{k: v for k, v in options.items() if v is not None})
    except ValidationError as error:
        raise Misconfigured(
            "; ".join(f"--{e['loc'][0]}: {e['msg']}" for e in error.errors())
        ) from None


def _opened(
    base: str | None, parallel: int | None = None, price: str | None = None
) -> tuple[Any, Any, Any]:
    """Settings with what the user names; a worker child inherits it through the environment."""
    if parallel:
        os.environ["BEYOND_TEACHER_PARALLEL"] = str(parallel)
    if price:
        os.environ["BEYOND_TEACHER_PRICE"] = price
    if base in _BASES:
        os.environ["BEYOND_PRESET"] = str(base)
    elif base:
        os.environ["BEYOND_INSIGHT_MODEL"] = base
    return opened()


@click.command()
@plan_options
@click.option(
    "--run",
    "name",
    help="name of the run folder under HOME/runs  [default: the unfinished one, or a new one]",
)
@click.option(
    "--new", is_flag=True, help="begin a new run even if one with this plan is unfinished"
)
@teacher_options
@command
def train(
    base: str | None,
    name: str | None,
    new: bool,
    parallel: int | None,
    price: str | None,
    **options: Any,
) -> None:
    """One cycle: sample, label, finetune, evaluate, promote. Killed and started again, it goes on.

    A run that was tried four times without getting further, whose sample cannot be trained on or is
    older than a week is left, and a new one begins; --run NAME goes on with it all the same.
    """
    from trainer.schedule import exclusive
    from trainer.schedule import train as cycle

    settings, connection, store = _opened(base, parallel, price)
    told = functools.cache(lambda text: click.echo(text, err=True))  # once
    with exclusive(connection, settings.lease_seconds, told) as ours:

        def say(line: str) -> None:
            ours()
            click.echo(line)

        run = cycle(_plan(options), settings, store, say, name, new=new)
    facts = run.facts["promote"]
    click.secho(
        f"{facts['verdict']}: {facts.get('adapter', 'the serving adapter stays')}", bold=True
    )
    click.echo(f"report: {run.folder / 'report.md'}")


@click.command()
@plan_options
@click.option("--run", "name", help="name of the run folder under HOME/runs")
@command
def sample(base: str | None, name: str | None, **options: Any) -> None:
    """Step 1: choose stored reviews for the teacher.

    Prints the run folder that the other steps take.
    """
    from trainer.cycle import Cycle
    from trainer.run import open_run

    settings, _, store = _opened(base)
    run = open_run(settings.home, _plan(options), name)
    Cycle(run, settings, store, lambda line: click.echo(line, err=True)).step("sample")
    click.echo(run.folder)


def _step(name: str, text: str, asks: bool = False) -> click.Command:
    @click.command(name, help=text)
    @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
    @click.option("--base", help="as for `beyond train`")
    @command
    def run_step(
        folder: Path, base: str | None, parallel: int | None = None, price: str | None = None
    ) -> None:
        from trainer.cycle import Cycle
        from trainer.run import Run

        settings, _, store = _opened(base, parallel, price)
        Cycle(Run(folder), settings, store, click.echo).step(name)

    return teacher_options(run_step) if asks else run_step  # type: ignore[return-value]


label = _step("label", "Step 2: let the teacher label the sample of the run in FOLDER.", asks=True)
finetune = _step("finetune", "Step 3: train an adapter on the run's labels.")
evaluate = _step(
    "evaluate",
    "Step 4: compare base, champion and challenger on the holdout; writes report.md and pictures.",
)
promote = _step(
    "promote", "Step 5: promote the adapter if it passes the gate, otherwise say why not."
)


@click.command()
@plan_options
@click.option(
    "--every",
    default=0,
    type=click.IntRange(0),
    help="a cycle after so many stored reviews, and so many more, ...",
)
@click.option("--cron", help="five fields, UTC, e.g. '0 3 * * *'")
@click.option("--poll", default=5.0, show_default=True, help="seconds between looks")
@click.option(
    "--no-worker",
    is_flag=True,
    help="only enqueue; a worker of the queue `training` runs elsewhere",
)
@teacher_options
@command
def schedule(
    base: str | None,
    every: int,
    cron: str | None,
    poll: float,
    no_worker: bool,
    parallel: int | None,
    price: str | None,
    **options: Any,
) -> None:
    """Run cycles periodically through the queue `training`, one at a time across machines."""
    from shared.stream.launch import worker_command, worker_environment
    from shared.stream.names import TRAINING
    from shared.stream.processes import die_with_parent
    from shared.telemetry import log
    from trainer.schedule import Schedule

    settings, connection, store = _opened(base, parallel, price)
    plan = Schedule(connection, store, _plan(options), every=every, cron=cron)
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    # A training says something at least every ten steps; a big model on a slow machine may need
    # minutes for those.
    environment = worker_environment(
        settings, BEYOND_HANG_SECONDS=str(max(settings.hang_seconds, 3600))
    )
    worker: subprocess.Popen[bytes] | None = None
    try:
        while not stop.is_set():
            plan.enqueue()
            if not no_worker and (worker is None or worker.poll() is not None):
                if worker is not None:
                    log("schedule").warning("training_worker_died", code=worker.returncode)
                worker = subprocess.Popen(
                    worker_command((TRAINING,)),
                    env=environment,
                    process_group=0,
                    preexec_fn=die_with_parent,
                )
            stop.wait(poll)
    finally:
        if worker is not None and worker.poll() is None:
            # Not warm: a cycle takes an hour, is resumable, and its lease runs out by itself.
            worker.kill()
            worker.wait()
