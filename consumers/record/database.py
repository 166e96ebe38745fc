"""Where the record lies: SQLite under BEYOND_HOME, or PostgreSQL by BEYOND_DATABASE_URL; its schema's version.

Opening brings an older schema forward. What people wrote is carried over by steps; derived tables
are dropped, and the projector fills them again from the store. The SQLite file is copied before.
It does not know what the rows mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from consumers.record.schema import VERSION, derived, people
from consumers.record.text_search import create_text_index, drop_text_index
from shared.errors import Misconfigured, TemporaryFailure
from shared.settings import Settings

# A writer waits for another one so long: a batch of the projector takes a tenth of a second, a day
# of a rebuild some seconds.
_BUSY_SECONDS = 60
# SQLite's own cache, of each connection. Processes with many of them take less.
_CACHE_KIB = 32_000
# Any number that no other program on the same PostgreSQL database locks.
_LOCK = 727_365
# Version that a step starts from -> statements for the people's tables (derived ones are made anew).
STEPS: Mapping[int, Sequence[str]] = {}


def record_path(settings: Settings) -> Path:
    """The SQLite file, where no BEYOND_DATABASE_URL is set."""
    return settings.home / "record.db"


def open_database(settings: Settings, cache_kib: int = _CACHE_KIB) -> Engine:
    """The record's engine, with all tables of this version.

    Read with `engine.connect()`, write with `writing(engine)`. `cache_kib`: of each connection, on
    SQLite.

    Raises:
        Misconfigured: the URL is not PostgreSQL's, or a newer version wrote the database.
        TemporaryFailure: the database does not answer.
    """
    return open_url(_url(settings), cache_kib=cache_kib)


def open_url(
    url: URL, steps: Mapping[int, Sequence[str]] = STEPS, cache_kib: int = _CACHE_KIB
) -> Engine:
    """`open_database` for a URL; `steps` lead from older schema versions to this one."""
    # Errors name the statement without its values: those are reviews, and errors go into logs.
    # The connection used last is taken first: each has a cache of its own, one is warm enough.
    engine = create_engine(
        url,
        pool_pre_ping=url.get_backend_name() != "sqlite",
        hide_parameters=True,
        pool_use_lifo=True,
    )
    if engine.dialect.name == "sqlite":
        _listen(engine, cache_kib)
    try:
        _bring_forward(engine, steps)
    except DBAPIError as error:
        engine.dispose()
        raise TemporaryFailure(
            f"the record's database {url.render_as_string()} cannot be used: {error.orig}; "
            "check BEYOND_DATABASE_URL, the disk's space and the file's owner"
        ) from error
    return engine


@contextmanager
def writing(engine: Engine, alone: bool = False) -> Iterator[Connection]:
    """One transaction that writes; on SQLite it holds the write lock from its beginning.

    Without that, a transaction that reads before it writes fails when another one wrote between.

    Args:
        engine: of open_database.
        alone: no other such transaction runs meanwhile on PostgreSQL either: for derived tables.
    """
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if alone:
            _lock(connection)
        yield connection


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def _url(settings: Settings) -> URL:
    given = settings.database_url.get_secret_value() if settings.database_url else ""
    if not given:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return URL.create("sqlite", database=str(record_path(settings)))
    try:
        url = make_url(given)
    except ArgumentError:
        url = URL.create("unreadable")
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise Misconfigured(
            "BEYOND_DATABASE_URL: use postgresql://USER:PASSWORD@HOST/DATABASE, "
            "or leave it unset for SQLite under BEYOND_HOME"
        )
    return url.set(drivername="postgresql+psycopg")


def _listen(engine: Engine, cache_kib: int) -> None:
    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `_begin` says so
        for pragma in (
            f"busy_timeout = {_BUSY_SECONDS * 1000}",
            "journal_mode = WAL",
            # A power cut may undo the last batches, never damage the file; the feed gives them again.
            "synchronous = NORMAL",
            f"cache_size = {-cache_kib}",
            "temp_store = MEMORY",
            "wal_autocheckpoint = 4000",  # pages: 16 MB are copied into the file at once
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _bring_forward(engine: Engine, steps: Mapping[int, Sequence[str]]) -> None:
    """Create what is missing; of several processes that start at once, one does it."""
    if _version(engine) == VERSION:
        return
    with writing(engine, alone=True) as connection:
        found = _version(connection)
        if found == VERSION:
            return
        if found is not None and found > VERSION:
            raise Misconfigured(
                f"the record has schema version {found}, this program knows {VERSION}: "
                "install the newer version again, or set another BEYOND_HOME"
            )
        if found is not None:
            _keep_copy(engine, found)
            for version in range(found, VERSION):
                for statement in steps.get(version, ()):
                    connection.execute(text(statement))
            drop_text_index(connection)
            derived.drop_all(connection)
        derived.create_all(connection)
        people.create_all(connection)
        create_text_index(connection)
        connection.execute(text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER)"))
        connection.execute(text("DELETE FROM schema_version"))
        connection.execute(text("INSERT INTO schema_version VALUES (:v)"), {"v": VERSION})


def _version(bind: Engine | Connection) -> int | None:
    """Of the schema in the database; None: there is none."""
    if not inspect(bind).has_table("schema_version"):
        return None
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            return _version(connection)
    found = bind.execute(text("SELECT version FROM schema_version")).scalar()
    return None if found is None else int(found)


def _keep_copy(engine: Engine, version: int) -> None:
    """The SQLite file as it was, beside it; PostgreSQL's backups are its owner's matter."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        target = f"{engine.url.database}.v{version}"
        with (
            closing(sqlite3.connect(engine.url.database)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
