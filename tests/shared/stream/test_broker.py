"""The embedded server: private, re-attached to, restarted, and never an orphan."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from shared.errors import Misconfigured, TemporaryFailure
from shared.settings import Settings
from shared.stream import broker
from tests.conftest import ROOT, wait_until
from tests.servers import sentinel, tcp_server

pytestmark = pytest.mark.usefixtures("own_server")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return open(f"/proc/{pid}/stat").read().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def pid_of(client: redis.Redis) -> int:
    return int(client.info("server")["process_id"])


def user(home, *, trap: bool = False) -> subprocess.Popen[bytes]:
    """A process that uses the server of `home` until it is killed."""
    code = (
        "import sys,time; from pathlib import Path; from shared.stream import broker; from shared.settings import Settings\n"
        "broker.connect(Settings(home=Path(sys.argv[1]))); print('up', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    return process


def test_it_is_durable_private_and_never_evicts(server, home):
    assert server.config_get("appendonly")["appendonly"] == "yes"
    assert server.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert stat.S_IMODE(broker.socket_path(home).stat().st_mode) == 0o700
    assert server.config_get("port")["port"] == "0"


def test_the_settings_may_add_to_its_configuration(home):
    client = broker.connect(Settings(home=home, server_config="hz 77; maxclients 321"))
    assert client.config_get("hz")["hz"] == "77"
    assert client.config_get("maxclients")["maxclients"] == "321"


def test_a_second_user_attaches_to_the_same_server(server, home):
    other = user(home)
    assert pid_of(broker.connect(Settings(home=home))) == pid_of(server)
    other.kill()
    other.wait()
    time.sleep(0.5)
    assert server.ping(), "the server went although one user is left"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_is_left_behind_however_its_user_ends(home, how):
    process = user(home)
    client = broker._client(f"unix://{broker.socket_path(home)}", 1)
    pid = pid_of(client)
    client.set("kept", "yes")
    process.send_signal(how)
    process.wait(30)
    assert wait_until(lambda: not alive(pid), 15)
    again = broker.connect(Settings(home=home))
    assert again.get("kept") == b"yes", "what was written did not survive"


def test_a_server_that_is_killed_comes_back_with_its_data(server):
    server.set("a", "b")
    time.sleep(1.2)  # everysec
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    assert server.get("a") == b"b" and pid_of(server) != pid


def test_a_killed_guardian_leaves_no_orphan_and_no_gap(server, home):
    pid = pid_of(server)
    found = subprocess.run(
        ["pgrep", "-f", f"shared.stream.guardian {home}"], capture_output=True, text=True
    ).stdout.split()
    os.kill(int(found[0]), signal.SIGKILL)
    wait_until(lambda: not alive(pid), 10)
    broker.attach(home)
    assert server.ping()


def test_a_wrong_url_says_what_is_allowed(home):
    with pytest.raises(Misconfigured, match="rediss://"):
        broker.connect(Settings(home=home, redis_url="http://localhost"))
    with pytest.raises(Misconfigured, match="sentinel://host"):
        broker.connect(Settings(home=home, redis_url="sentinel://localhost:1"))


def test_a_server_that_does_not_answer_is_a_temporary_failure(home):
    with pytest.raises(TemporaryFailure, match="BEYOND_REDIS_URL"):
        broker.connect(Settings(home=home, redis_url="redis://127.0.0.1:1/0"), patience_seconds=1)


@pytest.mark.parametrize("login", ["", ":pass/word", "someone:pass/word"])
def test_sentinel_finds_the_master_and_logs_in_there(tmp_path, login):
    """A real Sentinel; before, the user name was dropped and a quoted password sent as quoted."""
    user, _, password = login.partition(":")
    with tcp_server(tmp_path, password) as port:
        direct = redis.Redis(port=port, password=password or None)
        if user:
            direct.acl_setuser(
                user, enabled=True, passwords=[f"+{password}"], categories=["+@all"], keys=["*"]
            )
            direct.config_set("requirepass", "another")
            direct = redis.Redis(port=port, password="another")
        with sentinel(tmp_path, port, "another" if user else password) as watch:
            quoted = f"{user}:{quote(password, safe='')}@" if login else ""
            url = f"sentinel://{quoted}127.0.0.1:{watch}/mymaster"
            found: list[redis.Redis] = []

            def connected() -> bool:
                try:
                    found.append(
                        broker.connect(Settings(home=tmp_path, redis_url=url), patience_seconds=1)
                    )
                    return True
                except TemporaryFailure:
                    return False

            assert wait_until(connected, 30)
            found[0].set("x", 1)
            assert direct.get("x") == b"1"


def test_a_socket_is_not_made_where_somebody_else_could_listen(tmp_path, monkeypatch):
    """Anybody may make a folder in /tmp beforehand, and would get our passwords and reviews."""
    monkeypatch.setattr(broker.os, "getuid", lambda: 987_654_321)  # nobody's, so ours to make
    folder = Path("/tmp/beyond-987654321")
    deep = tmp_path / ("x" * 120)
    try:
        folder.mkdir(mode=0o777)
        with pytest.raises(Misconfigured, match="not a private folder"):
            broker.socket_path(deep)
    finally:
        folder.rmdir()
