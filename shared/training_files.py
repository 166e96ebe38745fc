"""Which files of the trainer hold reviews, and how they are taken out again. It does not know training.

    HOME/runs/NAME/sample.jsonl, labels.jsonl   {"review": {...}, ...} a line
    HOME/runs/NAME/answers-ROLE.json            {"rows": [{"id": ..., "answer": ...}, ...]}
    HOME/runs/NAME/run.json                     the plan, which may name files of the user's
    HOME/labels/*.jsonl                         {"key": "ID:VERSION", "answer": ...} a line

Weights (HOME/runs/NAME/adapter and checkpoints, HOME/adapters) hold no texts, but learned from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class TakenOut:
    """Lines removed by file, runs that saw one of the reviews, and files of the user's that may hold them."""

    lines: dict[str, int] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)


def reviews_by(home: Path, author: set[str]) -> set[str]:
    """Ids of reviews by these author hashes that runs hold, also of reviews that the store has no more."""
    found = set()
    for path in home.glob("runs/*/*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            review = _object(_json(line).get("review"))
            if review.get("author") in author:
                found.add(str(review.get("id")))
    return found


def take_out(home: Path, ids: set[str], *, dry: bool = False) -> TakenOut:
    """Remove every line about these reviews; each file is replaced whole or not at all.

    Args:
        home: BEYOND_HOME.
        ids: of reviews.
        dry: only say what would be removed.
    """
    out = TakenOut()
    for path in sorted(home.glob("runs/*/*.jsonl")):
        count = _lines(path, lambda row: _object(row.get("review")).get("id") in ids, dry)
        _note(out, home, path, count)
    for path in sorted(home.glob("runs/*/answers-*.json")):
        _note(out, home, path, _answers(path, ids, dry))
    for path in sorted(home.glob("labels/*.jsonl")):
        of = _lines(path, lambda row: str(row.get("key", "")).rpartition(":")[0] in ids, dry)
        if of:
            out.lines[str(path.relative_to(home))] = of
    for path in home.glob("runs/*/run.json"):
        plan = _object(_json(path.read_text(encoding="utf-8")).get("plan"))
        out.named |= {str(plan[name]) for name in ("labels", "marks") if plan.get(name)}
    return out


def _note(out: TakenOut, home: Path, path: Path, count: int) -> None:
    if count:
        out.lines[str(path.relative_to(home))] = count
        out.runs.add(path.parent.name)


def _lines(path: Path, theirs: Callable[[dict[str, Any]], bool], dry: bool) -> int:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not theirs(_json(line))]
    if len(kept) < len(lines) and not dry:
        _replace(path, "".join(kept))
    return len(lines) - len(kept)


def _answers(path: Path, ids: set[str], dry: bool) -> int:
    whole = _json(path.read_text(encoding="utf-8"))
    rows = whole.get("rows", [])
    kept = [row for row in rows if row.get("id") not in ids]
    if len(kept) < len(rows) and not dry:
        _replace(path, json.dumps({**whole, "rows": kept}, ensure_ascii=False, indent=1))
    return len(rows) - len(kept)


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _json(text: str) -> dict[str, Any]:
    """The object of a line; {} where it is none, as after a kill."""
    try:
        return _object(json.loads(text))
    except ValueError:
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
