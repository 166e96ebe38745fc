"""Connections to Redis/Valkey: a given URL, or the embedded server under BEYOND_HOME.

The embedded server belongs to a guardian process (shared/stream/guardian.py). Every process that
uses the server holds a shared `flock` on `users.lock`; the kernel drops it however the process
ends, kill -9 included. The guardian stops the server once it gets that lock exclusively, and
restarts a server that died while somebody still used it. So nothing is orphaned and nothing needs
an exit handler.

It does not know queues, keys or reviews.
"""

from __future__ import annotations

import fcntl
import os
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry

from shared.errors import Misconfigured, TemporaryFailure
from shared.settings import Settings

_OUR_CERTIFICATE = "if it asks for a certificate of ours: ?ssl_certfile=FILE&ssl_keyfile=FILE"
# Embedded servers this process uses: socket path -> the open file that holds the shared lock.
_held: dict[Path, IO[bytes]] = {}


def connect(settings: Settings, *, patience_seconds: float = 30) -> redis.Redis:
    """A client of the configured server, ready to use; the embedded one is started or re-attached to.

    Args:
        settings: `redis_url` decides; without it the embedded server under `home` is used.
        patience_seconds: commands are repeated for about this long while the connection is lost.

    Raises:
        Misconfigured: the URL's form is wrong, or there is no server binary.
        TemporaryFailure: the server does not answer.
    """
    url = server_url(settings)
    client = _client(url, patience_seconds)
    if urlsplit(url).scheme == "rediss":
        _check_certificate(url)
    try:
        client.time()  # not PING: a server with a full disk refuses that, and `beyond status` must still tell so
    except (redis.RedisError, OSError) as error:
        ours = f" ({_OUR_CERTIFICATE})" if urlsplit(url).scheme == "rediss" else ""
        raise TemporaryFailure(
            f"the Redis server does not answer: {error}; check BEYOND_REDIS_URL{ours}"
        ) from error
    return client


