"""`beyond platforms`: which platforms there are, how a payload would be read, and the address to paste."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from shared.cli import command


@click.group()
def platforms() -> None:
    """Review platforms that may post to the webhook."""


@platforms.command("list")
@command
def list_platforms() -> None:
    """Every platform that is known, whether it has a secret, and what was verified against what."""
    from producers.platforms import descriptions, secrets_of
    from producers.platforms.mapping import read_description
    from shared.settings import load_settings

    settings = load_settings()
    for name, path in descriptions(settings).items():
        described = read_description(path)
        state = "served" if secrets_of(settings, name) else "no secret"
        click.echo(f"{name:20}{state:11}{described.verify.scheme:19}{described.title}")
        click.echo(f"{'':20}{described.checked}")


@platforms.command("test")
@click.argument("name")
@click.option("--payload", type=click.File("rb"), required=True, help="the raw body, or -")
@click.option("--header", "headers", multiple=True, help="NAME: VALUE, as the platform sent it")
@click.option("--key", default="", help="last part of a secret address")
@click.option("--secret", help="instead of the configured ones")
@command
def test_platform(
    name: str, payload: BinaryIO, headers: tuple[str, ...], key: str, secret: str | None
) -> None:
    """Show how a payload would be verified and read; nothing is stored.

    Without --header and --key the proof is not judged, and the output says so.
    """
    import time

    from producers.intake import make_review
    from producers.platforms.events import Delivery
    from producers.platforms.mapping import Mapping, read_description
    from shared.settings import load_settings

    path, found = _described(name)
    settings = load_settings()
    body = payload.read()
    pairs = [h.partition(":") for h in headers]
    delivery = Delivery({n.strip().lower(): v.strip() for n, _, v in pairs}, body, key)
    judged = bool(headers or key)
    described = read_description(path)
    # Parsing needs no secret, the class does, and of the right form.
    unproved = "nobody nowhere" if described.verify.scheme == "oidc" else "whsec_" + "A" * 32
    secrets = [secret] if secret else found if judged else [unproved]
    platform = Mapping(name, described, secrets, time.time)
    if judged:
        platform.verify(delivery)
    click.echo("proof: genuine" if judged else "proof: not judged (give --header or --key)")
    events = platform.parse(delivery)
    if not events:
        click.echo("no event for us: answered with 204")
    for event in events:
        if event.wanted:
            click.echo(f"fetch {event.fields['external_id']} (by `beyond poll`, source {name})")
        elif event.deleted:
            click.echo(f"delete {event.fields['external_id']} (event of {event.happened_at})")
        else:
            review = make_review(event.fields, settings.author_key)
            click.echo(f"save (event of {event.happened_at}): {review.model_dump_json(indent=2)}")


@platforms.command()
@click.argument("name")
@click.option(
    "--base", default="https://YOUR-HOST", show_default=True, help="where you are reached"
)
@command
def url(name: str, base: str) -> None:
    """The address to paste into the platform; a secret address shows its secret."""
    from urllib.parse import quote

    from producers.platforms.mapping import read_description

    path, secrets = _described(name)
    address = f"{base.rstrip('/')}/reviews/{name}"
    if read_description(path).verify.scheme == "secret-path":
        address += "/" + (quote(secrets[0], safe="") if secrets else "SECRET")
    click.echo(address)


def _described(name: str) -> tuple[Path, list[str]]:
    from producers.platforms import descriptions, secrets_of
    from shared.errors import Misconfigured
    from shared.settings import load_settings

    settings = load_settings()
    known = descriptions(settings)
    if name not in known:
        raise Misconfigured(f"there is no platform {name!r}; there are {', '.join(sorted(known))}")
    return known[name], secrets_of(settings, name)
