"""`dashboard`: the real app over a real record of 2,000 reviews and a real server, and tokens of every kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis
from fastapi import FastAPI
from sqlalchemy import Engine, select
from starlette.testclient import TestClient

from consumers.dashboard.app import create_app
from consumers.dashboard.tokens import create_token
from consumers.record.database import open_database, writing
from consumers.record.schema import reviews
from shared.settings import Settings
from shared.stream import broker
from tests.conftest import CACHE
from tests.consumers.record.filled import NEWEST, filled

OURS, THEIRS = "Harbour Grill", "Hotel Linde"
REVIEWS = 2000
NOW = NEWEST.timestamp()


@dataclass
class Dashboard:
    """The app and what opens it."""

    app: FastAPI
    settings: Settings
    engine: Engine
    redis: redis.Redis
    secrets: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def secret(self, role: str = "admin", business: str | None = None) -> str:
        """A token of this kind, always the same one."""
        if (role, business) not in self.secrets:
            with writing(self.engine) as connection:
                name = f"{role} of {business or 'all'}"
                _, secret = create_token(connection, name, role, business, NOW)  # type: ignore[arg-type]
            self.secrets[role, business] = secret
        return self.secrets[role, business]

    def client(self, role: str = "admin", business: str | None = None) -> TestClient:
        """Signed in by a bearer token; errors of the app are answers, as on a real server."""
        headers = {"Authorization": f"Bearer {self.secret(role, business)}"}
        return self.anyone(headers)

    def anyone(self, headers: dict[str, str] | None = None) -> TestClient:
        """Not signed in."""
        return TestClient(
            self.app, headers=headers, follow_redirects=False, raise_server_exceptions=False
        )

    def ids(self, business: str, limit: int = 10_000) -> list[str]:
        """The business's reviews."""
        query = select(reviews.c.id).where(reviews.c.business == business).limit(limit)
        with self.engine.connect() as connection:
            return list(connection.scalars(query))


def open_dashboard(settings: Settings, count: int = REVIEWS) -> Dashboard:
    engine, connection = open_database(settings), broker.connect(settings)
    filled(engine, count)
    # Time stands still, but at the end of what was filled in.
    app = create_app(settings, engine, connection, clock=lambda: NOW)
    return Dashboard(app, settings, engine, connection)


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    home = tmp_path_factory.mktemp("dashboard") / "home"
    found = open_dashboard(Settings(home=home, cache=CACHE))
    yield found
    found.engine.dispose()
    broker.release(home)


def soon(seconds: float = 30) -> float:
    """A deadline for what must happen."""
    return time.monotonic() + seconds