def _check_certificate(url: str) -> None:
    """One try without patience: a certificate that is refused now is refused in half a minute too.

    Raises:
        Misconfigured: we do not trust the server, or it does not trust us.
    """
    for name, path in parse_qsl(urlsplit(url).query):
        if name in {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"} and not Path(path).is_file():
            raise Misconfigured(f"BEYOND_REDIS_URL: {name}: there is no file {path}")
    try:
        redis.Redis.from_url(url, retry=None).time()
    except (redis.RedisError, OSError) as error:
        refused = next((e for e in _causes(error) if isinstance(e, ssl.SSLError)), None)
        if isinstance(refused, ssl.SSLCertVerificationError):
            raise Misconfigured(
                f"BEYOND_REDIS_URL: the server's certificate is not trusted: {refused.verify_message}; "
                "add ?ssl_ca_certs=FILE with the certificate of the authority that signed it"
            ) from None
        if isinstance(refused, ssl.SSLError):
            raise Misconfigured(
                f"BEYOND_REDIS_URL: TLS failed: {refused.reason or refused}; does the server speak TLS on this port? "
                + _OUR_CERTIFICATE
            ) from None
        # Anything else may pass: the caller tries again, with patience.


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def server_url(settings: Settings) -> str:
    """The URL that stock tools (`rq worker --url`) take.

    Starts the embedded server where it is the one meant.
    """
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    return f"unix://{attach(settings.home, settings.server_config)}"


def _client(url: str, patience_seconds: float) -> redis.Redis:
    # Backoff of at most 1 s a try, so `patience` counts tries. Every command of ours is safe to
    # repeat: ids are deterministic, and a claim whose answer was lost comes back when its lease
    # runs out.
    retry = Retry(ExponentialBackoff(cap=1.0, base=0.05), max(1, int(patience_seconds)))
    options: dict[str, Any] = {
        "retry": retry,
        "retry_on_error": [ConnectionError, TimeoutError, BusyLoadingError, ConnectionRefusedError],
    }
    scheme = urlsplit(url).scheme
    if scheme in {"redis", "rediss", "unix"}:
        return redis.Redis.from_url(url, **options)
    if scheme == "sentinel":
        return _sentinel(url, options)
    raise Misconfigured(
        f"BEYOND_REDIS_URL has scheme {scheme!r}; use redis://, rediss://, unix:// or sentinel://"
    )


def _sentinel(url: str, options: dict[str, Any]) -> redis.Redis:
    """sentinel://[user:password@]host:port[,host:port...]/SERVICE[?db=0]: the service's current master."""
    parts = urlsplit(url)
    hosts = parts.netloc.rsplit("@", 1)[-1].split(",")
    service = parts.path.strip("/")
    if not service or not all(hosts):
        raise Misconfigured("a Sentinel URL looks like sentinel://host:26379,host2:26379/mymaster")
    pairs = [(h.rsplit(":", 1)[0], int(h.rsplit(":", 1)[1]) if ":" in h else 26379) for h in hosts]
    db = int(dict(p.split("=", 1) for p in parts.query.split("&") if "=" in p).get("db", 0))
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    # The login is the servers'; Sentinels seldom have one.
    login = {"username": unquote(user) or None, "password": unquote(password) or None}
    sentinel = redis.Sentinel(pairs, sentinel_kwargs={"socket_timeout": 2})
    return sentinel.master_for(service, db=db, **login, **options)


def attach(home: Path, server_config: str = "", timeout_seconds: float = 30) -> Path:
    """Hold the embedded server of `home` for as long as this process lives; start it if nobody has.

    `server_config` (`name value;name value`) matters to whoever starts it only.

    Returns:
        The path of its unix socket (mode 0700).

    Raises:
        TemporaryFailure: it did not come up in time; the text names its log.
    """
    socket = socket_path(home)
    if socket not in _held:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        users = (home / "users.lock").open("ab")
        # Blocks for the moment in which a guardian is stopping the server, so we never join a dying
        # one.
        fcntl.flock(users, fcntl.LOCK_SH)
        _held[socket] = users
    _ensure_guardian(home, server_config)
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            redis.Redis(unix_socket_path=str(socket), retry=None).time()
            return socket
        except (redis.RedisError, OSError) as error:
            if time.monotonic() > deadline:
                raise TemporaryFailure(
                    f"the embedded server did not start: {error}; see {home / 'guardian.log'}"
                ) from error
            time.sleep(0.02)


def release(home: Path) -> None:
    """Let go of the embedded server before the process ends (tests.

    Long-lived tools that are done with it).
    """
    held = _held.pop(socket_path(home), None)
    if held is not None:
        held.close()


def socket_path(home: Path) -> Path:
    """Where the embedded server listens.

    A short path in /tmp where `home` is too long for a unix socket (108 bytes).

    Raises:
        Misconfigured: that folder in /tmp is another user's, or open to others.
    """
    path = home.resolve() / "valkey.sock"
    if len(os.fsencode(path)) <= 100:
        return path
    import hashlib

    short = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    folder = Path("/tmp") / f"beyond-{os.getuid()}"  # nosec B108: looked at below
    folder.mkdir(mode=0o700, exist_ok=True)
    seen = folder.lstat()
    if seen.st_uid != os.getuid() or not stat.S_ISDIR(seen.st_mode) or seen.st_mode & 0o077:
        raise Misconfigured(
            f"{folder} is not a private folder of yours: somebody else could listen there; "
            "remove it, or choose a shorter BEYOND_HOME"
        )
    return folder / f"{short}.sock"


def _ensure_guardian(home: Path, server_config: str) -> None:
    """Start a guardian unless one lives (it holds `guardian.lock`).

    Of two started at once, one gives way.
    """
    with (home / "guardian.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    with (home / "guardian.log").open("ab") as log:
        # Its own session: Ctrl-C in the user's terminal reaches the users of the server, not the
        # server.
        subprocess.Popen(
            [sys.executable, "-m", "shared.stream.guardian", str(home), server_config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=str(Path(__file__).resolve().parents[2]),
        )
