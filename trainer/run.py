"""A run: the folder of one training cycle, its plan, and which steps are done, so that a killed cycle goes on.

    HOME/runs/NAME/run.json, sample.jsonl, labels.jsonl, checkpoints/, adapter/, answers-ROLE.json,
    report.md, *.png

It does not know what the steps do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Misconfigured
from trainer.examples import Label, as_row, read_labels

STEPS = ("sample", "label", "finetune", "evaluate", "promote")


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
    most: int = Field(default=500, ge=1, description="new reviews to sample")
    margin: float = Field(default=0.0, ge=0, description="a refresh may be worse by so much")
    min_examples: int = Field(default=40, ge=1, description="reviews in the holdout")
    marks: str = Field(
        default="", description="file of verdicts on spans of stored reviews, for a matcher"
    )
    labels: str = Field(
        default="", description="file of reviews with every complaint marked, for a matcher"
    )
    from_champion: bool = False
    licence: str = ""


class Run:
    """One run folder. Facts of finished steps are kept in run.json, written atomically after each."""

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        self.folder = folder
        path = folder / "run.json"
        if path.exists():
            try:
                kept = json.loads(path.read_text())
                self.plan, self.facts = Plan.model_validate(kept["plan"]), dict(kept["steps"])
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
        self.facts[step] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **facts}
        self._write()

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
            out.write(
                json.dumps(
                    {"plan": self.plan.model_dump(mode="json"), "steps": self.facts}, indent=1
                )
            )
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


def open_run(home: Path, plan: Plan, name: str | None = None) -> Run:
    """The unfinished run with this plan, if there is one, otherwise a new one named by date and task."""
    root = home / "runs"
    if name:
        return Run(root / name, plan)
    for folder in sorted(root.glob("*/run.json"), reverse=True):
        try:
            run = Run(folder.parent)
        except Misconfigured:
            continue
        if run.plan == plan and not run.done("promote"):
            return run
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return Run(root / f"{stamp}-{plan.task}", plan)
