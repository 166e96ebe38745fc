"""A real server for every test that asks for one, real worker processes, and the packaged
models."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from shared.review import Review
from shared.settings import Settings
from shared.stream import broker
from shared.stream.store import Store

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
CACHE = Path.home() / ".cache" / "beyond-sentiment"
# Files run in parallel share the cores: with a thread for each core in every process, idle threads
# spin where others would work (five times slower on 2 cores).
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
# A shell ignores SIGINT for what it runs in the background, and children inherit that: `make test
# &` must test Ctrl-C too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def make_review(
    number: int = 0, text: str = "The soup was cold.", rating: float | None = 2
) -> Review:
    return Review(
        source="test",
        external_id=f"r{number}",
        text=text,
        rating=rating,
        business="b",
        created_at=EPOCH + timedelta(minutes=number),
    )


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def free_port() -> int:
    """A port of the loopback that nobody listens on; two tests get two."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shared_data(name: str) -> Path:
    """A file or folder of ../shared/data; the test is not run where it is missing."""
    if not (DATA / name).exists():
        pytest.skip("needs ../shared/data, whose texts may not be committed")
    return DATA / name


# What a test must use to be marked: a fixture, or a name that its module imports.
_SIGNS = {
    "server": {"server", "store", "processes", "broker", "house", "link"},
    "models": {"tiny", "poor", "torch", "PACKAGED", "fetch_wheel", "load_matcher"},
}


# Files that take a minute or more, longest first: begun last, one would run alone at the end.
_LONGEST = (
    "trainer/test_cycle_steps.py",
    "trainer/test_cycle.py",
    "trainer/test_gpu_preset.py",
    "test_hostile.py",
    "test_faults.py",
    "browser/test_pages.py",
    "test_flow.py",
    "browser/test_work.py",
    "consumers/record/test_projector.py",
    "producers/poll/test_poll_commands.py",
    "consumers/topics/test_topics.py",
    "test_access.py",
    "test_interleavings.py",
    "workers/test_launch.py",
)


def _place(item: pytest.Item) -> int:
    file = item.path.relative_to(ROOT / "tests").as_posix()
    return _LONGEST.index(file) if file in _LONGEST else len(_LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; tests marked by what they use, so that no marker can be forgotten."""
    items.sort(key=_place)
    for item in items:
        used = set(getattr(item, "fixturenames", ())) | set(
            vars(getattr(item, "module", None) or item)
        )
        for name, signs in _SIGNS.items():
            if used & signs:
                item.add_marker(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line at the end: how many tests were not run, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(r.longrepr[2]).removeprefix("Skipped: ") for r in skipped)
    if reasons:
        why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"Not run: {sum(reasons.values())} tests ({why})")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("BEYOND_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    broker.release(tmp_path / "home")


@pytest.fixture(scope="session")
def kept_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """One embedded server for all tests of this process that start no process and kill nothing."""
    home = tmp_path_factory.mktemp("kept") / "home"
    yield broker.connect(Settings(home=home, cache=CACHE))
    broker.release(home)


@pytest.fixture
def emptied(kept_server: redis.Redis) -> Iterator[redis.Redis]:
    """The kept server without data, as it was configured, with no user but the default one."""
    kept_server.flushall()
    kept_server.config_resetstat()
    configured = kept_server.config_get("*")
    yield kept_server
    for name, value in kept_server.config_get("*").items():
        if value != configured[name]:
            kept_server.config_set(name, value=configured[name])
    for user in set(kept_server.acl_users()) - {"default"}:
        kept_server.acl_deluser(user)


@pytest.fixture
def own_server() -> None:
    """For tests that want the embedded server under their `home`: `usefixtures("own_server")`."""


@pytest.fixture
def settings(home: Path, request: pytest.FixtureRequest) -> Settings:
    """Of the embedded server under `home` where the test starts processes, else of the kept one."""
    common = dict(home=home, cache=CACHE, lease_seconds=2, hang_seconds=4, durable_seconds=5)
    asked = set(request.fixturenames)
    if "server" not in asked or asked & {"processes", "own_server"}:
        return Settings(**common)
    kept = request.getfixturevalue("emptied").connection_pool.connection_kwargs["path"]
    return Settings(redis_url=f"unix://{kept}", **common)


@pytest.fixture
def server(settings: Settings) -> redis.Redis:
    return broker.connect(settings)


@pytest.fixture
def store(server: redis.Redis) -> Store:
    return Store(server)


class Processes:
    """Starts real processes against one home and kills them all at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.running: list[subprocess.Popen[bytes]] = []

    def environment(self, **extra: str) -> dict[str, str]:
        fixed = {
            "BEYOND_HOME": str(self.settings.home),
            "BEYOND_CACHE": str(CACHE),
            "PYTHONPATH": str(ROOT),
            "BEYOND_LEASE_SECONDS": "2",
            "BEYOND_HANG_SECONDS": "60",
            "BEYOND_WEBHOOK_TOKEN": "secret",
            "BEYOND_RECORD": "false",  # tests of the record start its projector themselves
        }
        return {**os.environ, **fixed, **extra}

    def spawn(self, *command: str, **extra: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command, env=self.environment(**extra), cwd=ROOT, start_new_session=True
        )
        self.running.append(process)
        return process

    def worker(
        self, kind: str = "tests.fakes.FakeWorker", url: str = "", **extra: str
    ) -> subprocess.Popen[bytes]:
        """The stock rq command; `kind` is the worker class, `url` another server than the embedded one."""
        from shared.stream.launch import rq_command

        extra["RQ_REDIS_URL"] = url or broker.server_url(self.settings)
        return self.spawn(
            *(
                kind if part == "workers.batch_worker.BatchWorker" else part
                for part in rq_command()
            ),
            **extra,
        )

    def beyond(self, *arguments: str, **extra: str) -> subprocess.Popen[bytes]:
        return self.spawn(sys.executable, "-m", "beyond", *arguments, **extra)

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """`beyond ARGUMENTS`, to its end."""
        command = [sys.executable, "-m", "beyond", *arguments]
        return subprocess.run(
            command,
            env=self.environment(**extra),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def stop(self) -> None:
        for process in self.running:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


@pytest.fixture
def processes(settings: Settings, server: redis.Redis) -> Iterator[Processes]:
    found = Processes(settings)
    yield found
    found.stop()
