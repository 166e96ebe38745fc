"""A run: the folder of one training cycle, its plan, and which steps are done, so that a killed cycle goes on.

    HOME/runs/NAME/run.json, sample.jsonl, labels.jsonl, checkpoints/, adapter/, answers-ROLE.json,
    report.md, *.png

It does not know what the steps do.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Misconfigured
from trainer.examples import Label, as_row, read_labels

STEPS = ("sample", "label", "finetune", "evaluate", "promote")
# Tries of one run that bring it no further, kills included. Four is how often the queue tries one
# job (1 + names.MAX_RETRIES): the job after it begins with a new sample. Outages do not count.
MAX_TRIES = 4
# A sample that is older is not resumed by itself: a week's reviews are missing in it. Labels are
# cached by review, so a new run asks the teacher only for what is new.
SAMPLE_DAYS = 7


class Spent(Misconfigured):
    """The run's sample cannot be trained on, however often it is tried: a new run must begin."""


class Plan(BaseModel):
    """What a cycle is asked to do; JSON, so that it travels as a job's argument."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: str = "issues"
    student: Literal["", "matched", "generated"] = Field(
        default="", description="default: what BEYOND_INSIGHT_WRITER serves"
    )
    also: tuple[str, ...] = Field(
        default=(), description="further tasks to learn from the same labels"
    )
    teacher: str = ""
    recipe: str = "default"
    epochs: float | None = None
    rate: float | None = None
    reviews: int = Field(default=500, ge=1, description="new reviews to sample")
    margin: float = Field(default=0.0, ge=0, description="a refresh may be worse by so much")
    min_examples: int = Field(default=40, ge=1, description="reviews in the holdout")
    marks: str = Field(
        default="", description="file of verdicts on spans of stored reviews, for a matcher"
    )
    labels: tuple[str, ...] = Field(
        default=(), description="files of reviews with every complaint marked, for a matcher"
    )
    from_champion: bool = False
    licence: str = ""


class Run:
    """One run folder.

    Facts of finished steps are kept in run.json, written atomically after each.
    """

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        self.folder = folder
        path = folder / "run.json"
        if path.exists():
            try:
                kept = json.loads(path.read_text())
                self.plan, self.facts = Plan.model_validate(kept["plan"]), dict(kept["steps"])
                self._tries, self._seen = int(kept.get("tries", 0)), list(kept.get("seen", []))
                self._ended = str(kept.get("ended", ""))
            except (ValueError, KeyError, ValidationError) as error:
                raise Misconfigured(
                    f"{path} is damaged: {error}; remove the folder to start anew"
                ) from None
            if plan is not None and plan != self.plan:
                raise Misconfigured(
                    f"{folder} belongs to another plan; name another run or leave the options out"
                )
        elif plan is None:
            raise Misconfigured(
                f"{folder} is no run folder; `beyond sample` or `beyond train` makes one"
            )
        else:
            self.plan, self.facts = plan, {}
            self._tries, self._seen, self._ended = 0, [], ""
            folder.mkdir(parents=True, exist_ok=True)
            self._write()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def done(self, step: str) -> bool:
        """Whether a step is finished."""
        return step in self.facts

    def finish(self, step: str, facts: dict[str, Any]) -> None:
        """Mark a step finished, with what it found."""
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        self.facts[step] = {"finished_at": moment, **facts}
        self._write()

    def begin(self) -> None:
        """Count a try, on disk before the work: a kill counts too.

        One that follows progress is the first again.
        """
        seen = self._progress()
        self._tries = self._tries + 1 if seen == self._seen else 1
        self._seen = seen
        self._write()

    def forgive(self) -> None:
        """Take the last try back: the surroundings failed, not the run."""
        self._tries = max(0, self._tries - 1)
        self._write()

    def end(self, reason: str) -> None:
        """Never resume this run by itself."""
        self._ended = reason
        self._write()

    def why_left(self, now: datetime) -> str | None:
        """Why an unfinished run is not gone on with, unless a person names it; None: it is."""
        if self._ended:
            return self._ended
        if self._tries >= MAX_TRIES:
            step = next(step for step in STEPS if not self.done(step))
            return f"{self._tries} tries ended in {step}"
        sampled = self.facts.get("sample", {}).get("finished_at")
        if sampled and now - datetime.fromisoformat(sampled) > timedelta(days=SAMPLE_DAYS):
            return f"its sample is older than {SAMPLE_DAYS} days"
        return None

    def _progress(self) -> list[str]:
        """Grows whenever a try brought the run further: finished steps, checkpoints, answers."""
        files = [*self.folder.glob("checkpoints/*"), *self.folder.glob("answers-*.json")]
        return [*self.facts, *sorted(path.name for path in files)]

    def require(self, step: str) -> None:
        """Stop unless every earlier step is finished.

        Raises:
            Misconfigured: names the step to run first.
        """
        for earlier in STEPS[: STEPS.index(step)]:
            if not self.done(earlier):
                raise Misconfigured(
                    f"run {self.name}: {step} needs {earlier} first: `beyond {earlier} {self.folder}`"
                )

    def _write(self) -> None:
        scratch = self.folder / "run.json.part"
        with scratch.open("w") as out:
            kept = {
                "plan": self.plan.model_dump(mode="json"),
                "steps": self.facts,
                "tries": self._tries,
                "seen": self._seen,
                "ended": self._ended,
            }
            out.write(json.dumps(kept, indent=1))
            out.flush()
            os.fsync(out.fileno())
        scratch.replace(self.folder / "run.json")

    def keep(self, name: str, labels: Sequence[Label]) -> None:
        """Write labels as JSON lines, whole or not at all."""
        scratch = self.folder / f"{name}.part"
        scratch.write_text(
            "".join(json.dumps(as_row(label), ensure_ascii=False) + "\n" for label in labels),
            encoding="utf-8",
        )
        scratch.replace(self.folder / f"{name}.jsonl")

    def kept(self, name: str) -> list[Label]:
        """Labels that `keep` wrote."""
        return read_labels(self.folder / f"{name}.jsonl")


def open_run(
    home: Path,
    plan: Plan,
    name: str | None = None,
    *,
    new: bool = False,
    say: Callable[[str], None] = lambda line: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Run:
    """The unfinished run with this plan, otherwise a new one named by moment and task.

    Args:
        home: runs are folders of HOME/runs.
        plan: what is wanted.
        name: the run to go on with, whatever became of it, or to make.
        new: go on with none.
        say: told why an unfinished run is left.
        clock: the moment, UTC.

    Raises:
        Misconfigured: the named run has another plan, or is to be new and exists.
    """
    root = home / "runs"
    if name:
        if new and (root / name).exists():
            raise Misconfigured(f"{root / name} exists already; name another run, or none")
        return Run(root / name, plan)
    for path in () if new else sorted(root.glob("*/run.json"), reverse=True):
        try:
            run = Run(path.parent)
        except Misconfigured:
            continue
        if run.plan != plan or run.done(STEPS[-1]):
            continue
        why = run.why_left(clock())
        if why is None:
            return run
        say(f"run {run.name} is left: {why}")
    stamp = clock().strftime("%Y%m%d-%H%M%S")
    taken = {path.name for path in root.glob(f"{stamp}-*")}
    names = (f"{stamp}-{number:02d}-{plan.task}" for number in itertools.count())
    return Run(root / next(n for n in names if n not in taken), plan)
