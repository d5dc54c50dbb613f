"""Where a curve of means crosses a level: closed forms, and what an interval must and must not hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakybench.stats.thresholds import crossing, monotone_means


def exact(means, n=5, places=None):
    """Runs of each place whose mean is exact, with a spread of 1e-6."""
    around = np.linspace(-1e-6, 1e-6, n)
    return [(float(place), mean + around) for place, mean in zip(places or range(len(means)), means, strict=True)]


def test_a_straight_curve_crosses_where_algebra_says():
    found = crossing(exact([1.0, 0.8, 0.4, 0.0]), 0.5)
    # from 0.8 at 1 to 0.4 at 2: 1.75. The interval's cubic through four places lies elsewhere by its curvature
    assert found.estimate == pytest.approx(1.75, abs=0.03)
    assert found.side == "within"
    assert found.low <= found.estimate <= found.high


def test_the_interval_of_a_line_is_that_of_the_line():
    found = crossing(exact([0.9, 0.7, 0.5, 0.3, 0.1], places=[0, 1, 2, 3, 4]), 0.6)
    assert found.estimate == pytest.approx(1.5, abs=1e-5)
    assert found.low == pytest.approx(1.5, abs=1 / 64)
    assert found.high == pytest.approx(1.5, abs=1 / 64)


def test_a_rising_curve_mirrors_a_falling_one():
    rng = np.random.default_rng(0)
    runs = [(float(x), np.clip(1 - x / 5 + 0.1 * rng.standard_normal(8), 0, 1)) for x in range(6)]
    falling = crossing(runs, 0.5)
    rising = crossing([(x, 1 - y) for x, y in runs], 0.5, rising=True)
    assert (rising.estimate, rising.low, rising.high, rising.side) == pytest.approx(
        (falling.estimate, falling.low, falling.high, falling.side)
    )


@pytest.mark.parametrize(
    ("means", "side", "low", "high"),
    [([1.0, 0.9, 0.8], "above", 2.0, None), ([0.4, 0.2, 0.1], "below", None, 0.0)],
)
def test_a_threshold_outside_the_places_is_a_result_of_its_own(means, side, low, high):
    found = crossing(exact(means), 0.5)
    assert (found.estimate, found.side, found.low, found.high) == (None, side, low, high)


def test_two_runs_at_a_place_exclude_nothing():
    found = crossing([(0.0, np.array([1.0, 1.0])), (1.0, np.array([0.0, 0.0]))], 0.5)
    assert found.side == "open"
    assert found.low is None
    assert found.high is None


def test_five_equal_shares_exclude_a_half_and_four_do_not():
    # chance of n equal outcomes at a share of one half: 2/2^4 = 12%, 2/2^5 = 6%; with pseudo-counts the first that
    # is excluded at 5% is n = 5
    for n, excluded in ((4, False), (5, True)):
        runs = [(0.0, np.zeros(n)), (1.0, np.ones(20))]
        assert (crossing(runs, 0.5, rising=True, binary=True).low is not None) == excluded


def test_equal_values_of_shares_have_a_variance():
    runs = [(0.0, np.zeros(8)), (1.0, np.ones(8))]
    found = crossing(runs, 0.5, rising=True, binary=True)
    assert found.low < 0.5 < found.high  # zero variance would make a point of it


def test_a_place_with_few_runs_does_not_widen_what_its_neighbours_decide():
    rng = np.random.default_rng(1)
    noisy = np.array([0.2, 0.9, 0.9])  # far below the threshold, three runs that exclude nothing
    runs = [(0.0, noisy), (1.0, 0.9 + 0.01 * rng.standard_normal(10)), (2.0, 0.1 + 0.01 * rng.standard_normal(10))]
    assert crossing(runs, 0.5).low >= 1.0


def test_a_steep_gap_is_not_interpolated():
    # from 0.9 to 0.1 within the gap: the crossing may be anywhere in it, however small the spread
    found = crossing(exact([0.95, 0.9, 0.1, 0.05]), 0.5)
    assert (found.low, found.high) == (1.0, 2.0)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=6), min_size=2, max_size=7), st.booleans())
def test_ends_are_ordered_and_lie_on_the_axis_whatever_the_runs(values, rising):
    runs = [(float(place), np.array(each)) for place, each in enumerate(values)]
    found = crossing(runs, 0.5, rising=rising)
    low = 0.0 if found.low is None else found.low
    high = len(runs) - 1.0 if found.high is None else found.high
    assert 0.0 <= low <= high <= len(runs) - 1.0
    if found.estimate is not None:
        assert low <= found.estimate <= high


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_monotone_fit_is_monotone_and_keeps_the_total(means):
    runs = [(float(place), np.array([mean, mean])) for place, mean in enumerate(means)]
    fit = monotone_means(runs, rising=False)
    assert (np.diff(fit) <= 1e-12).all()
    assert fit.sum() == pytest.approx(sum(means), abs=1e-9)  # pooling keeps weighted sums


def test_places_must_increase():
    with pytest.raises(ValueError, match="increasing"):
        crossing([(1.0, np.ones(3)), (1.0, np.zeros(3))], 0.5)
    with pytest.raises(ValueError, match="two places"):
        crossing([(1.0, np.ones(3))], 0.5)
