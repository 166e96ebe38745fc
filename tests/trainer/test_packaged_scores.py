"""The packaged models keep what was measured of them, less three points: on labelled reviews that no training saw."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from beyond import main
from tests.conftest import shared_data

# Measured by `beyond score --labels FILE --dev`, less 0.03; shares that must stay low, plus 0.03.
FLOORS = {
    "quote": 0.85,
    "theme": 0.78,
    "problem": 0.55,
    "main": 0.49,
    "found": 0.49,
    "recall": 0.71,
    "silent": 0.89,
    "emotions": 0.59,
}
CEILINGS = {"bare": 0.12, "only_neutral": 0.03, "wrong_polarity": 0.16}


@pytest.mark.models
def test_the_packaged_models_keep_their_scores():

    labels = shared_data("labels/reviews.jsonl")
    done = CliRunner().invoke(main, ["score", "--labels", str(labels), "--dev", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout[done.stdout.index("{") :])
    found = facts["kinds"]["all"]
    low = {name: found[name] for name, floor in FLOORS.items() if found[name] < floor}
    high = {name: found[name] for name, top in CEILINGS.items() if found[name] > top}
    assert not low and not high and facts["calibration_error"] <= 0.05
