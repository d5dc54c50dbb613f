"""The overall score of a leaderboard: its normalisation, its places, and the order of the methods under other scores.

The score of a method is the mean over tasks, with equal weight, of min(test error, 1). A test error is a share of the
variance of the targets, so that every task has one scale: 0 is perfect and 1 the mean predictor. Three reasons speak
for this mean: a method's score does not depend on which other methods are on the board; the floor of a noisy task adds
the same to all; it needs no constant for errors near 0. The price is that hard tasks decide it: 0.3 against 0.2 counts
more than 0.02 against 0.001. ``other_orders`` shows what two scores without this property make of the same errors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from leakybench.analysis.scores import CAP
from leakybench.specs import natural_key
from leakybench.stats import rank_intervals
from leakybench.stats.ranking import Ranks

POLICY_TASKS = (
    "a method is ranked over several tasks where it ran all of them; its score is the mean over tasks, with equal "
    "weight, of min(test error, 1): 0 is perfect and 1 the mean predictor on every task"
)
MIN_SEEDS = 5
"""Smallest number of seeds, shared by all ranked methods on every task, from which places are given."""
FLOOR = 1e-4
"""Smallest error that counts in a geometric mean: one exact method would decide a task of which little is left."""
MIN_MOVE = 2
"""Smallest change of place that is named: neighbours change places by chance."""
NAMED_MOVES = 3
"""Largest number of methods named for their change of place."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A method in the order of another overall score.

    Attributes:
        method: label of the baseline without its step rule.
        steps: step rule, ``-`` for a baseline without layers.
        value: the other score, smaller is better.
        place: place by it, 1 the best; equal values share a place.
        place_by_score: place by the score of the board.
    """

    method: str
    steps: str
    value: float
    place: int
    place_by_score: int

    @property
    def name(self) -> str:
        """Label and step rule."""
        return self.method if self.steps == "-" else f"{self.method} {self.steps}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order of the methods under another overall score of the same errors.

    Attributes:
        name: name of the other score.
        definition: its formula in words.
        tau: Kendall's tau-b between the two scores: 1 the same order, 0 unrelated, -1 reversed; None where one of them
            is the same for all methods.
        methods: the methods, best first.
    """

    name: str
    definition: str
    tau: float | None
    methods: list[Placed]

    @property
    def moves(self) -> list[Placed]:
        """The methods that change place the most: at most ``NAMED_MOVES``, by at least ``MIN_MOVE`` places."""
        moved = [item for item in self.methods if abs(item.place - item.place_by_score) >= MIN_MOVE]
        moved.sort(key=lambda item: (-abs(item.place - item.place_by_score), natural_key(item.name)))
        return moved[:NAMED_MOVES]

    def to_dict(self) -> dict[str, Any]:
        """The order as plain JSON values."""
        return {
            "name": self.name,
            "definition": self.definition,
            "tau": self.tau,
            "methods": [dataclasses.asdict(item) for item in self.methods],
        }


def log_errors(errors: Any) -> Any:
    """Natural logarithm of errors cut to [``FLOOR``, ``CAP``]: below it two errors are equal for every purpose."""
    return np.log(np.clip(errors, FLOOR, CAP))


def other_orders(errors: pd.DataFrame) -> list[Order]:
    """Order the methods by two other scores: the geometric mean of the errors, and the share of better methods.

    Args:
        errors: mean error on each task (columns), at most 1, of each method (rows, by label and step rule), without
            gaps.

    Returns:
        An order for each of the two scores; none where there are fewer than two methods or tasks, whose order no
        normalisation changes.
    """
    if min(errors.shape) < 2:
        return []
    # 12 digits: round-off, which differs between processors, must not part equal methods
    errors = errors.round(12)
    ranks = errors.rank(method="average")
    others = {
        "geometric mean": (
            f"over tasks, of the errors, at least {FLOOR:g} and at most 1: ratios count, not differences",
            np.exp(log_errors(errors).mean(axis=1)),
        ),
        "share better": (
            "of the other methods, those with a smaller error, equal ones counting half, as a mean over tasks: only "
            "the order on each task counts",
            (ranks.mean(axis=1) - 1) / (len(errors) - 1),
        ),
    }
    score = errors.mean(axis=1).round(12)
    return [_order(name, text, score, values.round(12)) for name, (text, values) in others.items()]


def _order(name: str, definition: str, score: pd.Series, values: pd.Series) -> Order:
    varied = score.nunique() > 1 and values.nunique() > 1
    places, places_by_score = stats.rankdata(values, method="min"), stats.rankdata(score, method="min")
    methods = [
        Placed(method=str(method), steps=str(steps), value=float(value), place=int(place), place_by_score=int(first))
        for (method, steps), value, place, first in zip(values.index, values, places, places_by_score, strict=True)
    ]
    methods.sort(key=lambda item: (item.place, item.place_by_score, natural_key(item.name)))
    return Order(
        name=name,
        definition=definition,
        tau=float(stats.kendalltau(score, values).statistic) if varied else None,
        methods=methods,
    )


def shared_rank_intervals(
    methods: Sequence[pd.DataFrame], tasks: Sequence[str], resamples: int
) -> tuple[Ranks | None, int]:
    """Rank methods over tasks by the seeds that all of them have.

    Args:
        methods: the runs of each method, with the columns task, seed, score and counted.
        tasks: labels of the tasks.
        resamples: number of bootstrap resamples.

    Returns:
        The rank intervals, and the number of runs behind them; None and 0 where a task has fewer than ``MIN_SEEDS``
        such seeds.
    """
    tables = []
    for task in tasks:
        columns = [part[(part["task"] == task) & part["counted"]].set_index("seed")["score"] for part in methods]
        table = pd.concat(columns, axis=1, join="inner") if columns else pd.DataFrame()
        if len(table) < MIN_SEEDS:
            return None, 0
        tables.append(table.to_numpy(dtype=float))
    return rank_intervals(tables, resamples=resamples) if tables else None, sum(table.size for table in tables)
