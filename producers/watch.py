"""A folder into which files are put: each is read once, when it is complete.

Complete is a file whose size and time stand still for a while, and whose name does not say that it is
being written. One that changes later is read again; its known rows stay as they are. Which files were
read is kept by their content (backfill.py), so a restart reads none again. It does not know what files
hold.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from producers.backfill import Backfill
from producers.taking import StoppedAtBadLine, Tally
from shared.errors import Misconfigured

SETTLE_SECONDS = 2.0
_LOOK_SECONDS = 0.5
# What browsers, rsync, editors and careful programs call a file that is being written.
_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")


class Watch:
    """Reads the files of one folder, not of those in it.

    Args:
        folder: the folder.
        backfill: reads a file, or nothing of one that it knows.
        tell: called with a file and its tally, or the error for which it is left alone until it
            changes.
        clock: a monotonic clock, seconds.

    Raises:
        Misconfigured: there is no such folder.
    """

    def __init__(
        self,
        folder: Path,
        backfill: Backfill,
        tell: Callable[[Path, Tally | Misconfigured], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not folder.is_dir():
            raise Misconfigured(f"{folder}: no such folder")
        self._folder, self._backfill = folder, backfill
        self._tell, self._clock = tell, clock
        # Path to (what it looked like, since when): a file is read when that was long enough.
        self._seen: dict[Path, tuple[tuple[int, int, int], float]] = {}
        self._done: dict[Path, tuple[int, int, int]] = {}

    def look(self) -> int:
        """Read what is complete now; returns how many files were read.

        Raises:
            TemporaryFailure: the server stayed away.
            StoppedAtBadLine: with --strict.
        """
        found = self._files()
        self._done = {path: look for path, look in self._done.items() if path in found}
        self._seen = {path: seen for path, seen in self._seen.items() if path in found}
        count = 0
        for path, look in sorted(found.items()):
            if self._done.get(path) == look:
                continue
            if path not in self._seen or self._seen[path][0] != look:
                self._seen[path] = (look, self._clock())
            if self._clock() - self._seen[path][1] >= SETTLE_SECONDS:
                self._read(path)
                self._done[path] = look
                count += 1
        return count

    def _read(self, path: Path) -> None:
        try:
            self._tell(path, self._backfill.run(str(path)))
        except StoppedAtBadLine:
            raise
        except Misconfigured as error:  # this file cannot be read; the next one may
            self._tell(path, error)

    def _files(self) -> dict[Path, tuple[int, int, int]]:
        """Files that may be read, by what tells a changed one: inode, size, time of change."""
        found = {}
        for path in self._folder.iterdir():
            if path.name.startswith(".") or path.name.endswith(_UNFINISHED):
                continue
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file() and state.st_size:
                found[path] = (state.st_ino, state.st_size, state.st_mtime_ns)
        return found


def watch(watches: list[Watch], stop: threading.Event) -> None:
    """Look again and again until `stop`."""
    while not stop.is_set():
        for one in watches:
            one.look()
        stop.wait(_LOOK_SECONDS)
