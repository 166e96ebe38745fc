"""`beyond acl`: users of the server with no more rights than their role needs. It knows no reviews."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from shared.cli import command, opened
from shared.errors import Misconfigured
from shared.settings import load_settings
from shared.stream.access import NAMES, acl_file, prepare


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="file, readable by its owner alone  [default: standard output]",
)
@click.option(
    "--prepare",
    "preparing",
    is_flag=True,
    help="instead: make the server ready for producers that may not read reviews (once, as admin)",
)
@command
def acl(out: Path | None, preparing: bool) -> None:
    """Print the server's ACL file: users producer, worker, reader, record, trainer, admin.

    Start the server with `--aclfile FILE`, run `beyond acl --prepare` once as admin, then give each
    program its own user: BEYOND_REDIS_URL=rediss://producer:PASSWORD@HOST:6379/0.

    Passwords come from BEYOND_ROLE_PASSWORDS (JSON: role to password); without it they are made up
    and told on standard error, once. The file holds their hashes.
    """
    if preparing:
        _, connection, _ = opened()
        click.echo(f"ready: producers need not read reviews; {prepare(connection)} stored")
        return
    given = {n: s.get_secret_value() for n, s in load_settings().role_passwords.items()}
    text = acl_file(given and _complete(given) or _made_up())
    if out is None:
        click.echo(text, nl=False)
        return
    out.touch(mode=0o600, exist_ok=True)
    out.chmod(0o600)
    out.write_text(text)


def _complete(given: dict[str, str]) -> dict[str, str]:
    weak = [name for name in NAMES if len(given.get(name, "")) < 16]
    unknown = sorted(set(given) - set(NAMES))
    if weak or unknown:
        raise Misconfigured(
            "BEYOND_ROLE_PASSWORDS: "
            + (f"{', '.join(weak)} need a password of at least 16 characters. " if weak else "")
            + (
                f"There is no role {', '.join(unknown)}; there are {', '.join(NAMES)}."
                if unknown
                else ""
            )
        )
    return given


def _made_up() -> dict[str, str]:
    made = {name: secrets.token_urlsafe(24) for name in NAMES}
    for name, password in made.items():
        click.echo(f"{name}: BEYOND_REDIS_URL=redis://{name}:{password}@HOST:6379/0", err=True)
    return made
