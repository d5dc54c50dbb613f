"""Intraclass correlation, consistency and seeds to separate, against closed forms and simulated components."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from leakybench.errors import UsageError
from leakybench.stats.reliability import (  # fmt: skip
    consistency,
    intraclass_correlation,
    seeds_to_separate,
)

# the worked example of Shrout and Fleiss 1979, table 2: six targets, four judges
EXAMPLE = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def test_the_worked_example_of_the_source():
    found = intraclass_correlation(list(EXAMPLE))
    # printed there: ICC(1, 1) = .17, F(5, 18) = 1.79
    assert found.icc == pytest.approx(0.1657, abs=1e-4)
    assert found.statistic == pytest.approx(stats.f_oneway(*EXAMPLE).statistic, rel=1e-12)
    assert (found.groups, found.values) == (6, 24)
    # the interval that is published for this table: -0.1329 to 0.7226
    assert (found.low, found.high) == (pytest.approx(-0.1329, abs=1e-4), pytest.approx(0.7226, abs=1e-4))


@pytest.mark.parametrize("truth", [0.2, 0.8])
@pytest.mark.parametrize("sizes", [(10,) * 12, (3, 5, 8, 10, 10, 12, 6, 4, 9, 10, 7, 5)])
def test_simulated_components_are_found_and_covered(truth, sizes):
    rng = np.random.default_rng(7)
    estimates, covered, repetitions = [], 0, 400
    for _ in range(repetitions):
        groups = [math.sqrt(truth) * rng.normal() + math.sqrt(1 - truth) * rng.standard_normal(n) for n in sizes]
        found = intraclass_correlation(groups)
        estimates.append(found.icc)
        covered += found.low <= truth <= found.high
    # the ratio of unbiased components is biased down by some hundredths with 12 groups
    assert np.mean(estimates) == pytest.approx(truth, abs=0.04)
    # 95% of 400 has a standard error of 1.1%
    assert covered / repetitions == pytest.approx(0.95, abs=0.035)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 100.0), st.floats(-50.0, 50.0))
def test_shift_and_scale_change_nothing(seed, scale, shift):
    groups = np.random.default_rng(seed).standard_normal((5, 4)) + np.arange(5)[:, None]
    plain, moved = (intraclass_correlation(list(each)) for each in (groups, scale * groups + shift))
    assert moved.icc == pytest.approx(plain.icc, abs=1e-8)
    assert moved.low == pytest.approx(plain.low, abs=1e-8)


def test_equal_values_have_no_correlation_and_equal_runs_a_perfect_one():
    assert math.isnan(intraclass_correlation([np.ones(3), np.ones(3)]).icc)
    perfect = intraclass_correlation([np.full(3, 1.0), np.full(3, 2.0)])
    assert (perfect.icc, perfect.low, perfect.high) == (1.0, 1.0, 1.0)
    with pytest.raises(UsageError, match="at least two groups"):
        intraclass_correlation([np.ones(3)])
    with pytest.raises(UsageError, match="finite"):
        intraclass_correlation([np.ones(3), np.array([1.0, np.nan])])


def test_consistency_of_the_worked_example():
    # printed in the source: ICC(3, 1) = .71; its mean squares 11.24 (targets) and 1.02 (residual) give the digits
    assert consistency(EXAMPLE.T) == pytest.approx((11.24 - 1.02) / (11.24 + 3 * 1.02), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 50.0))
def test_luck_that_all_methods_share_lowers_the_correlation_and_leaves_consistency_alone(seed, luck):
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((6, 5)) + 3.0 * np.arange(5)
    shared = rng.standard_normal((6, 1))
    moved = table + luck * (shared - shared.mean())
    # round-off of the mean squares, relative to the largest effect
    assert consistency(moved) == pytest.approx(consistency(table), abs=1e-9)
    # what one run says of a method is exactly what is lost: the mean square between is unchanged
    expected = [stats.f_oneway(*each.T).statistic for each in (table, moved)]
    found = [intraclass_correlation(list(each.T)) for each in (table, moved)]
    for one, f in zip(found, expected, strict=True):
        assert one.icc == pytest.approx((f - 1) / (f - 1 + 6), abs=1e-9)


def test_consistency_is_the_share_of_the_simulated_components():
    rng = np.random.default_rng(3)
    # components 4 (methods) and 1 (residual), beside a luck of 9 that all methods share
    draws = [
        consistency(2 * rng.standard_normal(12) + 3 * rng.standard_normal((10, 1)) + rng.standard_normal((10, 12)))
        for _ in range(300)
    ]
    # 12 methods: a bias of some hundredths, as for ICC(1)
    assert np.mean(draws) == pytest.approx(0.8, abs=0.04)


def test_consistency_says_what_it_cannot_judge():
    assert math.isnan(consistency(np.ones((3, 4))))
    for table in (np.ones((1, 4)), np.ones((4, 1)), np.ones(4), np.array([[1.0, np.nan], [2.0, 1.0]])):
        with pytest.raises(UsageError, match="finite table"):
            consistency(table)


def test_seeds_to_separate_have_the_power_that_is_asked_for():
    assert seeds_to_separate(np.zeros(5)) == math.inf
    rng = np.random.default_rng(0)
    shape = rng.standard_normal(2000)
    differences = 0.5 + (shape - shape.mean()) / shape.std(ddof=1)
    needed = int(seeds_to_separate(differences))
    # ((1.96 + 0.84) / 0.5)^2 = 31.4
    assert needed == 32
    draws = 0.5 + rng.standard_normal((4000, needed))
    found = stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05
    # Student's test at 32 has slightly less than the normal approximation promises
    assert found.mean() == pytest.approx(0.8, abs=0.04)
