"""Which counts have risen beyond chance: this period against the ones before it. Pure arithmetic.

Each series is tested by itself: given how often a thing was told in all periods together, how
likely is it that the current one has so many of them? Reviews are the exposure, so a thing does not
rise because a business has more guests.

Where counts scatter as chance would have them, that is the exact conditional Poisson test
(Przyborowski & Wilenski 1940): the current count is binomial. Where they scatter more, it is the
exact negative binomial test (Robinson & Smyth 2008, https://doi.org/10.1093/biostatistics/kxm030):
the count is beta-binomial. How much more is estimated from the earlier periods of the series and of
all series together, as eight weeks alone say little. Benjamini & Hochberg (1995) hold the share of
false alarms over everything that was tested. It does not know what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MINIMUM = 5  # fewer in the current period are no spike, however unlikely
FALSE_ALARMS = 0.05  # of what is flagged
LEAST_PERIODS = 4  # with reviews before the current one; a business that just began is not tested
# The dispersion of all series together weighs as much as so many periods of the series itself.
_PRIOR_PERIODS = 12
# Below this, an expected count of 20 varies by 10% more than Poisson's: chance finds that as well.
_POISSON = 0.01


@dataclass(frozen=True)
class Series:
    """One thing in one business.

    Counts and reviews (the exposure) of the earlier periods, and of the current one.
    """

    counts: tuple[int, ...]
    reviews: tuple[int, ...]
    current: int
    current_reviews: int


@dataclass(frozen=True)
class Verdict:
    """What the test says.

    `p` is one-sided; `q` is p as Benjamini-Hochberg raises it; `expected` in the current period.
    """

    expected: float
    p: float
    q: float
    dispersion: float
    flagged: bool

    @property
    def statistic(self) -> str:
        """The test by name, with its numbers."""
        name = (
            "exact conditional Poisson test"
            if self.dispersion == 0
            else f"exact conditional negative binomial test, dispersion {self.dispersion:.2f}"
        )
        return f"{name}: p {_short(self.p)}, q {_short(self.q)} (Benjamini-Hochberg)"


def judge(series: Sequence[Series], minimum: int = MINIMUM) -> list[Verdict | None]:
    """A verdict per series, in order; None where there is too little to test: few periods, or few counts in all.

    Args:
        series: everything that is watched; what is tested together is corrected together.
        minimum: least count in the current period for a flag. A series is tested when all its
            periods together have as many: that choice does not look at the current one alone, so
            the tests stay valid.
    """
    tested = [n for n, one in enumerate(series) if _testable(one, minimum)]
    spread = _dispersions([series[n] for n in tested])
    found = [_test(series[n], alpha) for n, alpha in zip(tested, spread, strict=True)]
    raised = _benjamini_hochberg([p for _, p in found])
    out: list[Verdict | None] = [None] * len(series)
    for n, (expected, p), q, alpha in zip(tested, found, raised, spread, strict=True):
        enough = series[n].current >= minimum
        out[n] = Verdict(expected, p, q, alpha, enough and q <= FALSE_ALARMS)
    return out


def _testable(one: Series, minimum: int) -> bool:
    periods = sum(1 for reviews in one.reviews if reviews > 0)
    return (
        one.current_reviews > 0
        and periods >= LEAST_PERIODS
        and one.current + sum(one.counts) >= minimum
    )


def _dispersions(series: Sequence[Series]) -> list[float]:
    """Per series alpha of variance = mean + alpha mean², by moments, drawn towards that of all; 0: Poisson."""
    excess, squares, periods = [], [], []
    for one in series:
        counts = np.array(one.counts, float)
        reviews = np.array(one.reviews, float)
        share = reviews / reviews.sum()
        mean = counts.sum() * share
        # A mean fitted to the count itself lies too near to it, by its share of the exposure.
        away = (counts - mean) ** 2 / np.maximum(1 - share, 1e-9)
        excess.append(float((away - mean).sum()))
        squares.append(float((mean**2).sum()))
        periods.append(int((reviews > 0).sum()))
    together = max(0.0, sum(excess) / sum(squares)) if sum(squares) else 0.0
    out = []
    for over, square, count in zip(excess, squares, periods, strict=True):
        own = over / square if square else together
        alpha = (count * own + _PRIOR_PERIODS * together) / (count + _PRIOR_PERIODS)
        # Its own calm weeks do not make a series calmer than its like; wild ones make it wilder.
        alpha = max(alpha, together)
        out.append(float(alpha) if alpha >= _POISSON else 0.0)
    return out


def _test(one: Series, alpha: float) -> tuple[float, float]:
    """Expected count of the current period by the earlier ones, and the p-value of as many or more."""
    before, reviews = sum(one.counts), sum(one.reviews)
    expected = before * one.current_reviews / reviews
    if alpha == 0:
        share = one.current_reviews / (reviews + one.current_reviews)
        return expected, _binomial_tail(one.current, before + one.current, share)
    # Each period brings 1/alpha to the shape, weighed by its reviews.
    usual = reviews / sum(1 for count in one.reviews if count > 0)
    shapes = one.current_reviews / usual / alpha, reviews / usual / alpha
    return expected, _beta_binomial_tail(one.current, before + one.current, *shapes)


def _binomial_tail(least: int, total: int, share: float) -> float:
    """P(X >= least) of a binomial count."""
    from scipy.special import betainc

    return float(betainc(least, total - least + 1, share)) if least else 1.0


def _beta_binomial_tail(least: int, total: int, a: float, b: float) -> float:
    """P(X >= least) of a beta-binomial count with shapes a and b."""
    from scipy.special import betaln, gammaln

    k = np.arange(least, total + 1)
    ways = gammaln(total + 1) - gammaln(k + 1) - gammaln(total - k + 1)
    return float(min(1.0, np.exp(ways + betaln(k + a, total - k + b) - betaln(a, b)).sum()))


def _benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """q-values: p times tests over rank, made to rise with p."""
    order = np.argsort(p, kind="stable")[::-1]
    ranks = np.arange(len(p), 0, -1)
    out = np.empty(len(p))
    out[order] = np.minimum.accumulate(np.array(p)[order] * len(p) / ranks)
    return [min(1.0, float(q)) for q in out]


def _short(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"
