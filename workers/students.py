"""Students: the two kinds of model that write insights, and how each takes up an adapter.

`LoraStudent` is a causal language model whose adapter is LoRA weights; `MatcherStudent` is an
encoder whose adapter is the whole small model with its bank of written actions. It does not know
which adapter is in force, nor queues.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from shared.errors import Misconfigured
from shared.inference import lora
from shared.inference.adapters import BadAdapter
from shared.inference.causal import load_base, load_merged, precision
from shared.inference.generate import Generator
from shared.inference.matcher_folder import load_matcher
from shared.review import Review
from shared.settings import MATCHER_BASE, Settings, base_name

_PROBE_TEXT = "We waited an hour and the soup came cold."
PROBE = f"Rating: 2/5\nReview: <<<{_PROBE_TEXT}>>>\nIssues:\n"


class Student(Protocol):
    """A kind of model. An engine is whatever it loads: a Generator or a Matcher.

    Its one caller is `Serving`, in the worker's own thread and never while an engine answers, so no
    method need be safe against another. All may block for as long as weights take to load; no claim
    is lost by that, but the reviews in hand wait. What raises: TemporaryFailure, OSError or out of
    memory mean "try again later"; anything else from `load` and `probe` means that this adapter
    will never do, and it is not loaded again.
    """

    base_name: str
    # It can answer without an adapter, and is made ready so before any is looked for.
    bare_first: bool
    # The adapter that comes with the program will do where none is promoted.
    takes_packaged: bool

    def bare(self) -> Any:
        """The engine without an adapter. Called at the start and when no adapter is wanted any more.

        Raises:
            Misconfigured: there is none, or its weights are missing; the worker cannot run.
        """
        ...

    def load(self, folder: Path, label: str, current: Any) -> Any:
        """An engine with the adapter in `folder`. Called for each adapter that is newly wanted.

        The files are the manifest's and the base is ours, but nothing else is known of them. It may
        share `current`'s model; when it raises, or the probe after it, `restore` is called next.

        Args:
            folder: the adapter's files, checked against their hashes.
            label: its id or folder, unlike any other's.
            current: the engine that serves now; None at the start.
        """
        ...

    def restore(self, label: str, engine: Any) -> None:
        """Undo a failed load: `engine` answers with adapter `label` ("none": bare) as it did before.

        Called once after each failure of `load` or `probe`, not at the start with nothing to serve.
        Nothing of the failed adapter may be left in memory. Raising ends the worker: then nobody
        knows what the engine answers with, and a new process does better.
        """
        ...

    def probe(self, engine: Any) -> None:
        """One small answer, in a second or so; raises whatever a broken adapter provokes."""
        ...


class LoraStudent:
    """A causal language model with LoRA adapters.

    With `merge_adapter` the adapter is merged into a fresh copy of the base: faster tokens, no
    drift; without (gpu, where two bases may not fit), and always beside an nf4 base, it is put into
    the one base, and taken out again if it will not do. Evaluation loads alike
    (shared/inference/causal.py: load_with).
    """

    bare_first = takes_packaged = True

    def __init__(self, settings: Settings, tick: Callable[[], None]) -> None:
        self._settings, self._tick = settings, tick
        self.base_name = base_name(settings)
        self._base: Any = None  # without merging: the one base, adapters inside or not

    def bare(self) -> Generator:
        """The base alone; without merging it is the same base each time, freed of its adapters."""
        if self._base is not None:
            return self._generator(lora.detach(self._base))
        model, self._tokenizer = load_base(self._settings)
        if not self._settings.merge_adapter or precision(model) == "nf4":
            self._base = model
        return self._generator(model)

    def _generator(self, model: Any) -> Generator:
        return Generator(
            model, self._tokenizer, most_rows=self._settings.generate_batch, tick=self._tick
        )

    def load(self, folder: Path, label: str, current: Generator) -> Generator:
        """Base and adapter."""
        if self._base is None:
            return self._generator(load_merged(self._settings, folder))
        return self._generator(lora.attach(current.model, folder, label))

    def restore(self, label: str, engine: Generator) -> None:
        """Take the failed adapter out of the base that both share."""
        if self._base is None:
            return
        if engine.model is self._base:  # bare: the failed one was the first
            lora.detach(self._base)
        else:
            lora.keep_only(engine.model, lora.layer_name(label))

    def probe(self, engine: Generator) -> None:
        """The adapter's shapes fit, its numbers are finite, and it ends."""
        import torch

        with torch.inference_mode():
            coded = self._tokenizer(PROBE, return_tensors="pt", add_special_tokens=False)
            ids = coded["input_ids"].to(engine.model.device)
            if not torch.isfinite(engine.model(input_ids=ids, logits_to_keep=1).logits).all():
                raise BadAdapter("its output is not finite")
        engine.run("", [PROBE], max_new_tokens=8, fenced=[_PROBE_TEXT])


class MatcherStudent:
    """An encoder that extracts and matches.

    Its adapter is complete in itself, so there is no bare one.
    """

    base_name = MATCHER_BASE
    bare_first, takes_packaged = False, True

    def __init__(self, settings: Settings, tick: Callable[[], None]) -> None:
        self._settings, self._tick = settings, tick

    def bare(self) -> Any:
        """Raises Misconfigured: without an adapter it knows nothing."""
        raise Misconfigured(
            "BEYOND_INSIGHT_WRITER=matched needs an adapter; unset BEYOND_INSIGHT_ADAPTER or promote one"
        )

    def load(self, folder: Path, label: str, current: Any) -> Any:
        """The matcher in the folder."""
        return load_matcher(
            folder,
            threads=self._settings.threads,
            show=self._settings.confidence,
            tick=self._tick,
        )

    def restore(self, label: str, engine: Any) -> None:
        """Nothing is shared between two matchers."""

    def probe(self, engine: Any) -> None:
        """It reads a review, and its numbers are finite."""
        import math
        from datetime import UTC, datetime

        review = Review(
            id="probe",
            source="probe",
            text=_PROBE_TEXT,
            rating=2,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        # What a broken network says is not finite, or not even a candidate.
        found = engine.candidates([review])[0]
        if not all(math.isfinite(value) for one in found for value in one.features):
            raise BadAdapter("its output is not finite")


def make_student(settings: Settings, tick: Callable[[], None]) -> Student:
    """The student that BEYOND_OPENAI_URL or BEYOND_INSIGHT_WRITER names."""
    if settings.openai_url:
        from workers.served_student import ServedStudent

        return ServedStudent(settings, tick)
    return (
        MatcherStudent(settings, tick)
        if settings.insight_writer == "matched"
        else LoraStudent(settings, tick)
    )
