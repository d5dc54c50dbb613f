"""Where a monotone curve of means crosses a level, with its interval: the arithmetic behind a ladder.

Runs at each place of the curve are independent of those at other places. Between neighbouring places the curve is taken
for a cubic, on the scale of the axis; a design makes the gaps small where that matters (``leakybench.ladders.design``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.97
"""Level of the tests. A design that stops when its interval is narrow enough stops too early by luck: at 0.97 its
intervals cover 95 to 97.5% (``python -m leakybench.ladders.coverage``)."""
BINARY_LEVEL = 0.93
"""Level for shares, whose pseudo-counts widen the interval already: at 0.95 it would cover 98%."""
NORMAL = 1.959964
"""Quantile of the normal law at 97.5%."""
STEPS = 64
"""Number of candidates for the crossing within each gap; the ends of an interval are exact to 1/64 of a gap."""
PRIOR = 2.0
"""Pseudo-counts of either outcome where the runs are shares of 0 and 1 [Agresti and Coull 1998]."""
STEEP = 0.5
"""Change of the mean over a gap within which no curve is taken for known: the crossing may be anywhere in it."""
MIN_RUNS = 3
"""Least number of runs at a place whose mean is tested."""

Runs = Sequence[tuple[float, np.ndarray]]
"""Place on the axis and values of its runs, float64 (n,), by increasing place."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where the mean crosses a level, on the scale of the axis.

    Attributes:
        estimate: the crossing of the monotone fit; None where the fit does not cross.
        low: lower end of the 95% interval; None where the runs do not exclude the lowest place.
        high: upper end of the 95% interval; None where the runs do not exclude the highest place.
        side: ``within`` if the interval lies between the places; ``below`` if the lowest place is beyond the level
            already; ``above`` if the highest place is not beyond it yet; ``open`` if the runs do not tell.
    """

    estimate: float | None
    low: float | None
    high: float | None
    side: str


def monotone_means(runs: Runs, *, rising: bool) -> np.ndarray:
    """Return the means of the monotone least-squares fit, weighted by the numbers of runs; (m,).

    Raises:
        ValueError: no places.
    """
    from sklearn.isotonic import isotonic_regression

    means = np.array([values.mean() for _, values in runs])
    weights = np.array([float(len(values)) for _, values in runs])
    return np.asarray(isotonic_regression(means, sample_weight=weights, increasing=rising))


def crossing(runs: Runs, level: float, *, rising: bool = False, binary: bool = False) -> Crossing:
    """Return where the mean crosses ``level``, with its 95% interval.

    The estimate is the crossing of the cubic through the monotone means (isotonic regression) around the gap that holds
    it. The interval holds every place x that two tests leave. The mean at x, interpolated between its neighbours by
    the weights w_j of that cubic, does not differ from the level by Student's test with the variance
    sum w_j^2 s_j^2/n_j and Satterthwaite's degrees of freedom; in a gap over which the mean changes by more than
    ``STEEP``, every place is left. And no place on the near side of x is beyond the level, nor one on the far side
    short of it, each by a one-sided test, since the curve is monotone. For shares, s^2 = p(1 - p) with
    p = (successes + 2)/(n + 4), which has no zero variance.

    Args:
        runs: at least two places.
        level: the level.
        rising: whether the curve rises; it falls otherwise.
        binary: whether the values are 0 and 1.

    Raises:
        ValueError: fewer than two places, or places that do not increase.
    """
    places = np.array([place for place, _ in runs], dtype=float)
    if len(places) < 2 or not (np.diff(places) > 0).all():
        raise ValueError("a crossing needs two places or more, in increasing order")
    sign = 1.0 if rising else -1.0
    moments = [_moments(values, binary) for _, values in runs]
    beyond = np.array([_test(sign * (mean - level), variance, n, binary) for mean, variance, n in moments])
    short = np.array([_test(sign * (level - mean), variance, n, binary) for mean, variance, n in moments])
    candidates, accepted = _candidates(places, moments, level, binary)
    # monotone: a place beyond the level has the crossing before it, one short of it has the crossing behind it
    first_beyond = places[beyond][0] if beyond.any() else np.inf
    last_short = places[short][-1] if short.any() else -np.inf
    if last_short < first_beyond:
        accepted &= (candidates >= last_short) & (candidates <= first_beyond)
    estimate = _estimate(places, monotone_means(runs, rising=rising), level, rising=rising)
    if not accepted.any():  # a curve that jumps past the level between two candidates
        ends = max(last_short, places[0]), min(first_beyond, places[-1])
        accepted = (candidates >= min(ends)) & (candidates <= max(ends))
    kept = candidates[accepted]
    low, high = (None if beyond.all() else float(kept[0])), (None if short.all() else float(kept[-1]))
    if beyond[0] and last_short == -np.inf:
        return Crossing(estimate=None, low=None, high=float(places[0]), side="below")
    if short[-1] and first_beyond == np.inf:
        return Crossing(estimate=None, low=float(places[-1]), high=None, side="above")
    low = None if not short.any() and low is not None and low <= places[0] else low
    high = None if not beyond.any() and high is not None and high >= places[-1] else high
    side = "within" if low is not None and high is not None and estimate is not None else "open"
    if estimate is not None and low is not None and high is not None:
        estimate = float(np.clip(estimate, low, high))
    return Crossing(estimate=estimate, low=low, high=high, side=side)


def _moments(values: np.ndarray, binary: bool) -> tuple[float, float, int]:
    """Mean, variance of a single run, and number of runs; of a share with pseudo-counts."""
    n = len(values)
    if binary:
        share = (float(values.sum()) + PRIOR) / (n + 2 * PRIOR)
        return share, share * (1 - share) * n / (n + 2 * PRIOR), n
    return float(values.mean()), float(values.var(ddof=1)) if n > 1 else np.inf, n


def _test(distance: float, variance: float, n: int, binary: bool) -> bool:
    """Whether a mean lies at a positive distance from the level, by a one-sided test."""
    if n < MIN_RUNS or not distance > 0:
        return False
    return bool(distance > _quantile(n - 1.0, binary) * np.sqrt(variance / n))


def _quantile(freedom: float | np.ndarray, binary: bool) -> np.ndarray:
    """The normal quantile for shares, whose variance is known, and Student's for others."""
    return np.asarray(stats.norm.ppf(0.5 + BINARY_LEVEL / 2) if binary else stats.t.ppf(0.5 + LEVEL / 2, freedom))


