"""`beyond adapters` and `beyond publish`."""

from __future__ import annotations

from typing import Any

import click

from shared.cli import command, table


def _registry() -> Any:
    from shared.inference.adapters import open_registry
    from shared.settings import load_settings

    return open_registry(load_settings())


@click.group()
def adapters() -> None:
    """Adapters: immutable folders and one promoted pointer per task."""


@adapters.command("list")
@command
def list_adapters() -> None:
    """All complete adapters, oldest first; * marks the promoted ones."""
    registry = _registry()
    found = registry.all()
    promoted = {task: registry.promoted(task) for task in {m.task for m in found}}
    rows = [
        [
            "*" if promoted[m.task] == m.id else "",
            m.id,
            m.task,
            m.base,
            f"{m.created_at:%Y-%m-%d %H:%M}",
            _scores(m.scores),
        ]
        for m in found
    ]
    table("Adapters", ["", "id", "task", "base", "created", "scores"], rows)


def _scores(scores: dict[str, float]) -> str:
    shown = ("issue_f1", "meteor", "parsed", "verbatim")
    return " ".join(f"{k} {scores[k]:.3f}" for k in shown if k in scores)


@adapters.command()
@click.argument("name")
@command
def show(name: str) -> None:
    """An adapter's manifest, its files checked against their hashes."""
    registry = _registry()
    registry.fetch(name)
    click.echo(registry.manifest(name).model_dump_json(indent=2))


@adapters.command()
@click.argument("name")
@command
def promote(name: str) -> None:
    """Make NAME the serving adapter of its task; workers switch between batches."""
    manifest = _registry().promote(name)
    click.echo(f"{manifest.id} is promoted for {manifest.task}")


@adapters.command()
@click.option("--task", default="issues", show_default=True)
@command
def rollback(task: str) -> None:
    """Return to the adapter that served before."""
    click.echo(f"{_registry().rollback(task)} is promoted for {task}")


@adapters.command()
@click.option(
    "--keep",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="newest adapters to keep per task",
)
@command
def prune(keep: int) -> None:
    """Remove old adapters; never a promoted one."""
    gone = _registry().prune(keep)
    click.echo(f"removed {len(gone)}: {', '.join(gone) or 'nothing to remove'}")


@click.command()
@click.argument("repo")
@click.option("--adapter", help="its id  [default: the promoted one]")
@click.option("--task", default="issues", show_default=True)
@click.option("--endpoint", help="another hub than the default one")
@command
def publish(repo: str, adapter: str | None, task: str, endpoint: str | None) -> None:
    """Upload an adapter and its model card to REPO (ORG/NAME) on a model hub."""
    from shared.errors import Misconfigured
    from trainer.publish import publish as upload

    registry = _registry()
    name = adapter or registry.promoted(task)
    if name is None:
        raise Misconfigured(f"no adapter of task {task} is promoted; name one with --adapter")
    click.echo(upload(registry, name, repo, endpoint=endpoint))
