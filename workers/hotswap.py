"""Serving: the base model with the adapter in force; between batches it looks for a newer one.

Load beside, probe, switch: until the new one has answered a probe, the old one serves, and after any failure it goes on
serving and a warning is raised. With `merge_adapter` (laptop) the adapter is merged into a fresh copy of the base: faster
tokens, no drift; without (gpu, where two bases may not fit) it is loaded beside the old one under another name.
It does not know reviews or queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.adapters import BadAdapter, Manifest, Registry, check, open_registry, packaged_for, read_manifest
from shared.causal import base_name, load_base, load_merged
from shared.errors import BeyondError
from shared.generate import Generator
from shared.prompts import TASKS
from shared.settings import Settings
from shared.telemetry import ADAPTER_SWAPS, log

NONE = "none"
CHECK_SECONDS = 1.0
_PROBE = "Rating: 2/5\nReview: <<<We waited an hour and the soup came cold.>>>\nIssues:\n"


class Serving:
    """The model that writes, and which adapter it writes with.

    Args:
        settings: base model, device, adapter choice.
        warn: called with one sentence when a wanted adapter cannot be used; None as text: all is well again.
        tick: called after every forward pass.
    """

    def __init__(
        self, settings: Settings, warn: Callable[[str | None], None] = lambda text: None,
        tick: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings, self._warn, self._tick, self._clock = settings, warn, tick, clock
        self._registry: Registry = open_registry(settings)
        self.base_name = base_name(settings)
        self._log, self._checked, self._refused = log("hotswap"), clock(), ""
        model, self._tokenizer = load_base(settings)
        self.generator = self._generator(model)
        self.adapter = NONE
        wanted = self._wanted()
        if not self._swap(wanted):
            self._swap(self._packaged())

    def _generator(self, model: Any) -> Generator:
        return Generator(model, self._tokenizer, most_rows=self._settings.generate_batch, tick=self._tick)

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
                self.generator = self._generator(load_base(self._settings)[0])
                self.adapter = NONE
            return True
        begun = self._clock()
        try:
            folder, manifest = self._fitting(wanted)
            generator = self._generator(self._loaded(folder, wanted))
            self._probe(generator)
        except Exception as error:  # whatever a corrupt adapter provokes: the old one serves on
            self._refused = wanted
            self._reselect()
            self._raise_warning(f"adapter {wanted} is not used, {self.adapter} serves on: {type(error).__name__}: {error}")
            ADAPTER_SWAPS.labels("refused").inc()
            return False
        before, self.generator, self.adapter, self._refused = self.adapter, generator, wanted, ""
        self._warn(None)
        ADAPTER_SWAPS.labels("switched").inc()
        self._log.info(
            "adapter_switched", adapter=wanted, before=before, task=manifest.task, seconds=round(self._clock() - begun, 2)
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
            raise BadAdapter(f"it is for the base {manifest.base}, this worker runs {self.base_name}")
        if manifest.task != "issues" or manifest.prompt_version != TASKS["issues"].version:
            raise BadAdapter(f"it is for {manifest.task}/{manifest.prompt_version}, this worker speaks {TASKS['issues'].version}")
        return folder, manifest

    def _loaded(self, folder: Path, name: str) -> Any:
        from peft import PeftModel

        if self._settings.merge_adapter:
            return load_merged(self._settings, folder)
        label = name.replace(".", "_").replace("/", "_")
        current = self.generator.model
        if isinstance(current, PeftModel):
            for old in list(current.peft_config):
                if old not in (label, current.active_adapter):
                    current.delete_adapter(old)
            current.load_adapter(str(folder), adapter_name=label)
            current.set_adapter(label)
            return current.eval()
        return PeftModel.from_pretrained(current, str(folder), adapter_name=label).eval()

    def _reselect(self) -> None:
        """After a failed load beside: the shared model must answer with the old adapter again."""
        model = self.generator.model
        label = self.adapter.replace(".", "_").replace("/", "_")
        if label in getattr(model, "peft_config", {}):
            model.set_adapter(label)

    def _probe(self, generator: Generator) -> None:
        """One constrained answer: the adapter's shapes fit, its numbers are finite, and it ends."""
        import torch

        with torch.inference_mode():
            ids = self._tokenizer(_PROBE, return_tensors="pt", add_special_tokens=False)["input_ids"].to(generator.model.device)
            if not torch.isfinite(generator.model(input_ids=ids, logits_to_keep=1).logits).all():
                raise BadAdapter("its output is not finite")
        generator.run("", [_PROBE], max_new_tokens=8, fenced=["We waited an hour and the soup came cold."])

    def _raise_warning(self, text: str) -> None:
        self._log.warning("adapter_refused", reason=text)
        self._warn(text)
