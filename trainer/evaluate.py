"""Evaluate arms (base, champion, challenger) on the holdout: same ids, prompts, engine and greedy decoding.

Each arm's answers and measures go to one file of JSON lines, a line per pair; an arm whose file is
complete for the same adapter is not run again. It does not know gates or reports.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.inference.answer import EVALUATED_FROM, answerer
from shared.inference.prompts import target
from shared.settings import Settings
from trainer.examples import Label
from trainer.metrics.measures import mean, own
from trainer.metrics.pairwise import pairwise
from trainer.run import Spent

_STEP = 64


@dataclass(frozen=True)
class Arm:
    """One contestant: `role` is base, champion or challenger; `adapter` its folder, None for the bare base."""

    role: str
    name: str
    adapter: Path | None


@dataclass(frozen=True)
class Scored:
    """An arm's rows ({id, answer, reference, slices, measures}), seconds per review, and what was not computed, why."""

    arm: Arm
    rows: list[dict[str, Any]]
    seconds: float
    missing: dict[str, str]

    def means(self) -> dict[str, float]:
        """Mean of every measure over the pairs to which it applies."""
        names = sorted({name for row in self.rows for name in row["measures"]})
        return {n: mean([row["measures"].get(n, float("nan")) for row in self.rows]) for n in names}


def reference(task: str, label: Label) -> str:
    """The label as the text that a perfect writer would give."""
    return target(label.issues or ()).strip() if task == "issues" else str(getattr(label, task))


def slices(label: Label) -> list[str]:
    """The groups that a review belongs to, in which a challenger must not be worse."""
    rating = label.review.rating
    out = [
        "unrated"
        if rating is None
        else "1-2 stars"
        if rating < 2.5
        else "3 stars"
        if rating < 3.5
        else "4-5 stars"
    ]
    if label.issues is not None:
        out.append("with issues" if label.issues else "without issues")
    return [*out, "long" if len(label.review.text) > 600 else "short"]


def evaluate(
    arms: Sequence[Arm],
    task: str,
    labels: Sequence[Label],
    settings: Settings,
    folder: Path,
    say: Callable[[str], None],
) -> list[Scored]:
    """Answer and measure every label with every arm.

    Args:
        arms: who competes.
        task: a name of shared.inference.prompts.TASKS.
        labels: the holdout, each with an answer to this task.
        settings: base model, device, metric models.
        folder: where the files go.
        say: called with one line of progress at a time.

    Raises:
        Spent: the holdout is empty.
    """
    if not labels:
        raise Spent(f"the holdout has no label for task {task}; label more reviews")
    return [_scored(arm, task, labels, settings, folder, say) for arm in arms]


def _scored(
    arm: Arm,
    task: str,
    labels: Sequence[Label],
    settings: Settings,
    folder: Path,
    say: Callable[[str], None],
) -> Scored:
    path = folder / f"answers-{arm.role}.json"
    stamp = _stamp(arm, task, labels)
    if path.exists() and (kept := json.loads(path.read_text()))["stamp"] == stamp:
        return Scored(arm, kept["rows"], kept["seconds"], kept["missing"])
    say(f"{arm.role} {arm.name}: answering {len(labels)} reviews of the holdout")
    texts, seconds = _answers(arm, task, labels, settings, say)
    references = [reference(task, label) for label in labels]
    scores, missing = pairwise(texts, references, settings)
    rows = []
    for i, (label, text, wanted) in enumerate(zip(labels, texts, references, strict=True)):
        measures = own(task, label, text, wanted) | {
            name: values[i] for name, values in scores.items()
        }
        rows.append(
            {
                "id": label.review.id,
                "answer": text,
                "reference": wanted,
                "slices": slices(label),
                "measures": measures,
            }
        )
    kept = {"stamp": stamp, "seconds": seconds, "missing": missing, "rows": rows}
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(kept, ensure_ascii=False, indent=1))
    scratch.replace(path)
    return Scored(arm, rows, seconds, missing)


def _stamp(arm: Arm, task: str, labels: Sequence[Label]) -> str:
    seen = hashlib.sha256(f"{arm.name} {task}".encode())
    for label in labels:
        seen.update(f"{label.review.id} {reference(task, label)}".encode())
    return seen.hexdigest()


def _answers(
    arm: Arm, task: str, labels: Sequence[Label], settings: Settings, say: Callable[[str], None]
) -> tuple[list[str], float]:
    answer = answerer(arm.adapter, task, settings, show=EVALUATED_FROM)
    out: list[str] = []
    begun = time.monotonic()
    for start in range(0, len(labels), _STEP):
        part = labels[start : start + _STEP]
        out += answer([label.review for label in part], [label.emotions for label in part])
        say(
            f"{arm.role}: {len(out)}/{len(labels)} answered, {(time.monotonic() - begun) / len(out):.2f} s a review"
        )
    return out, (time.monotonic() - begun) / len(labels)
