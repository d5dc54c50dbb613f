"""The statistics against closed forms, scipy and hand counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from leakybench.errors import UsageError
from leakybench.stats import (  # fmt: skip
    holm,
    interval,
    mcnemar,
    paired,
    performance_profile,
    probability_of_improvement,
    proportion_interval,
    rank_intervals,
)
from leakybench.stats.intervals import standard_error
from leakybench.stats.paired import effect_bounds

DATA = np.array([0.31, 0.27, 0.35, 0.30, 0.41])


def test_mean_interval_is_students():
    found = interval(DATA)
    expected = stats.ttest_1samp(DATA, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.estimate == pytest.approx(DATA.mean(), rel=1e-14)
    assert (found.n, found.level, found.method) == (5, 0.95, "t")


def test_two_strata_are_welchs_interval():
    # the mean of two task means is half of a Welch sum: mirror one sample to turn scipy's difference into a sum
    other = np.array([0.5, 0.9, 0.6, 0.7, 0.65, 0.8, 0.75])
    expected = stats.ttest_ind(DATA, -other, equal_var=False).confidence_interval(0.95)
    found = interval([DATA, other])
    assert (found.low, found.high) == pytest.approx((expected.low / 2, expected.high / 2), rel=1e-12)


def test_iqm_standard_error_is_scipys_trimmed_one():
    data = np.random.default_rng(0).standard_normal(12)
    error, freedom = standard_error([data], "iqm")
    # scipy's is s_w / ((1 - 2 trim) sqrt(n)); ours has Yuen's factor sqrt((n - 1) / (h (h - 1))) for few runs
    scipys = stats.mstats.trimmed_stde(data, limits=(0.25, 0.25))
    n, h = 12, 6
    assert error == pytest.approx(scipys * 0.5 * np.sqrt(n) * np.sqrt((n - 1) / (h * (h - 1))), rel=1e-12)
    assert freedom == h - 1


def test_median_of_five_admits_no_more_than_its_range():
    found = interval(DATA, "median")
    assert (found.low, found.high) == (0.27, 0.41)
    assert found.level == pytest.approx(1 - 2 * 0.5**5)


@pytest.mark.parametrize("n", [6, 9, 10, 25])
def test_order_interval_lies_between_the_exact_ones(n):
    data = np.sort(np.random.default_rng(n).standard_normal(n))
    found = interval(data, "median")
    cover = [1 - 2 * stats.binom.cdf(d - 1, n, 0.5) for d in range(1, n // 2 + 1)]
    deep = max(d for d, share in enumerate(cover, start=1) if share >= 0.95)
    assert data[deep - 1] <= found.low <= data[deep]
    assert data[n - deep - 1] <= found.high <= data[n - deep]


@pytest.mark.parametrize(("statistic", "runs"), [("mean", 1), ("iqm", 2), ("median", 4)])
def test_too_few_runs_have_no_interval(statistic, runs):
    found = interval(DATA[:runs], statistic)
    assert not found.known
    assert np.isfinite(found.estimate)


@pytest.mark.parametrize("method", ["bootstrap-t", "rescaled", "percentile", "BCa"])
def test_bootstraps_are_seeded(method):
    runs = [interval([DATA, DATA * 2], method=method, random_state=s, resamples=200) for s in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert runs[0].low < runs[0].estimate < runs[0].high


@pytest.mark.parametrize("method", ["t", "bootstrap-t", "rescaled", "percentile", "BCa"])
def test_equal_runs_have_a_point_interval(method):
    found = interval([np.full(5, 0.3), np.full(5, 0.5)], method=method, resamples=100)
    assert (found.low, found.high) == pytest.approx((0.4, 0.4), abs=1e-15)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (np.array([]), {}, "at least one run"),
        (np.array([1.0, np.nan]), {}, "finite"),
        (DATA, {"statistic": "mode"}, "mean, median, iqm"),
        (DATA, {"method": "magic"}, "bootstrap-t"),
        (DATA, {"method": "order"}, "median of one task"),
        (DATA, {"level": 1.0}, "between 0 and 1"),
    ],
)
def test_wrong_arguments_are_named(data, options, words):
    with pytest.raises(UsageError, match=words):
        interval(data, **options)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 5), (5, 5), (7, 10)])
def test_proportion_interval_is_scipys_wilson(k, n):
    found = proportion_interval(k, n)
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_paired_without_guard_is_scipys_paired_test():
    other = DATA + np.array([0.02, 0.01, 0.05, 0.02, 0.03])
    expected = stats.ttest_rel(DATA, other)
    found = paired([DATA - other], guard=False)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    ci = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ci.low, ci.high), rel=1e-12)
    assert found.verdict == "better"
    assert paired([other - DATA], guard=False).verdict == "worse"


def test_symmetric_differences_need_no_correction():
    # skewness exactly 0: Hall's transformation is the identity
    differences = 0.1 + 0.02 * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    plain, guarded = paired([differences], guard=False), paired([differences])
    assert (guarded.low, guarded.high, guarded.p_value) == pytest.approx(
        (plain.low, plain.high, plain.p_value), rel=1e-12
    )


def test_skewed_differences_get_halls_limits_where_they_are_wider():
    x = np.array([0.1, 0.2, 0.3, 0.5, 2.0])
    n, m, s = 5, x.mean(), x.std(ddof=1) / np.sqrt(5)
    # scipy's skewness corrected for bias is k3 / k2^1.5; the skewness of a mean of n has another 1 / sqrt(n)
    a = stats.skew(x, bias=False) / np.sqrt(n)
    q = stats.t.ppf(0.975, n - 1)

    def hall(theta):
        t = (m - theta) / s
        return t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6

    low = optimize.brentq(lambda theta: hall(theta) - q, m - 50 * s, m)
    high = optimize.brentq(lambda theta: hall(theta) + q, m, m + 50 * s)
    found = paired([x])
    assert found.low == pytest.approx(min(low, m - q * s), rel=1e-9)
    assert found.high == pytest.approx(max(high, m + q * s), rel=1e-9)
    assert found.high > m + q * s  # the long tail is above


@pytest.mark.parametrize("shape", [[(4000, 5)], [(4000, 5), (4000, 3), (4000, 2)]])
def test_paired_test_and_interval_agree(shape):
    rng = np.random.default_rng(0)
    strata = [rng.exponential(size=size) - 0.7 for size in shape]
    effect, low, high, p_value = effect_bounds(strata)
    assert np.array_equal(p_value < 0.05, (low > 0) | (high < 0))
    assert np.all((low <= effect) & (effect <= high))
    mirrored = effect_bounds([-stratum for stratum in strata])
    assert mirrored[2] == pytest.approx(-low, rel=1e-12)
    assert mirrored[3] == pytest.approx(p_value, rel=1e-9)


def test_paired_verdicts_without_spread_or_runs():
    assert paired([np.zeros(6)]).verdict == "no difference shown"
    assert paired([np.full(6, 0.1)]).verdict == "worse"
    assert paired([np.full(4, 0.1)]).verdict == "too few runs"
    assert paired([]).verdict == "too few runs"
    lone = paired([np.array([0.1]), np.array([0.3])])
    assert (lone.verdict, lone.effect) == ("too few runs", pytest.approx(0.2))


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04, made monotone
    assert holm([0.04, 0.01, np.nan, 0.03, 0.02]) == pytest.approx([0.06, 0.04, np.nan, 0.06, 0.06], nan_ok=True)


def test_probability_of_improvement_counts_ties_half():
    found = probability_of_improvement([np.array([-1.0, 0.0]), np.array([1.0, -1.0])])
    assert found.estimate == pytest.approx(2.5 / 4)


def test_mcnemar_uses_discordant_pairs_alone():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 * 0.5**6)


def test_rank_intervals_separate_what_is_apart_and_tie_the_rest():
    rng = np.random.default_rng(0)
    level = np.array([0.1, 0.1, 0.5])
    tables = [level + 0.01 * rng.standard_normal((5, 3)) for _ in range(3)]
    found = rank_intervals(tables)
    assert list(found.best) == [1, 1, 3]
    assert list(found.worst) == [2, 2, 3]
    again = rank_intervals(tables)
    assert again.critical == found.critical


def test_rank_intervals_of_equal_scores_are_all_ties():
    found = rank_intervals([np.full((5, 3), 0.2)])
    assert list(found.best) == [1, 1, 1]
    assert list(found.worst) == [3, 3, 3]


def test_rank_intervals_of_one_method():
    found = rank_intervals([DATA[:, None]])
    assert (list(found.best), list(found.worst)) == ([1], [1])


def test_performance_profile_weighs_tasks_equally():
    share, low, high = performance_profile(
        [np.array([0.1, 0.2]), np.array([0.1, 0.3, 0.3, 0.3])], np.array([0.0, 0.15, 1.0])
    )
    assert share == pytest.approx([0.0, (1 / 2 + 1 / 4) / 2, 1.0])
    assert np.all((low <= share) & (share <= high))
