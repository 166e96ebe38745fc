"""`beyond dashboard` serves API and pages; `beyond tokens` makes, lists and revokes what opens them."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

import click

from consumers.dashboard.tokens import create_token, list_tokens, revoke_token
from consumers.record.database import open_database, writing
from consumers.record.scope import ROLES
from shared.cli import command, opened, table
from shared.errors import Misconfigured
from shared.settings import load_settings

# A dozen connections may be open at once; what is not in it is in the system's cache anyway.
_CACHE_KIB = 8_000
_LOCAL = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: the whole network")
@click.option("--port", default=8800, show_default=True, type=click.IntRange(0, 65535))
@click.option("--open", "opens", is_flag=True, help="in your browser as well")
@command
def dashboard(host: str, port: int, opens: bool) -> None:
    """Serve the dashboard and its API (/v1, described by /v1/openapi.json)."""
    import webbrowser

    import uvicorn

    from consumers.dashboard.app import Once, create_app

    settings, connection, _ = opened()
    engine = open_database(settings, cache_kib=_CACHE_KIB)
    once = None
    with writing(engine) as database:
        if not any(token.revoked_at is None for token in list_tokens(database)):
            identity, secret = create_token(database, "owner", "admin", None, time.time())
            once = Once(identity)
    if once is not None:
        click.echo(f"Your first token, role admin; it is not shown again:\n\n  {secret}\n")

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            taken = next((s.sockets[0].getsockname()[1] for s in self.servers), port)
            shown = "127.0.0.1" if host in _LOCAL else host
            address = f"http://{f'[{shown}]' if ':' in shown else shown}:{taken}"
            click.echo(f"Dashboard: {address}/  API: {address}/v1/openapi.json")
            link = f"{address}/"
            if once is not None and host in _LOCAL:
                link = f"{address}/once/{once.code}"
                click.echo(f"Sign in now, once, by this link: {link}")
            if opens:
                # A browser that ends only when it is closed would hold up the server that it asks.
                threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()

    # The first reader would wait seconds for it; nobody waits for this thread.
    threading.Thread(target=importlib.import_module, args=("scipy.stats",), daemon=True).start()
    app = create_app(settings, engine, connection, once=once)
    Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    ).run()


@click.group()
def tokens() -> None:
    """What opens the dashboard and its API: tokens with a role, perhaps for one business only."""


@tokens.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="read", show_default=True)
@click.option("--business", help="only this business  [default: all]")
@command
def tokens_create(name: str, role: Any, business: str | None) -> None:
    """Make a token for NAME (a person or a program) and show it, once."""
    with writing(open_database(load_settings())) as connection:
        identity, secret = create_token(connection, name, role, business, time.time())
    click.echo(secret)
    click.echo(f"token {identity} for {name}: it is not shown again", err=True)


@tokens.command("list")
@command
def tokens_list() -> None:
    """All tokens, without their secrets."""
    with open_database(load_settings()).connect() as connection:
        found = list_tokens(connection)
    rows = [
        [
            token.id,
            token.name,
            token.role,
            "all" if token.business is None else token.business,
            f"{token.created_at:%Y-%m-%d}",
            f"{token.used_at:%Y-%m-%d %H}h" if token.used_at else "never",
            f"revoked {token.revoked_at:%Y-%m-%d}" if token.revoked_at else "in force",
        ]
        for token in found
    ]
    table("Tokens", ["id", "name", "role", "business", "made", "used", "state"], rows)


@tokens.command("revoke")
@click.argument("ids", nargs=-1, required=True)
@command
def tokens_revoke(ids: tuple[str, ...]) -> None:
    """End tokens (IDS, as listed), and every session that they opened."""
    with writing(open_database(load_settings())) as connection:
        for identity in ids:
            if not revoke_token(connection, identity, time.time()):
                raise Misconfigured(f"no token {identity} in force; see `beyond tokens list`")
    click.echo(f"{len(ids)} revoked")
