"""The gate: a challenger is promoted only when it is shown to be better and nowhere worse.

Paired bootstrap (Koehn 2004, https://aclanthology.org/W04-3250/): reviews are resampled with
replacement, the difference of the primary measure's means is taken each time; its 2.5% quantile
must lie above zero (above -margin for a refresh). It does not know adapters' files; it reads scored
rows and says yes or no, with reasons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.evaluate import Scored
from trainer.metrics.measures import PRIMARY, mean


@dataclass(frozen=True)
class Gate:
    """What must hold. Margins and floors are in units of their measure (0..1)."""

    min_examples: int = 40
    resamples: int = 2000
    margin: float = 0.0  # 0: must be better. A refresh on new data may be as good within a margin.
    slice_margin: float = 0.1
    min_slice: int = 8
    parsed_floor: float = 0.99
    verbatim_floor: float = 0.99
    offers_ceiling: float = 0.02
    repetition_ceiling: float = 0.1


@dataclass(frozen=True)
class Check:
    """One condition, whether it held, and a sentence with the numbers."""

    name: str
    passed: bool
    text: str


def judge(challenger: Scored, champion: Scored, task: str, gate: Gate = Gate()) -> list[Check]:
    """All checks; the challenger may be promoted when every one passed.

    Args:
        challenger: the new adapter's rows.
        champion: rows of what serves now (the bare base if nothing does), same reviews in the same
            order.
        task: decides the primary measure.
        gate: margins and floors.
    """
    if [r["id"] for r in challenger.rows] != [r["id"] for r in champion.rows]:
        raise ValueError("challenger and champion were not measured on the same reviews")
    name, means = PRIMARY[task], challenger.means()
    many = len(challenger.rows)
    checks = [
        Check(
            "examples",
            many >= gate.min_examples,
            f"{many} reviews in the holdout, {gate.min_examples} needed",
        )
    ]
    if name not in means or math.isnan(means[name]):
        return [
            *checks,
            Check(
                "primary",
                False,
                f"{name} was not computed: {challenger.missing.get(name, 'no pair has it')}",
            ),
        ]
    before, after = _column(champion, name), _column(challenger, name)
    low, high = bootstrap(after - before, gate.resamples)
    floor = 0 - gate.margin  # not -margin: that prints as -0.000
    checks.append(
        Check(
            "better",
            low > floor,
            f"{name} {mean(before.tolist()):.3f} -> {mean(after.tolist()):.3f}, difference in [{low:+.3f}, {high:+.3f}] (95%), "
            f"must be above {floor:+.3f}",
        )
    )
    checks += _slices(challenger, before, after, name, gate)
    floors = {"parsed": gate.parsed_floor} | (
        {"verbatim": gate.verbatim_floor} if task == "issues" else {}
    )
    for measure, floor in floors.items():
        value = means.get(measure, math.nan)
        # No quote at all leaves `verbatim` undefined: then nothing false was quoted.
        checks.append(
            Check(
                measure,
                math.isnan(value) or value >= floor,
                f"{measure} {value:.3f}, at least {floor}",
            )
        )
    for measure, ceiling in {
        "offers": gate.offers_ceiling,
        "repetition": gate.repetition_ceiling,
    }.items():
        value = means.get(measure, math.nan)
        checks.append(
            Check(
                measure,
                math.isnan(value) or value <= ceiling,
                f"{measure} {value:.3f}, at most {ceiling}",
            )
        )
    return checks


def _column(scored: Scored, name: str) -> np.ndarray:
    return np.array([row["measures"].get(name, math.nan) for row in scored.rows], dtype=float)


def bootstrap(differences: np.ndarray, resamples: int, seed: int = 0) -> tuple[float, float]:
    """The 2.5% and 97.5% quantiles of the mean of paired differences [pairs], NaN pairs left out."""
    real = differences[~np.isnan(differences)]
    if not len(real):
        return -math.inf, math.inf
    drawn = np.random.default_rng(seed).integers(0, len(real), (resamples, len(real)))
    low, high = np.quantile(real[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)


def _slices(
    challenger: Scored, before: np.ndarray, after: np.ndarray, name: str, gate: Gate
) -> list[Check]:
    out = []
    for group in sorted({s for row in challenger.rows for s in row["slices"]}):
        inside = np.array([group in row["slices"] for row in challenger.rows])
        change = (after - before)[inside]
        change = change[~np.isnan(change)]
        if len(change) < gate.min_slice:
            continue
        worse = float(change.mean())
        text = f"{name} {worse:+.3f} on {len(change)} reviews, must be at least {-gate.slice_margin:+.2f}"
        out.append(Check(f"slice {group}", worse >= -gate.slice_margin, text))
    return out


def lines(checks: Sequence[Check]) -> list[str]:
    """The verdict in words, one line a check."""
    return [f"{'passed' if c.passed else 'FAILED'}: {c.name}: {c.text}" for c in checks]
