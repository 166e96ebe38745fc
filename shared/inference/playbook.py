"""The playbook: one line for each problem that recurs, with what to do about it and the trades it may speak to.

It does not know models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# In `for` beside the names of trades (shared.review.TRADES): fits all of them.
ANY = "any"


@dataclass(frozen=True)
class Line:
    """A problem in one past-tense sentence, an action in one imperative one, and the trades they fit (or "any")."""

    theme: str
    problem: str
    action: str
    trades: tuple[str, ...]

    def fits(self, trades: Sequence[str]) -> bool:
        """Whether it may be said to one of these trades; to all if none is known."""
        return not trades or ANY in self.trades or bool(set(trades) & set(self.trades))


def read_lines(path: Path) -> list[Line]:
    """The lines of a playbook file (JSON lines with theme, problem, action, for).

    Raises:
        OSError, ValueError, KeyError: the file is missing or a line has another form.
    """
    rows = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
    return [Line(row["theme"], row["problem"], row["action"], tuple(row["for"])) for row in rows]


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """The reverse of `read_lines`."""
    rows = (
        {"theme": x.theme, "problem": x.problem, "action": x.action, "for": list(x.trades)}
        for x in lines
    )
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
