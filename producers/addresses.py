"""Where inputs lie: local files, standard input, and everything fsspec reaches (s3://, gs://, https://, memory://).

It opens and names; it does not know what a file holds.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from shared.errors import Misconfigured, TemporaryFailure

# What to install where fsspec lacks the package; its own message names some of them only.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs",
             "abfs": "adlfs", "http": "aiohttp", "https": "aiohttp", "sftp": "paramiko"}  # fmt: skip


def is_remote(address: str) -> bool:
    """Is it an address with a scheme, and no path of this machine?"""
    return "://" in address


def shown(address: str) -> str:
    """The address as people and logs may see it: without password and query, where secrets stand."""
    if not is_remote(address):
        return "standard input" if address == "-" else address
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def opened(address: str) -> tuple[Any, int | None]:
    """A binary stream and its size in bytes, None where nobody knows (a pipe, some servers).

    Raises:
        Misconfigured: no such file, no such scheme, or its package is not installed.
        TemporaryFailure: a remote place cannot be reached now; so may each read of its stream.
    """
    if address == "-":
        return sys.stdin.buffer, None
    if is_remote(address):
        return _remote(address)
    if not Path(address).is_file():
        raise Misconfigured(f"{address}: no such file")
    return Path(address).open("rb"), Path(address).stat().st_size


def expanded(address: str) -> list[str]:
    """The addresses that one with `*` stands for, sorted; a shell does this for local files.

    Raises:
        Misconfigured, TemporaryFailure: as `opened`; Misconfigured too if there is none.
    """
    if not is_remote(address) or "*" not in address:
        return [address]
    system, path = _system(address)
    found = _asked(address, lambda: sorted(system.glob(path)))
    if not found:
        raise Misconfigured(f"{shown(address)}: no such files")
    return [str(system.unstrip_protocol(name)) for name in found]


def _remote(address: str) -> tuple[Any, int | None]:
    system, path = _system(address)
    raw = _asked(address, lambda: system.open(path, "rb"))
    size = getattr(raw, "size", None)
    return _Patient(raw, shown(address)), size if isinstance(size, int) else None


def _system(address: str) -> tuple[Any, str]:
    import fsspec

    scheme = address.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        remedy = f"pip install {package}" if package else str(error)
        raise Misconfigured(
            f"{scheme}:// needs a package that is not installed: {remedy}"
        ) from None
    except ValueError as error:
        raise Misconfigured(f"{shown(address)}: {error}") from None
    return system, path


def _asked(address: str, ask: Any) -> Any:
    try:
        return ask()
    except FileNotFoundError as error:
        cause: BaseException | None = error  # HTTP says "not found" of a server that is away, too
        while isinstance(cause, FileNotFoundError):
            cause = cause.__cause__
        if isinstance(cause, OSError):
            raise TemporaryFailure(f"{shown(address)}: not reached: {cause}") from error
        raise Misconfigured(f"{shown(address)}: no such file") from None
    except PermissionError as error:
        raise Misconfigured(f"{shown(address)}: refused: {error}") from None
    except Exception as error:  # each system raises its own kinds
        raise TemporaryFailure(f"{shown(address)}: not reached: {error}") from error


class _Patient(io.RawIOBase):
    """A remote stream whose failures are ours: a lost connection is no damaged file."""

    def __init__(self, raw: Any, name: str) -> None:
        self._raw, self._name = raw, name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._raw.seekable())

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._raw.seek(offset, whence))

    def tell(self) -> int:
        return int(self._raw.tell())

    def readinto(self, buffer: Any) -> int:
        try:
            part = self._raw.read(len(buffer))
        except Exception as error:  # each system raises its own kinds
            raise TemporaryFailure(f"{self._name}: lost while reading: {error}") from error
        buffer[: len(part)] = part
        return len(part)
