"""Where a run's reviews and labels come from: the store and a teacher that is asked, or a file of recorded labels.

The only place that tells the kinds of `--teacher` apart. It does not know runs or training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from shared.errors import Misconfigured
from shared.settings import Settings
from shared.stream.browse import Browse
from shared.stream.store import Store
from trainer.examples import Label, held, read_labels
from trainer.label import Cache, Labelled, ask
from trainer.sample import Duplicates, Sample, sample
from trainer.teachers import TEACHERS, check_teacher, make_teacher

_FILE = "file"


# Stored reviews looked at for each one that is asked for: most need no insight, and the strata want
# a choice. More would read the whole of a big store for the sake of rare strata.
DRAWN_PER_REVIEW = 20


class Source(Protocol):
    """Where one run's labels come from.

    A cycle calls `choose` once a run and keeps the result, and `label` once with what it kept,
    again if that raised. Both may take hours, and say so line by line.
    """

    def choose(self, reviews: int) -> Sample:
        """The reviews to label: those labelled before, and up to so many new ones.

        Raises:
            Misconfigured: the source cannot be read, ever; nothing was chosen.
            TemporaryFailure: the server is away; repeating begins anew.
        """
        ...

    def label(self, chosen: Sequence[Label], say: Callable[[str], None]) -> Labelled:
        """Valid labels, same order; the rest counted by reason.

        Raises:
            ModelUnavailable: the teacher cannot be loaded.
            TemporaryFailure: the teacher is away; repeating goes on from there.
        """
        ...


class Recorded:
    """Labels of people or of an earlier run; they bring their own reviews, which people chose."""

    def __init__(self, path: Path, task: str) -> None:
        self._path, self._task = path, task

    def choose(self, reviews: int) -> Sample:
        """All of the file's, near-copies taken once; `reviews` limits only what a teacher is asked."""
        out, fresh = Sample(), Duplicates()
        # Holdout first: of two near-copies the one in training has to go.
        for one in sorted(read_labels(self._path), key=held, reverse=True):
            if fresh.is_new(one.review.text):
                out.labels.append(one)
            else:
                out.left_out["near-duplicate"] += 1
        return out

    def label(self, chosen: Sequence[Label], say: Callable[[str], None]) -> Labelled:
        """They carry their answers; only checked."""
        out = Labelled()
        for one in chosen:
            out.add(one, self._task)
        return out


class Taught:
    """Stored reviews, labelled by a teacher; its answers are kept under HOME/labels."""

    def __init__(self, teacher: str, task: str, settings: Settings, store: Store) -> None:
        check_teacher(teacher)  # before the store is read, which takes minutes
        self._teacher, self._task, self._settings, self._store = teacher, task, settings, store

    def _cache(self) -> Cache:
        name = self._teacher
        if name.startswith("openai:"):  # one address serves many models
            name = f"{name}#{self._settings.openai_model}"
        return Cache(self._settings.home / "labels", name, self._task)

    def choose(self, reviews: int) -> Sample:
        """Up to so many that have no label yet, and those that have."""
        cache = self._cache()
        drawn = Browse(self._store.connection).sample(DRAWN_PER_REVIEW * reviews)
        return sample(drawn, reviews, lambda one: cache.get(one) is not None)

    def label(self, chosen: Sequence[Label], say: Callable[[str], None]) -> Labelled:
        """Ask for those that were never answered; what people judged is an answer already."""
        answered = [one for one in chosen if one.issues is not None]
        asked = [one for one in chosen if one.issues is None]
        teacher = make_teacher(self._teacher, self._settings)
        out = ask(asked, self._task, teacher, self._cache(), say)
        for one in answered:
            out.add(one, self._task)
        order = {one.review.id: place for place, one in enumerate(chosen)}
        out.labels.sort(key=lambda one: order[one.review.id])
        return out


def open_source(spec: str, task: str, settings: Settings, store: Store) -> Source:
    """The source that `--teacher` or BEYOND_TEACHER names.

    Raises:
        Misconfigured: no such kind, or its file does not exist.
    """
    kind, _, rest = spec.partition(":")
    if kind == _FILE:
        return Recorded(Path(rest).expanduser(), task)
    if kind not in TEACHERS:
        forms = [f"{_FILE}:PATH", *(f"{name}:{rest}" for name, rest in TEACHERS.items())]
        raise Misconfigured(f"--teacher {spec!r}: use {', '.join(forms[:-1])} or {forms[-1]}")
    return Taught(spec, task, settings, store)
