"""Serving: the student with the adapter in force; between batches it looks for a newer one.

Load beside, probe, switch: until the new one has answered a probe, the old one serves, and after
any failure it goes on serving and a warning is raised. What may pass (the registry is away, memory
is short) is tried again with growing rests; an adapter that is bad is not tried again. It does not
know reviews or queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.backoff import Backoff, half_to_full
from shared.errors import BeyondError, Misconfigured, TemporaryFailure
from shared.inference.adapters import (
    BadAdapter,
    Registry,
    check,
    open_registry,
    packaged_for,
    read_manifest,
)
from shared.inference.manifest import ABSENT
from shared.inference.prompts import TASKS
from shared.settings import Settings
from shared.telemetry import ADAPTER_SWAPS, log
from workers.alarms import Alarms
from workers.students import make_student

NONE = "none"
CHECK_SECONDS = 1.0
# Causes of warnings. The pointer may be unreadable while the adapter is fine, and the reverse.
POINTER, ADAPTER = "registry", "adapter"
# Rests after failures in a row, seconds. The pointer is one small read: a minute at most, so that a
# promotion is seen soon after the registry is back. A fetch is tens of megabytes, or a load that
# ran out of memory, and halts the worker while it is tried: ten minutes at most.
_FIRST_REST_SECONDS, _POINTER_REST_SECONDS, _FETCH_REST_SECONDS = 2.0, 60.0, 600.0


def may_pass(error: Exception) -> bool:
    """Whether the same adapter may do later: the surroundings failed, not the adapter."""
    if isinstance(error, (TemporaryFailure, ConnectionError, TimeoutError, MemoryError)):
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's; torch is not imported for its name
        return True
    # Libraries raise a bare OSError, without a number, for files that they cannot make sense of.
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, ABSENT)


class Serving:
    """The engine that writes, and which adapter it writes with.

    Args:
        settings: kind of writer, base model, device, adapter choice.
        warn: called with a cause and one sentence when a wanted adapter cannot be used; None as
            sentence: that cause is gone.
        tick: called after every forward pass, and between the steps of a swap.
        clock: seconds, monotonic.
        jitter: factor for each rest.

    Raises:
        Misconfigured: neither the wanted adapter nor a packaged one can be used, and the student
            needs one.
    """

    def __init__(
        self,
        settings: Settings,
        warn: Callable[[str, str | None], None] = lambda cause, text: None,
        tick: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = half_to_full,
    ) -> None:
        self._settings, self._tick, self._clock = settings, tick, clock
        self._alarms = Alarms(warn, clock)
        self._registry: Registry = open_registry(settings)
        self._student = make_student(settings, tick)
        self.base_name = self._student.base_name
        self._log, self._checked = log("hotswap"), clock()
        self._pointer_rest = Backoff(_FIRST_REST_SECONDS, _POINTER_REST_SECONDS, clock, jitter)
        self._fetch_rest = Backoff(_FIRST_REST_SECONDS, _FETCH_REST_SECONDS, clock, jitter)
        self._trying = ""  # whom the fetch's rest concerns
        self._refused: dict[str, str] = {}  # bad ones and why, for as long as this process lives
        self.engine: Any = None
        self.adapter = NONE
        if self._student.bare_first:
            self.engine = self._student.bare()
        self._begin()

    def _begin(self) -> None:
        wanted = self._wanted()
        served = wanted is not None and self._serve(wanted)
        if not served and (instead := self._packaged()) not in (NONE, wanted):
            try:
                self._take(instead)  # not `_serve`: the warning about the wanted one stands
            except Exception as error:
                if may_pass(error):
                    raise
                raise Misconfigured(
                    f"the packaged adapter {instead} cannot be used either: {error}; install anew"
                ) from error
        if self.engine is None:
            self.engine = self._student.bare()

    def forget(self) -> None:
        """The engine has lost its adapter (its server was restarted): load it again at the next look."""
        self.adapter, self._checked = NONE, self._clock() - CHECK_SECONDS

    def _packaged(self) -> str:
        if not self._student.takes_packaged:
            return NONE
        return packaged_for(self.base_name, "issues") or NONE

    def _wanted(self) -> str | None:
        """Whom the settings or the pointer name; None while the pointer cannot be read."""
        choice = self._settings.insight_adapter
        if choice != "promoted":
            return self._packaged() if choice == "packaged" else choice
        if not self._pointer_rest.due():
            return None
        try:
            name = self._registry.promoted("issues") or self._packaged()
        except BeyondError as error:
            rest = self._pointer_rest.failed()
            self._alarm(POINTER, f"{error}; looks again within {_POINTER_REST_SECONDS:.0f} s", rest)
            return None
        self._pointer_rest.over()
        self._alarms.lift(POINTER)
        return name

    def refresh(self) -> None:
        """Switch to the promoted adapter if it changed. To be called between batches.

        At most one look a second. It may block for as long as weights take to arrive and load.

        Raises:
            TemporaryFailure: a warning could not be stored. No registry or adapter makes it raise.
        """
        if self._clock() - self._checked < CHECK_SECONDS:
            return
        self._checked = self._clock()
        self._alarms.sound_again()
        wanted = self._wanted()
        if wanted is not None:
            self._serve(wanted)

    def _serve(self, wanted: str) -> bool:
        """Serve with `wanted` if that can be done now; True if it does."""
        if wanted != self._trying:
            self._trying = wanted
            self._fetch_rest.over()
        if wanted != self.adapter:
            if wanted in self._refused:
                self._alarm(ADAPTER, self._stays(wanted, self._refused[wanted]))
                return False
            if not self._fetch_rest.due():
                return False
            try:
                self._take(wanted)
            except Exception as error:  # whatever a corrupt adapter provokes: the old one serves on
                self._failed(wanted, error)
                return False
        self._fetch_rest.over()
        self._alarms.lift(ADAPTER)
        return True

    def _take(self, wanted: str) -> None:
        """Load, probe, switch; whatever fails is undone and raised."""
        begun = self._clock()
        try:
            if wanted == NONE:
                engine = self._student.bare()
            else:
                folder = self._fitting(wanted)
                self._tick()
                engine = self._student.load(folder, wanted, self.engine)
                self._tick()
                self._student.probe(engine)
        except Exception:
            if self.engine is not None:
                self._student.restore(self.adapter, self.engine)
            raise
        before, self.engine, self.adapter = self.adapter, engine, wanted
        ADAPTER_SWAPS.labels("switched").inc()
        self._log.info(
            "adapter_switched",
            adapter=wanted,
            before=before,
            seconds=round(self._clock() - begun, 2),
        )

    def _failed(self, wanted: str, error: Exception) -> None:
        """Rest or refuse, and say so; the old adapter is in force again already."""
        why = f"{type(error).__name__}: {error}"
        if may_pass(error):
            rest = self._fetch_rest.failed()
            ADAPTER_SWAPS.labels("postponed").inc()
            self._alarm(ADAPTER, self._stays(wanted, f"{why}; it is tried again"), rest)
        else:
            self._refused[wanted] = why
            ADAPTER_SWAPS.labels("refused").inc()
            self._alarm(ADAPTER, self._stays(wanted, why))

    def _stays(self, wanted: str, why: str) -> str:
        return f"adapter {wanted} is not used, {self.adapter} serves on: {why}"

    def _alarm(self, cause: str, text: str, rest_seconds: float | None = None) -> None:
        if self._alarms.sound(cause, text):
            self._log.warning("adapter_not_used", cause=cause, reason=text, rest=rest_seconds)

    def _fitting(self, name: str) -> Path:
        if "/" in name:  # a folder that the user names
            folder = Path(name)
            manifest = read_manifest(folder)
            check(folder, manifest)
        else:
            folder, manifest = self._registry.fetch(name), self._registry.manifest(name)
        if manifest.base != self.base_name:
            raise BadAdapter(
                f"it is for the base {manifest.base}, this worker runs {self.base_name}"
            )
        if manifest.task != "issues" or manifest.prompt_version != TASKS["issues"].version:
            raise BadAdapter(
                f"it is for {manifest.task}/{manifest.prompt_version}, this worker speaks {TASKS['issues'].version}"
            )
        return folder
