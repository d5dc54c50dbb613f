"""One item of an audit: how well a metric on a task tells methods apart, from a table of seeds and methods."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leakybench.analysis.overall import log_errors
from leakybench.analysis.scores import CAP
from leakybench.record import MIN_ALIGNMENT
from leakybench.specs import parse_id
from leakybench.stats import holm, mcnemar, proportion_interval
from leakybench.stats.paired import MIN_PAIRS, effect_bounds
from leakybench.stats.reliability import consistency, intraclass_correlation, seeds_to_separate

LEVEL = 0.95
RANK = "rank"
COLUMNS = {"error": "score", "alignment": "alignment", RANK: "recovered"}
"""Column of the score frame that holds each metric. Errors are compared as logarithms, cut to [1e-4, 1]."""
PASSES: dict[str, Callable[[pd.Series], pd.Series]] = {
    "error": lambda values: values < CAP,
    "alignment": lambda values: values >= MIN_ALIGNMENT,
    RANK: lambda values: values > 0,
}
"""What passing means: better than the mean predictor, aligned enough to count as recovered, and recovered."""
NOISE = 0.5
"""Consistency at which the variance between methods equals that of the seeds."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """How well one metric on one task tells methods apart.

    Attributes:
        metric: a key of ``COLUMNS``.
        methods: number of methods with a value.
        seeds: smallest number of seeds of a method.
        passed: number of runs that pass, see ``PASSES``.
        runs: number of runs with a value.
        pass_low: lower end of the 95% interval of the share that passes.
        pass_high: upper end of that interval.
        icc: intraclass correlation ICC(1), the share of the variance of a run that lies between methods; None without
            any spread.
        icc_low: lower end of its 95% interval.
        icc_high: upper end of that interval.
        consistency: ICC(3,1), the same once the luck of a seed that all methods share is removed, as pairing does; over
            the seeds that all methods have; None with fewer than two, or without any spread.
        separated: number of pairs of methods whose paired difference is not 0 at 95%, after Holm's correction.
        pairs: number of pairs with enough common seeds for a test, see ``fewest_seeds``.
        families_separated: the same for pairs of families, each the mean of its methods.
        family_pairs: number of pairs of families with enough common seeds.
        seeds_needed: median over neighbours in the order of the seeds that part them with a power of 80%; None where
            that is without end.
    """

    metric: str
    methods: int
    seeds: int
    passed: int
    runs: int
    pass_low: float
    pass_high: float
    icc: float | None
    icc_low: float | None
    icc_high: float | None
    consistency: float | None
    separated: int
    pairs: int
    families_separated: int
    family_pairs: int
    seeds_needed: float | None

    @property
    def dead(self) -> bool | None:
        """Whether the item says nothing on methods; None where there are too few seeds to say.

        For the rank: every run passes, or none does. For error and alignment: no pair of methods is separated, or the
        variance between methods is below that of the seeds (``consistency`` below ``NOISE``).
        """
        if self.metric == RANK:
            return self.passed in (0, self.runs)
        if self.pairs == 0:
            return None
        return self.separated == 0 or (self.consistency is not None and self.consistency < NOISE)

    @property
    def share(self) -> float | None:
        """Share of the pairs of methods that are separated; None without pairs."""
        return self.separated / self.pairs if self.pairs else None

    @property
    def family_share(self) -> float | None:
        """Share of the pairs of families that are separated; None without pairs."""
        return self.families_separated / self.family_pairs if self.family_pairs else None


def family(baseline: str) -> str:
    """Name the family of a baseline id: its namespace and the first part of its name.

    ``LeakyResNet-Lt1-v0`` and ``LeakyResNet-v0`` are one family, under any step rule.
    """
    namespace, name, _ = parse_id(baseline)
    first = name.split("-")[0]
    return f"{namespace}/{first}" if namespace else first


def audit_item(metric: str, runs: pd.DataFrame) -> Item:
    """Audit one metric on one task.

    Args:
        metric: a key of ``COLUMNS``.
        runs: the runs of the task with a value of the metric, one for each method and seed: at least two methods, one
            of them with two seeds.
    """
    raw = runs[COLUMNS[metric]].astype(float)
    values = pd.Series(log_errors(raw.to_numpy()), raw.index) if metric == "error" else raw
    # each table has seeds in rows; a family is the mean of its methods
    keyed = pd.DataFrame({
        "seed": runs["seed"],
        "method": runs["method"].astype(str) + "\n" + runs["steps"].astype(str),
        "family": runs["baseline_id"].map(family),
        "value": values,
    })  # fmt: skip
    table = keyed.pivot_table(index="seed", columns="method", values="value")
    families = keyed.pivot_table(index="seed", columns="family", values="value").to_numpy()
    found = intraclass_correlation([column[np.isfinite(column)] for column in table.to_numpy().T])
    passed = int(PASSES[metric](raw).sum())
    share = proportion_interval(passed, len(raw))
    separated, pairs = count_separated(table.to_numpy(), signs=metric == RANK)
    families_separated, family_pairs = count_separated(families, signs=metric == RANK)
    return Item(
        metric=metric,
        methods=table.shape[1],
        seeds=int(table.notna().sum().min()),
        passed=passed,
        runs=len(raw),
        pass_low=share.low,
        pass_high=share.high,
        icc=_finite_or_none(found.icc),
        icc_low=_finite_or_none(found.low),
        icc_high=_finite_or_none(found.high),
        consistency=_consistency(table.dropna().to_numpy()),
        separated=separated,
        pairs=pairs,
        families_separated=families_separated,
        family_pairs=family_pairs,
        seeds_needed=_seeds_needed(table.to_numpy()),
    )


def fewest_seeds(pairs: int, *, signs: bool) -> int:
    """Smallest number of common seeds with which a test of ``pairs`` pairs is made at all.

    ``MIN_PAIRS``; a sign test of n seeds has no p-value below 2^(1 - n), so that more seeds are needed for even one
    pair to pass Holm's first step.
    """
    if not signs:
        return MIN_PAIRS
    return max(MIN_PAIRS, math.floor(1 + math.log2(max(pairs, 1) / (1 - LEVEL))) + 1)


def count_separated(table: np.ndarray, *, signs: bool = False) -> tuple[int, int]:
    """Count the pairs of columns that differ at 95%, paired by row, after Holm's correction, and the pairs tested.

    Args:
        table: (seeds, columns), nan where a column has no such seed.
        signs: test the signs of the differences (exact, McNemar's for passes and failures) instead of their mean.
    """
    first, second = np.triu_indices(table.shape[1], k=1)
    differences = (table[:, first] - table[:, second]).T
    counts = np.isfinite(differences).sum(axis=1)
    p_values = np.full(len(counts), np.nan)
    fewest = fewest_seeds(len(counts), signs=signs)
    for count in np.unique(counts[counts >= fewest]):
        rows = np.flatnonzero(counts == count)
        order = np.argsort(np.isnan(differences[rows]), axis=1, kind="stable")[:, :count]
        known = np.take_along_axis(differences[rows], order, axis=1)
        if signs:
            ahead = zip((known > 0).sum(axis=1), (known < 0).sum(axis=1), strict=True)
            p_values[rows] = [mcnemar(int(more), int(less)) for more, less in ahead]
        else:
            p_values[rows] = effect_bounds([known])[3]
    return int(np.sum(holm(list(p_values)) < 1 - LEVEL)), int(np.isfinite(p_values).sum())


def _seeds_needed(table: np.ndarray) -> float | None:
    order = np.argsort(np.nanmean(table, axis=0), kind="stable")
    needed = []
    for worse, better in itertools.pairwise(order):
        differences = table[:, worse] - table[:, better]
        known = differences[np.isfinite(differences)]
        if len(known) >= MIN_PAIRS:
            needed.append(seeds_to_separate(known))
    return _finite_or_none(float(np.median(needed))) if needed else None


def _consistency(table: np.ndarray) -> float | None:
    return _finite_or_none(consistency(table)) if min(table.shape) >= 2 else None


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
