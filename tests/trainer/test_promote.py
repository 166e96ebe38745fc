from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer import report
from trainer.evaluate import Arm, Scored
from trainer.promote import Gate, bootstrap, judge


def scored(values, role="challenger", slices=None, **measures):  # type: ignore[no-untyped-def]
    base = {"parsed": 1.0, "verbatim": 1.0, "offers": 0.0, "repetition": 0.0} | measures
    rows = [
        {
            "id": str(i),
            "answer": "a",
            "reference": "b",
            "slices": [(slices or ["all"] * 999)[i]],
            "measures": {"issue_f1": v, "meteor": v, **base},
        }
        for i, v in enumerate(values)
    ]
    return Scored(Arm(role, role, None), rows, 0.1, {"bleurt": "no checkpoint"})


GOOD = [0.6 + 0.1 * (i % 3) for i in range(60)]
WORSE = [v - 0.1 for v in GOOD]


def verdict(challenger, champion, **gate):  # type: ignore[no-untyped-def]
    return {c.name: c.passed for c in judge(challenger, champion, "issues", Gate(**gate))}


def test_a_clearly_better_challenger_passes():
    assert all(verdict(scored(GOOD), scored(WORSE)).values())


def test_an_equal_one_fails_unless_a_margin_allows_a_refresh():
    assert not verdict(scored(GOOD), scored(GOOD))["better"]
    assert verdict(scored(GOOD), scored(GOOD), margin=0.02)["better"]


def test_better_on_the_whole_but_worse_in_a_slice_fails():
    slices = ["1-2 stars"] * 50 + ["3 stars"] * 10
    challenger = scored(
        [v + 0.2 for v in WORSE[:50]] + [v - 0.3 for v in WORSE[50:]], slices=slices
    )
    found = verdict(challenger, scored(WORSE, slices=slices))
    assert found["better"] and not found["slice 3 stars"] and found["slice 1-2 stars"]


@pytest.mark.parametrize(
    "measure, value", [("parsed", 0.9), ("verbatim", 0.95), ("offers", 0.1), ("repetition", 0.4)]
)
def test_floors_and_ceilings_hold_however_good_the_rest(measure, value):
    assert not verdict(scored(GOOD, **{measure: value}), scored(WORSE))[measure]


def test_a_small_holdout_fails():
    assert not verdict(scored(GOOD[:20]), scored(WORSE[:20]))["examples"]


def test_arms_of_different_reviews_cannot_be_compared():
    with pytest.raises(ValueError, match="same reviews"):
        judge(scored(GOOD), scored(WORSE[:-1]), "issues")


def test_the_bootstrap_interval_covers_the_mean_and_narrows_with_more_pairs():
    few, many = (np.random.default_rng(1).normal(0.1, 0.3, n) for n in (30, 3000))
    (a, b), (c, d) = bootstrap(few, 2000), bootstrap(many, 2000)
    assert a < few.mean() < b and c < many.mean() < d and d - c < (b - a) / 5


def test_the_report_has_tables_pictures_and_says_what_was_not_computed(tmp_path):
    path = report.write(
        [scored(WORSE, "base"), scored(GOOD, "challenger", bertscore=0.9)],
        "issues",
        tmp_path,
        ["refused"],
    )
    text = path.read_text()
    assert "bleurt not computed: no checkpoint" in text and "median" in text and "refused" in text
    for name in ("distributions.png", "scatter.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG") and (
            tmp_path / name
        ).stat().st_size > 5000
    assert not list(Path(tmp_path).glob("*.part"))
