"""Ranks with their uncertainty, and performance profiles, for methods that ran on the same tasks and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from leakybench.errors import UsageError
from leakybench.stats.intervals import proportion_interval


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Ranks of m methods, 1 the best.

    Attributes:
        scores: (m,) mean over tasks of the mean score.
        best: (m,) lower ends of the rank intervals: one more than the number of methods shown to be better. Methods
            with equal ``best`` are tied: no evidence shows one of them to be ahead of another.
        worst: (m,) upper ends of the rank intervals.
        better: (m, m) truth values: method i was shown to be better than j.
        critical: the value that every studentised difference had to exceed.
    """

    scores: np.ndarray
    best: np.ndarray
    worst: np.ndarray
    better: np.ndarray
    critical: float


def rank_intervals(
    scores: Sequence[np.ndarray], *, level: float = 0.95, resamples: int = 2000, random_state: int = 0
) -> Ranks:
    """Compute intervals that hold all true ranks at once with probability ``level`` (smaller scores are better).

    A method's rank is 1 plus the number of methods with a smaller expected score. Each pair of methods is compared
    by its studentised paired difference; the critical value is the ``level`` quantile of the largest one over all
    pairs, from a bootstrap that draws seeds within tasks, jointly for all methods [Mogstad, Romano, Shaikh, Wilhelm
    2024]. Ranks of resampled means, the common shortcut, cover far less for methods that are close.

    Args:
        scores: one array (seeds, m) for each task; the rows are the seeds that all methods have.

    Raises:
        UsageError: tasks with different methods or fewer than two seeds, or values that are not finite.
    """
    tables = [np.asarray(table, dtype=np.float64) for table in scores]
    if not tables or any(table.ndim != 2 or table.shape[1] != tables[0].shape[1] for table in tables):
        raise UsageError("rank intervals need one (seeds, methods) array a task, with the same methods in each")
    if any(len(table) < 2 for table in tables):
        raise UsageError("rank intervals need at least two seeds that all methods have, in every task")
    if any(not np.isfinite(table).all() for table in tables):
        raise UsageError("rank intervals need finite scores; failed runs are scored or left out before")
    methods = tables[0].shape[1]
    means, errors = _differences([table[None] for table in tables])
    rng = np.random.default_rng(random_state)
    largest = [
        _largest(tables, means[0], min(200, resamples - start), rng) for start in range(0, resamples, 200)
    ]  # in blocks, which bounds the memory
    critical = float(np.quantile(np.concatenate(largest), level, method="inverted_cdf")) if methods > 1 else 0.0
    # a bootstrap of few seeds is erratic both ways. Bonferroni's value with the fewest degrees that Satterthwaite could
    # give is valid too, and far smaller where one task has five seeds; Student's value for one pair is the least to ask
    pairs = max(methods * (methods - 1) // 2, 1)
    fewest, most = min(len(table) - 1 for table in tables), sum(len(table) - 1 for table in tables)
    critical = min(critical, float(stats.t.ppf(1 - (1 - level) / (2 * pairs), fewest)))
    critical = max(critical, float(stats.t.ppf((1 + level) / 2, most)))
    with np.errstate(invalid="ignore"):  # infinite critical value times no spread
        better = (means[0] < 0) & (np.where(errors[0] > 0, -means[0] > critical * errors[0], True))
    return Ranks(
        scores=np.mean([table.mean(axis=0) for table in tables], axis=0),
        best=1 + better.sum(axis=0),
        worst=methods - better.sum(axis=1),
        better=better,
        critical=critical,
    )


def _largest(tables: Sequence[np.ndarray], centre: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The largest studentised deviation over pairs in each resample, (resamples,)."""
    drawn = [table[rng.integers(0, len(table), size=(resamples, len(table)))] for table in tables]
    means, errors = _differences(drawn)
    shift = np.abs(means - centre)
    # a resample whose differences do not vary has no scale: infinitely far unless it did not move
    ratio = np.divide(shift, errors, out=np.where(shift > 1e-12, np.inf, 0.0), where=errors > 1e-15)
    return ratio.reshape(resamples, -1).max(axis=1)


def _differences(tables: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean over tasks of score_i - score_j and its standard error, each (b, m, m), from tables (b, seeds, m)."""
    count = len(tables)
    mean = np.zeros(())
    variance = np.zeros(())
    for table in tables:
        seeds = table.shape[1]
        level = table.mean(axis=1)
        centred = table - level[:, None, :]
        covariance = np.einsum("bsi,bsj->bij", centred, centred) / (seeds - 1)
        own = np.einsum("bii->bi", covariance)
        mean = mean + (level[:, :, None] - level[:, None, :]) / count
        spread = own[:, :, None] + own[:, None, :] - 2 * covariance
        variance = variance + np.maximum(spread, 0.0) / seeds / count**2
    return mean, np.sqrt(variance)


def performance_profile(
    scores: Sequence[np.ndarray], thresholds: np.ndarray, *, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of runs whose score is at most each threshold, and its pointwise interval (Wilson), each (thresholds,).

    Tasks weigh equally in the share; the interval pools their runs, which is on the safe side for tasks that differ.

    Args:
        scores: one array (seeds,) for each task.
        thresholds: (thresholds,) in the unit of the scores.
    """
    share = np.mean([(np.asarray(task)[:, None] <= thresholds).mean(axis=0) for task in scores], axis=0)
    n = sum(len(task) for task in scores)
    intervals = [proportion_interval(min(value * n, n), n, level=level) for value in share]
    return share, np.array([each.low for each in intervals]), np.array([each.high for each in intervals])
