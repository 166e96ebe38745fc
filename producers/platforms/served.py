"""The platforms that are served now: secrets and descriptions are read again when their files change.

So a secret is replaced without a restart: write old and new into NAME.secret, change it at the
platform, then remove the old line. It does not know HTTP or how a platform is verified.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from producers.platforms import descriptions, native, platform_of, platforms
from producers.platforms.events import Clock, Platform
from shared.errors import Misconfigured
from shared.settings import Settings
from shared.telemetry import log

LOOK_SECONDS = 1.0
_Print = dict[str, tuple[int, int, int]]


class Served(Mapping[str, Platform]):
    """Last part of the address to platform, as `platforms` gives them, kept up to date by `refresh`.

    Args:
        settings: where secrets and descriptions are.
        clock: seconds since 1970, for the proofs.
        ticks: seconds, monotonic.

    Raises:
        Misconfigured: as `platforms`; later faults are logged and change nothing.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._clock, self._ticks = settings, clock, ticks
        self._files, self._looked = self._look(), ticks()
        self._now: dict[str, Platform] = platforms(settings, clock)

    def __getitem__(self, name: str) -> Platform:
        return self._now[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def refresh(self) -> None:
        """Look at the files, at most once a second, and read again what changed.

        A secret that is gone opens nothing any more; a file that cannot be read or understood leaves its
        platform as it was.
        """
        if self._ticks() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._ticks()
        files = self._look()
        if files != self._files:
            self._files = files
            self._now = self._read()
            log("webhook").info(
                "platforms_read_again", served=sorted(n or "webhook" for n in self._now)
            )

    def _look(self) -> _Print:
        folder = self._settings.platforms
        found: _Print = {}
        for path in folder.iterdir() if folder and folder.is_dir() else ():
            if path.suffix in {".secret", ".toml"}:
                try:
                    seen = path.stat()
                except OSError:  # gone since it was listed
                    continue
                found[path.name] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        return found

    def _read(self) -> dict[str, Platform]:
        try:
            known = descriptions(self._settings)
        except Misconfigured as error:
            return self._kept("", error, self._now)
        found: dict[str, Platform] = {}
        for name in ("", *known):
            try:
                platform = (
                    platform_of(self._settings, name, known[name], self._clock)
                    if name
                    else native(self._settings, self._clock)
                )
            except Misconfigured as error:
                found |= self._kept(name, error, {n: p for n, p in self._now.items() if n == name})
                continue
            if platform is not None:
                found[name] = platform
        return found

    def _kept(
        self, name: str, error: Misconfigured, old: dict[str, Platform]
    ) -> dict[str, Platform]:
        log("webhook").warning("platform_kept_as_it_was", platform=name, reason=str(error))
        return old
