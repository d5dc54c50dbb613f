"""Paired comparisons: two methods on the same task and seed, so that what the seed makes hard cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from suite.errors import UsageError
from suite.stats.intervals import Interval, Strata, estimate, proportion_interval, standard_error

MIN_PAIRS = 5
"""Fewer pairs than this carry no verdict: at 4, a paired test of everyday effects has next to no power."""
BETTER, WORSE, SAME, FEW = "better", "worse", "no difference shown", "too few runs"
VERDICTS = (BETTER, WORSE, SAME, FEW)


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A paired effect: first minus second, in the unit of the scores, smaller scores being better.

    Attributes:
        effect: mean over strata of the mean difference.
        low, high: its 95% interval (Student, Satterthwaite's degrees); nan where a stratum has one pair or there is
            none.
        p_value: of the two-sided test that the effect is 0; nan where there is no interval.
        pairs, strata: how many.
        verdict: one of ``VERDICTS``, for the first.
    """

    effect: float
    low: float
    high: float
    p_value: float
    pairs: int
    strata: int
    verdict: str


def paired(
    differences: Strata, *, level: float = 0.95, minimum: int = MIN_PAIRS, p_value: float | None = None
) -> Paired:
    """The effect of a paired comparison and its verdict.

    Exact for normal differences of one stratum; conservative for symmetric heavy tails, which is what differences of
    two equally distributed methods are. Strata with one pair say nothing of
    the spread and are left out, unless there are no others: then the effect is theirs, without a verdict.

    Args:
        differences: first minus second, one array (pairs,) a stratum.
        level: of the interval; the verdict rejects at 1 - level.
        minimum: pairs below which the verdict is ``too few runs``.
        p_value: overrides the test's own, where several tests are corrected together.
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
    effect = float(estimate(usable, "mean"))
    error, freedom = (float(value) for value in standard_error(usable, "mean"))
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    # no spread at all: equal results, or a difference that chance cannot explain
    found = float(2 * stats.t.sf(abs(effect) / error, freedom)) if error > 0 else float(effect == 0)
    decisive = found if p_value is None else p_value
    counted = sum(len(array) for array in usable)
    if counted < minimum:
        verdict = FEW
    elif decisive >= 1 - level or effect == 0:
        verdict = SAME
    else:
        verdict = BETTER if effect < 0 else WORSE
    return Paired(
        effect=effect,
        low=effect - half,
        high=effect + half,
        p_value=decisive,
        pairs=counted,
        strata=len(usable),
        verdict=verdict,
    )


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
