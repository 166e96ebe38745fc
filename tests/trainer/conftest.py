"""What the tests of the learning loop share: labels files, a champion that is easily beaten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.inference.adapters import open_registry
from shared.settings import MATCHER_BASE
from tests.conftest import ROOT
from trainer.examples import held, read_labels

GOLD = ROOT / "trainer" / "data" / "gold.jsonl"
BAD = "We waited an hour, the soup was cold and the waiter was rude to us. Visit number {}."


def some_labels(path: Path, train: int, holdout: int, **change: object) -> Path:
    """A labels file with so many gold labels of either side."""
    rows = [json.loads(line) for line in GOLD.read_text().splitlines()]
    sides: dict[bool, list[dict[str, object]]] = {True: [], False: []}
    for row, label in zip(rows, read_labels(GOLD), strict=True):
        sides[held(label)].append({**row, **change})
    path.write_text(
        "".join(json.dumps(r) + "\n" for r in sides[False][:train] + sides[True][:holdout])
    )
    return path


@pytest.fixture
def poor(settings, tmp_path):  # type: ignore[no-untyped-def]
    """A barely trained matcher, promoted: a champion that is easily beaten."""
    from tests import tiny

    folder, registry = tiny.poor_matcher(tmp_path / "poor"), open_registry(settings)
    name = registry.publish(folder, task="issues", prompt_version="issues-1", base=MATCHER_BASE).id
    registry.promote(name)
    return name