def _candidates(
    places: np.ndarray, moments: list[tuple[float, float, int]], level: float, binary: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the axis, and whether the interpolated mean at each agrees with the level."""
    tested = np.array([n >= MIN_RUNS for _, _, n in moments])
    means, parts, freedom = (
        np.array(values)
        for values in zip(
            *((mean, variance / n if n >= MIN_RUNS else 0.0, n - 1.0) for mean, variance, n in moments), strict=True
        )
    )
    where, agrees = [], []
    for index in range(len(places) - 1):
        at = places[index] + np.linspace(0.0, 1.0, STEPS + 1) * (places[index + 1] - places[index])
        where.append(at)
        if not tested[index : index + 2].all():
            agrees.append(np.ones(len(at), dtype=bool))
            continue
        distances = means[index : index + 2] - level
        if abs(distances[0] - distances[1]) > STEEP and distances[0] * distances[1] <= 0:
            agrees.append(np.ones(len(at), dtype=bool))
            continue
        nodes = [node for node in range(index - 1, index + 3) if 0 <= node < len(places) and tested[node]]
        weights = _lagrange(places[nodes], at)
        squares = weights**2 * parts[nodes]
        error = squares.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            joint = error**2 / (squares**2 / freedom[nodes]).sum(axis=1)
        joint = np.where(np.isfinite(joint), joint, freedom[nodes].min())
        agrees.append(np.abs(weights @ means[nodes] - level) <= _quantile(joint, binary) * np.sqrt(error))
    return np.concatenate(where), np.concatenate(agrees)


def _lagrange(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Weights of the values at the nodes in the polynomial through them, (len(at), len(nodes))."""
    weights = np.ones((len(at), len(nodes)))
    for j, node in enumerate(nodes):
        for i, other in enumerate(nodes):
            if i != j:
                weights[:, j] *= (at - other) / (node - other)
    return weights


def _estimate(places: np.ndarray, means: np.ndarray, level: float, *, rising: bool) -> float | None:
    """The crossing of the cubic through monotone means in the gap that holds it."""
    heights = (means if rising else -means) - (level if rising else -level)
    if heights[0] > 0 or heights[-1] < 0:
        return None
    flat = places[heights == 0]
    if flat.size:  # a flat part at the level: its middle
        return float((flat[0] + flat[-1]) / 2)
    index = int(np.searchsorted(heights, 0.0)) - 1
    nodes = [node for node in range(index - 1, index + 3) if 0 <= node < len(places)]
    at = places[index] + np.linspace(0.0, 1.0, 4 * STEPS + 1) * (places[index + 1] - places[index])
    curve = _lagrange(places[nodes], at) @ heights[nodes]
    first = int(np.argmax(curve >= 0))
    share = -curve[first - 1] / (curve[first] - curve[first - 1])
    return float(at[first - 1] + share * (at[first] - at[first - 1]))
