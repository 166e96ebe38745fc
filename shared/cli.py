"""What every command shares: settings, a connection, errors as one clear line, and tables.

It does not know what the commands do.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click
from redis.exceptions import RedisError

from shared.errors import BeyondError, InvalidReview, Overloaded, TemporaryFailure
from shared.inert import inert
from shared.settings import Settings, load_settings


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of ours become `Error: ...` and an exit code: 75 (EX_TEMPFAIL) where repeating helps, else 2."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BeyondError as error:
            click.secho(f"Error: {inert(str(error))}", fg="red", err=True)
            sys.exit(
                75
                if isinstance(error, TemporaryFailure | Overloaded)
                else 65
                if isinstance(error, InvalidReview)
                else 2
            )
        except RedisError as error:
            click.secho(
                f"Error: the Redis server refused or was lost: {error}; see `beyond status`",
                fg="red",
                err=True,
            )
            sys.exit(75)
        except BrokenPipeError:
            sys.exit(0)  # `| head` closed the pipe: that is no error

    return run


def opened(**overrides: Any) -> tuple[Settings, Any, Any]:
    """Settings, a server connection, and the Store on it.

    Logging and redaction as the settings say.
    """
    from shared.privacy import follow
    from shared.stream.broker import connect
    from shared.stream.store import store_of
    from shared.telemetry import configure

    settings = load_settings(**overrides)
    configure(settings.log_format, settings.log_level)
    follow(settings.privacy)
    connection = connect(settings)
    return settings, connection, store_of(settings, connection)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print rows as a table that folds long cells."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = Table(title=title, title_justify="left", show_lines=True)
    for column in columns:
        out.add_column(column, overflow="fold")
    for row in rows:
        # As Text: what a customer wrote is neither markup nor an order to the terminal.
        out.add_row(*(Text(inert(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else 140).print(out)
