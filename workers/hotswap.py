"""Serving: the student with the adapter in force; between batches it looks for a newer one.

Load beside, probe, switch: until the new one has answered a probe, the old one serves, and after
any failure it goes on serving and a warning is raised. It does not know reviews or queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.errors import BeyondError
from shared.inference.adapters import (
    BadAdapter,
    Manifest,
    Registry,
    check,
    open_registry,
    packaged_for,
    read_manifest,
)
from shared.inference.prompts import TASKS
from shared.settings import Settings
from shared.telemetry import ADAPTER_SWAPS, log
from workers.students import make_student

NONE = "none"
CHECK_SECONDS = 1.0


class Serving:
    """The engine that writes, and which adapter it writes with.

    Args:
        settings: kind of writer, base model, device, adapter choice.
        warn: called with one sentence when a wanted adapter cannot be used; None as text: all is
            well again.
        tick: called after every forward pass.
        clock: seconds.

    Raises:
        Misconfigured: neither the wanted adapter nor a packaged one can be used, and the student
            needs one.
    """

    def __init__(
        self,
        settings: Settings,
        warn: Callable[[str | None], None] = lambda text: None,
        tick: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._warn, self._clock = settings, warn, clock
        self._registry: Registry = open_registry(settings)
        self._student = make_student(settings, tick)
        self.base_name = self._student.base_name
        self._log, self._checked, self._refused = log("hotswap"), clock(), ""
        self.engine: Any = None
        self.adapter = NONE
        if settings.insight_writer == "generated":
            self.engine = self._student.bare()
        if not self._swap(self._wanted()):
            self._swap(self._packaged())
        if self.engine is None:
            self.engine = self._student.bare()

    def _packaged(self) -> str:
        return packaged_for(self.base_name, "issues") or NONE

    def _wanted(self) -> str:
        choice = self._settings.insight_adapter
        if choice == "promoted":
            try:
                return self._registry.promoted("issues") or self._packaged()
            except BeyondError as error:
                self._raise_warning(str(error))
                return self.adapter
        return self._packaged() if choice == "packaged" else choice

    def refresh(self) -> None:
        """Switch to the promoted adapter if it changed; at most one look a second, a failed id is not tried again."""
        if self._clock() - self._checked < CHECK_SECONDS:
            return
        self._checked = self._clock()
        wanted = self._wanted()
        if wanted == self.adapter:
            if self._refused:
                self._refused = ""
                self._warn(None)
        elif wanted != self._refused:
            self._swap(wanted)

    def _swap(self, wanted: str) -> bool:
        """Try to serve with `wanted`; True if it does now."""
        if wanted in (NONE, self.adapter):
            if wanted == NONE and self.adapter != NONE:
                self.engine, self.adapter = self._student.bare(), NONE
            return True
        begun = self._clock()
        try:
            folder, manifest = self._fitting(wanted)
            engine = self._student.load(folder, wanted, self.engine)
            self._student.probe(engine)
        except Exception as error:  # whatever a corrupt adapter provokes: the old one serves on
            self._refused = wanted
            if self.engine is not None:
                self._student.restore(self.adapter, self.engine)
            self._raise_warning(
                f"adapter {wanted} is not used, {self.adapter} serves on: {type(error).__name__}: {error}"
            )
            ADAPTER_SWAPS.labels("refused").inc()
            return False
        before, self.engine, self.adapter, self._refused = self.adapter, engine, wanted, ""
        self._warn(None)
        ADAPTER_SWAPS.labels("switched").inc()
        self._log.info(
            "adapter_switched",
            adapter=wanted,
            before=before,
            task=manifest.task,
            seconds=round(self._clock() - begun, 2),
        )
        return True

    def _fitting(self, name: str) -> tuple[Path, Manifest]:
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
        return folder, manifest

    def _raise_warning(self, text: str) -> None:
        self._log.warning("adapter_refused", reason=text)
        self._warn(text)
