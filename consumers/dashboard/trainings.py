"""What the trainer left in its run folders: plan, steps and verdict (run.json), the report, its pictures.

    HOME/runs/NAME/run.json, report.md, *.png

Read only, and only those. It does not know how any of it is computed, nor HTML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_PICTURE = re.compile(r"[a-z][a-z0-9_-]{0,60}\.png")
_STEPS = ("sample", "label", "finetune", "evaluate", "promote")
_ARMS = ("base", "champion", "challenger")
# The trainer's lines are "passed: NAME: TEXT" and "FAILED: NAME: TEXT".
_FAILED = "FAILED: "


@dataclass(frozen=True)
class Measure:
    """One measure's mean on the holdout by arm: base, champion, challenger; None where it was not computed."""

    name: str
    means: tuple[float | None, ...]


@dataclass(frozen=True)
class Training:
    """One run, finished or not. `verdict` is "promoted", "refused" or "" while there is none."""

    name: str
    task: str
    verdict: str
    adapter: str
    at: datetime | None
    step: str
    left: str
    labels: int | None
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    arms: tuple[str, ...]
    measures: tuple[Measure, ...]
    has_report: bool


def last_training(home: Path) -> Training | None:
    """The newest run, by its latest finished step; None where no run is on this machine."""
    found = [run for run in map(_read, _folders(home)) if run is not None]
    early = datetime.min.replace(tzinfo=UTC)
    return max(found, key=lambda run: (run.at or early, run.name), default=None)


def training(home: Path, name: str) -> Training | None:
    """One run by its folder's name; None: there is none."""
    return _read(home / "runs" / name) if _NAME.fullmatch(name) else None


def report_text(home: Path, name: str) -> str | None:
    """The run's report as Markdown; None: it has none yet."""
    path = home / "runs" / name / "report.md"
    inside = bool(_NAME.fullmatch(name)) and path.is_file()
    return path.read_text(encoding="utf-8", errors="replace") if inside else None


def picture(home: Path, name: str, file: str) -> Path | None:
    """Where a picture of the report lies; None: there is none of this name."""
    if not (_NAME.fullmatch(name) and _PICTURE.fullmatch(file)):
        return None
    path = home / "runs" / name / file
    return path if path.is_file() else None


def _folders(home: Path) -> Iterator[Path]:
    return (
        path.parent for path in home.glob("runs/*/run.json") if _NAME.fullmatch(path.parent.name)
    )


def _read(folder: Path) -> Training | None:
    """A run; None where its file is missing or damaged: the trainer says so when it is asked to go on."""
    try:
        kept = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        plan, steps = dict(kept["plan"]), dict(kept["steps"])
        done = [step for step in _STEPS if step in steps]
        verdict, reasons = (
            dict(steps.get("promote", {})),
            list(steps.get("promote", {}).get("reasons", [])),
        )
        evaluated, labelled = dict(steps.get("evaluate", {})), dict(steps.get("label", {}))
        at = max(
            (datetime.fromisoformat(steps[step]["finished_at"]) for step in done), default=None
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    arms = tuple(arm for arm in _ARMS if isinstance(evaluated.get(arm), dict))
    failed = tuple(str(line) for line in reasons if str(line).startswith(_FAILED))
    return Training(
        name=folder.name,
        task=str(plan.get("task", "")),
        verdict=str(verdict.get("verdict", "")),
        adapter=str(verdict.get("adapter", "")),
        at=at,
        step=next((step for step in _STEPS if step not in steps), ""),
        left=str(kept.get("ended", "")),
        labels=labelled.get("labelled"),
        passed=tuple(_said(line) for line in reasons if str(line) not in failed),
        failed=tuple(map(_said, failed)),
        arms=arms,
        measures=_measures(evaluated, arms),
        has_report=(folder / "report.md").is_file(),
    )


def _said(line: Any) -> str:
    return str(line).partition(": ")[2] or str(line)


def _measures(evaluated: dict[str, Any], arms: tuple[str, ...]) -> tuple[Measure, ...]:
    """In the trainer's order; those that no arm has are left out."""
    names = dict.fromkeys(name for arm in arms for name in evaluated[arm])
    rows = [
        Measure(name, tuple(_number(evaluated[arm].get(name)) for arm in arms)) for name in names
    ]
    return tuple(row for row in rows if any(mean is not None for mean in row.means))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
