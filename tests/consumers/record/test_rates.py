from __future__ import annotations

import random
from datetime import date

import pytest

from consumers.record.periods import Period
from consumers.record.rates import Ratings, mean_difference, rate_ratio


def poisson(draw, mean):  # type: ignore[no-untyped-def]
    count, left = 0, draw.expovariate(1)
    while left < mean:
        count, left = count + 1, left + draw.expovariate(1)
    return count


@pytest.mark.parametrize("mean, mean_before", [(20, 20), (40, 20), (8, 30)])
def test_the_interval_of_a_ratio_holds_the_true_one_in_about_95_of_100_cases(mean, mean_before):
    draw, held = random.Random(7), 0
    for _ in range(2000):
        found = rate_ratio(poisson(draw, mean), 1000, poisson(draw, mean_before), 500)
        true = (mean / 1000) / (mean_before / 500)
        held += found is not None and found.low <= true <= found.high
    assert 0.93 <= held / 2000 <= 0.985


def test_a_ratio_needs_reviews_on_both_sides_and_stays_finite_without_issues():
    assert rate_ratio(3, 0, 3, 10) is None and rate_ratio(3, 10, 3, 0) is None
    assert rate_ratio(0, 10, 0, 10) is None
    new = rate_ratio(5, 100, 0, 100)
    assert new is not None and new.estimate == pytest.approx(11) and new.low > 0.5


def stars(draw, weights, count):  # type: ignore[no-untyped-def]
    found = draw.choices(range(1, 6), weights, k=count)
    return Ratings(count, sum(found), {s: found.count(s) for s in range(1, 6)})


def test_the_interval_of_a_difference_holds_the_true_one_in_about_95_of_100_cases():
    draw, held = random.Random(7), 0
    one, other = (1, 1, 2, 4, 8), (4, 2, 2, 2, 2)
    means = [sum(s * w for s, w in enumerate(ws, 1)) / sum(ws) for ws in (one, other)]
    for _ in range(2000):
        found = mean_difference(stars(draw, one, 80), stars(draw, other, 50))
        held += found is not None and found.low <= means[0] - means[1] <= found.high
    assert 0.93 <= held / 2000 <= 0.97


def test_a_difference_needs_two_ratings_on_both_sides():
    assert mean_difference(Ratings(1, 3, {3: 1}), Ratings(9, 27, {3: 9})) is None


def test_the_period_before_ends_the_day_before_and_is_as_long():
    period = Period(date(2026, 3, 1), date(2026, 3, 10))
    assert period.before == Period(date(2026, 2, 19), date(2026, 2, 28))


def test_long_periods_go_by_weeks_from_monday_and_lose_no_day():
    period = Period(date(2026, 1, 1), date(2026, 12, 31))  # a Thursday
    steps = period.steps()
    assert period.step == "week" and steps[0] == date(2025, 12, 29) and len(steps) == 53
    first, last = period.numbers
    assert {period.step_of(day) for day in range(first, last + 1)} == set(steps)
