"""How sure a change is: 95% intervals for ratios of rates and differences of means. Pure arithmetic.

It does not know what is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from consumers.record.answers import Interval

_Z = 1.959964  # 97.5% of the normal distribution


def rate_ratio(
    count: int, exposure: int, count_before: int, exposure_before: int
) -> Interval | None:
    """(count / exposure) over (count_before / exposure_before), Wald's interval on the log scale for Poisson counts.

    Half an event is added to both counts where one is zero (Haldane 1956), so that the interval
    stays finite. None where an exposure is zero or nothing was counted on either side.
    """
    if not exposure or not exposure_before or not count + count_before:
        return None
    a, b = float(count), float(count_before)
    if not count or not count_before:
        a, b = a + 0.5, b + 0.5
    ratio = (a / exposure) / (b / exposure_before)
    spread = math.exp(_Z * math.sqrt(1 / a + 1 / b))
    return Interval(estimate=ratio, low=ratio / spread, high=ratio * spread)


@dataclass(frozen=True)
class Ratings:
    """How many reviews were rated, their mean, and how many gave 1 to 5 stars."""

    rated: int
    total: float
    stars: dict[int, int]

    @property
    def mean(self) -> float | None:
        """None where nobody rated."""
        return self.total / self.rated if self.rated else None

    @property
    def variance(self) -> float:
        """Of the stars, which are whole; so near enough for an interval."""
        count = sum(self.stars.values())
        if count < 2:
            return 0.0
        middle = sum(s * n for s, n in self.stars.items()) / count
        return sum(n * (s - middle) ** 2 for s, n in self.stars.items()) / (count - 1)


def mean_difference(left: Ratings, right: Ratings) -> Interval | None:
    """Mean of left less mean of right, with Welch's standard error; None where either has fewer than two ratings."""
    if left.rated < 2 or right.rated < 2:
        return None
    assert left.mean is not None and right.mean is not None
    apart = left.mean - right.mean
    spread = _Z * math.sqrt(left.variance / left.rated + right.variance / right.rated)
    return Interval(estimate=apart, low=apart - spread, high=apart + spread)
