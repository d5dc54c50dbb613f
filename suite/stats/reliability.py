"""How well a measurement tells its subjects apart: intraclass correlation, consistency, seeds to separate.

The subjects are methods, the repetitions are seeds. With sigma_b^2 the variance of the methods' true means and
sigma_w^2 that of a method's runs, the intraclass correlation is sigma_b^2 / (sigma_b^2 + sigma_w^2): 1 where one run is
enough to know a method's place, 0 where runs of two methods differ no more than two runs of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from leakybench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The one-way analysis of variance of methods (groups) over seeds (replicates).

    Attributes:
        icc: intraclass correlation ICC(1), at most 1; it can be negative, as an unbiased estimate of 0 must. nan where
            all values are equal.
        low: lower end of its interval; nan without a spread.
        high: upper end of its interval.
        statistic: mean square between over mean square within groups; infinite where groups do not vary within.
        between: variance component between groups, in squared units of the data; can be negative.
        within: variance within groups, in squared units of the data.
        groups: number of groups.
        values: number of values in all groups.
    """

    icc: float
    low: float
    high: float
    statistic: float
    between: float
    within: float
    groups: int
    values: int


def intraclass_correlation(groups: Sequence[np.ndarray], *, level: float = 0.95) -> Reliability:
    """Estimate ICC(1), one-way random effects [Shrout and Fleiss 1979, Psychol. Bull. 86:420], groups of any sizes.

    With MSB and MSW the mean squares between and within m groups of n_i values, N in all, and
    n_0 = (N - sum n_i^2 / N) / (m - 1) [Searle 1971, ch. 10]:

        ICC = (MSB - MSW) / (MSB + (n_0 - 1) MSW).

    The interval is that of F, exact for normal effects and equal sizes. For unequal sizes it takes their harmonic mean
    h and the variance of the unweighted group means, F = h s^2 / MSW [Thomas and Hultquist 1978, Ann. Stat. 6:582],
    which is the same thing where sizes are equal.

    Args:
        groups: one array (n_i,) for each method, n_i at least 1; at least two groups, and one with two values.
        level: level of the interval.

    Raises:
        UsageError: too few groups or values, or values that are not finite.
    """
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    sizes = np.array([array.size for array in arrays], dtype=np.float64)
    if len(arrays) < 2 or sizes.min() < 1 or sizes.max() < 2:
        raise UsageError("an intraclass correlation needs at least two groups, none empty, and one of two values")
    if not all(np.isfinite(array).all() for array in arrays):
        raise UsageError("an intraclass correlation needs finite values")
    count, total = len(arrays), float(sizes.sum())
    means = np.array([array.mean() for array in arrays])
    grand = float(np.sum(sizes * means) / total)
    between_square = float(np.sum(sizes * (means - grand) ** 2)) / (count - 1)
    within = float(sum(np.sum((array - mean) ** 2) for array, mean in zip(arrays, means, strict=True)))
    within /= total - count
    replicates = (total - float(np.sum(sizes**2)) / total) / (count - 1)
    between = (between_square - within) / replicates
    # differences of rounding are no spread: without this, equal values would have a correlation
    tiny = (1e-12 * max(float(np.max(np.abs(array))) for array in arrays)) ** 2
    if max(between_square, within) <= tiny:
        nan = math.nan
        return Reliability(
            icc=nan, low=nan, high=nan, statistic=nan, between=0.0, within=0.0, groups=count, values=int(total)
        )
    harmonic = count / float(np.sum(1 / sizes))
    unweighted = harmonic * float(np.var(means, ddof=1))
    low, high = 1.0, 1.0
    if within > tiny:
        ratio, freedom = unweighted / within, (count - 1, total - count)
        low = _correlation(ratio / float(stats.f.ppf((1 + level) / 2, *freedom)), harmonic)
        high = _correlation(ratio / float(stats.f.ppf((1 - level) / 2, *freedom)), harmonic)
    return Reliability(
        icc=between / (between + within),
        low=low,
        high=high,
        statistic=between_square / within if within > tiny else math.inf,
        between=between,
        within=within,
        groups=count,
        values=int(total),
    )


def _correlation(ratio: float, replicates: float) -> float:
    """The ICC at which the expected F is ``ratio``: (F - 1) / (F - 1 + n)."""
    return (ratio - 1) / (ratio - 1 + replicates)


def consistency(table: np.ndarray) -> float:
    """Estimate ICC(3,1) [Shrout and Fleiss 1979]: as ICC(1), with the luck of a seed that all methods share removed.

    With MSR the mean square between methods and MSE that of the residuals of the two-way table without interaction,
    (MSR - MSE) / (MSR + (n - 1) MSE). It is what a comparison paired by seed sees. nan without a spread.

    Args:
        table: (seeds, methods), finite, at least 2 x 2.

    Raises:
        UsageError: a smaller table, or values that are not finite.
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise UsageError("an intraclass correlation needs a finite table of at least two seeds and two methods")
    seeds, methods = values.shape
    means = values.mean(axis=0)
    residuals = values - means - values.mean(axis=1, keepdims=True) + values.mean()
    between = seeds * float(np.var(means, ddof=1))
    error = float(np.sum(residuals**2)) / ((seeds - 1) * (methods - 1))
    # as above: differences of rounding are no spread
    if max(between, error) <= (1e-12 * float(np.max(np.abs(values)))) ** 2:
        return math.nan
    return (between - error) / (between + (seeds - 1) * error)


def seeds_to_separate(differences: np.ndarray, *, power: float = 0.8, level: float = 0.95) -> float:
    """Number of seeds with which a paired test finds the mean difference, by the normal approximation.

    n = ((z_((1 + level) / 2) + z_power) s / |d|)^2, rounded up, at least 2; s is the standard deviation of the paired
    differences and d their mean. Infinite where d is 0.

    Args:
        differences: (n,) paired differences, n at least 2.
    """
    values = np.asarray(differences, dtype=np.float64)
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    if mean == 0:
        return math.inf
    reach = float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power))
    return float(max(math.ceil((reach * spread / mean) ** 2), 2))
