"""`database`: an empty record, once on SQLite and once on a real PostgreSQL that the tests start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, text

from consumers.record.database import open_database
from shared.settings import Settings
from tests.conftest import wait_until

# Its own user where we are root, as which PostgreSQL does not run.
_USER = "nobody"


def _binaries() -> Path:
    """The folder with initdb and postgres: Debian's, else the wheel pgserver's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    import pgserver

    return Path(pgserver.__file__).parent / "pginstall" / "bin"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a running server, without a database; on a unix socket, so without a port."""
    folder = Path(tempfile.mkdtemp(prefix="beyond-pg-", dir="/tmp"))
    alone = {"user": _USER} if os.getuid() == 0 else {}
    if alone:
        shutil.chown(folder, _USER)
    binaries, data = _binaries(), folder / "data"
    made = [binaries / "initdb", "-D", data, "-U", "beyond", "-A", "trust", "-E", "UTF8"]
    subprocess.run(
        [*made, "--no-sync", "--locale=C.UTF-8"], check=True, capture_output=True, **alone
    )  # type: ignore[call-overload]
    options = ["-h", "", "-k", folder, "-c", "fsync=off", "-c", "max_connections=50"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, *options],
            stdout=log,
            stderr=log,
            **alone,  # type: ignore[call-overload]
        )
    url = f"postgresql+psycopg://beyond@/{{}}?host={folder}"
    engine = create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")

    def answers() -> bool:
        try:
            with engine.connect():
                return True
        except Exception:
            return False

    try:
        assert wait_until(answers, 60), (folder / "log").read_text()
        yield url
    finally:
        engine.dispose()
        server.send_signal(signal.SIGINT)  # SIGTERM waits for connections that tests left open
        server.wait(120)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def record_settings(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Settings:
    """Settings whose record is an empty database of its own."""
    if request.param == "sqlite":
        return settings
    url: str = request.getfixturevalue("postgresql")
    name = f"t{abs(hash(str(tmp_path)))}"
    engine = create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    engine.dispose()
    return settings.model_copy(update={"database_url": SecretStr(url.format(name))})


@pytest.fixture
def database(record_settings: Settings) -> Iterator[Engine]:
    """An empty record of this version."""
    engine = open_database(record_settings)
    yield engine
    engine.dispose()
