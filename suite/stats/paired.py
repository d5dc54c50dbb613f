"""Paired comparisons: two methods on the same task and seed, so that the difficulty of a seed cancels.

A verdict needs two tests that agree. Student's holds for normal differences and is cautious for heavy
tails, but for skewed differences of mean 0 it raises up to 12% false alarms at 5 and 10 pairs, instead of 5%. Hall's
transformation [Hall 1992, J. R. Stat. Soc. B 54:221] removes the estimated skewness from Student's t, and errs under
heavy tails instead. ``python -m leakybench.stats.coverage --alarms`` prints what both together do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from leakybench.errors import UsageError
from leakybench.stats.intervals import Interval, Strata, estimate, proportion_interval, standard_error

MIN_PAIRS = 5
"""Smallest number of pairs for a verdict: at 4, a paired test of everyday effects has almost no power."""
BETTER, WORSE, SAME, FEW = "better", "worse", "no difference shown", "too few runs"
VERDICTS = (BETTER, WORSE, SAME, FEW)


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A paired effect: first minus second, in the unit of the scores, smaller scores being better.

    Attributes:
        effect: mean over strata of the mean difference.
        low: lower end of its interval, see ``effect_bounds``; nan where no stratum has two pairs.
        high: upper end of its interval; nan where no stratum has two pairs.
        p_value: p-value of the two-sided test that the effect is 0; nan where there is no interval.
        pairs: number of pairs.
        strata: number of strata.
        verdict: one of ``VERDICTS``, for the first method.
    """

    effect: float
    low: float
    high: float
    p_value: float
    pairs: int
    strata: int
    verdict: str


def paired(
    differences: Strata,
    *,
    level: float = 0.95,
    minimum: int = MIN_PAIRS,
    p_value: float | None = None,
    guard: bool = True,
) -> Paired:
    """Compute the effect of a paired comparison and its verdict.

    Strata with one pair have no spread and are left out, unless there are no others: then the effect is theirs,
    without a verdict.

    Args:
        differences: first minus second, one array (pairs,) for each stratum; the pairs of a stratum are independent.
        level: level of the interval; the verdict rejects at 1 - level.
        minimum: number of pairs below which the verdict is ``too few runs``.
        p_value: replaces the p-value of the test, where several tests are corrected together.
        guard: also apply the skewness-corrected test, see ``effect_bounds``; False applies Student's test only.
    """
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in differences if len(stratum)]
    pairs = sum(len(array) for array in arrays)
    if any(not np.isfinite(array).all() for array in arrays):
        raise UsageError("paired differences must be finite; failed runs are scored or left out before")
    usable = [array for array in arrays if len(array) >= 2]
    if not usable:
        effect = float(np.mean([array.mean() for array in arrays])) if arrays else float("nan")
        nan = float("nan")
        return Paired(effect=effect, low=nan, high=nan, p_value=nan, pairs=pairs, strata=len(arrays), verdict=FEW)
    effect, low, high, own_p_value = (float(value) for value in effect_bounds(usable, level=level, guard=guard))
    decisive = own_p_value if p_value is None else p_value
    counted = sum(len(array) for array in usable)
    if counted < minimum:
        verdict = FEW
    elif decisive >= 1 - level or effect == 0:
        verdict = SAME
    else:
        verdict = BETTER if effect < 0 else WORSE
    return Paired(
        effect=effect, low=low, high=high, p_value=decisive, pairs=counted, strata=len(usable), verdict=verdict
    )


def effect_bounds(
    strata: Strata, *, level: float = 0.95, guard: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean over strata of the mean, the ends of its interval, and the p-value of 0, each (...).

    With t = effect / standard error, its Satterthwaite degrees, and a the estimated skewness of the effect (third
    cumulant over the cubed standard error), Hall's corrected value is

        g(t) = t + a t^2 / 3 + a^2 t^3 / 27 + a / 6 = ((1 + a t / 3)^3 - 1) / a + a / 6,

    which grows in t, so that test and interval agree. With ``guard`` the p-value is the larger of those of t and
    g(t), and the interval the union of both: 0 is outside it exactly where p is below 1 - level.

    Args:
        strata: one array (..., n) for each task, n at least 2; leading axes are independent data sets, computed
            together.
    """
    effect = estimate(strata, "mean")
    error, freedom = standard_error(strata, "mean")
    reach = np.asarray(stats.t.ppf((1 + level) / 2, freedom))
    spread = np.where(error > 0, error, 1.0)
    t = effect / spread
    skew = _skewness(strata, spread) if guard else np.zeros_like(spread)
    corrected = _corrected(t, skew)
    both = np.where(t * corrected > 0, np.minimum(np.abs(t), np.abs(corrected)), 0.0)
    p_value = 2 * stats.t.sf(both, freedom)
    low = effect - error * np.maximum(reach, _uncorrected(reach, skew))
    high = effect + error * np.maximum(reach, -_uncorrected(-reach, skew))
    # no spread at all: equal results, or a difference that chance cannot explain
    return effect, low, high, np.where(error > 0, p_value, (effect == 0).astype(float))


def _skewness(strata: Strata, error: np.ndarray) -> np.ndarray:
    """Unbiased third cumulant of the effect over ``error`` cubed; a stratum of two pairs has no estimate and adds 0."""
    total = np.zeros_like(error)
    for stratum in strata:
        n = stratum.shape[-1]
        if n > 2:
            centred = (stratum - stratum.mean(axis=-1, keepdims=True)) / error[..., None]
            # the k-statistic n sum / ((n - 1)(n - 2)), over n^2 for a mean of n
            total = total + np.sum(centred**3, axis=-1) / (n * (n - 1) * (n - 2))
    return total / len(strata) ** 3


_FLAT = 1e-5
"""Skewness below which the closed forms lose more digits to cancellation than the second-order terms are worth."""


def _corrected(t: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """g(t)."""
    return t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6


def _uncorrected(value: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """The t whose g(t) is ``value``."""
    safe = np.where(np.abs(skew) < _FLAT, 1.0, skew)
    exact = 3 / safe * (np.cbrt(1 + safe * (value - safe / 6)) - 1)
    return np.where(np.abs(skew) < _FLAT, value - skew / 6 - skew * value**2 / 3, exact)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction [Holm 1979]: reject where the result is below the level, and the chance of any false
    alarm among them stays below it. nan stays nan and does not count."""
    raw = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(raw.shape, np.nan)
    known = np.flatnonzero(~np.isnan(raw))
    order = known[np.argsort(raw[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * factors), 1.0)
    return adjusted


def probability_of_improvement(differences: Strata) -> Interval:
    """Share of pairs in which the first has the smaller score, a tie counting half, with Wilson's interval.

    Strata weigh by their pairs; for equally many pairs a stratum this is the mean over strata.
    """
    pooled = np.concatenate([np.asarray(stratum, dtype=np.float64) for stratum in differences])
    return proportion_interval(float(np.sum(pooled < 0) + 0.5 * np.sum(pooled == 0)), len(pooled))


def mcnemar(first_only: int, second_only: int) -> float:
    """Exact two-sided p-value that two paired shares are equal, from the pairs that differ [McNemar 1947]; 1 without
    any."""
    if first_only + second_only == 0:
        return 1.0
    return float(stats.binomtest(first_only, first_only + second_only).pvalue)
