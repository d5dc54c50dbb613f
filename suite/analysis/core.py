"""A core set: few tasks that order the methods as all of them do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from leakybench.specs import natural_key
from leakybench.stats.reliability import kendall

MIN_METHODS = 4
"""Smallest number of methods whose order can be compared with one of them left out."""


@dataclass(frozen=True, kw_only=True)
class CoreSet:
    """A chosen set of tasks.

    Attributes:
        tasks: the chosen tasks, in natural order.
        tau: Kendall's tau of the methods' scores on them with their scores on all tasks.
        tau_left_out: the same with each method left out in turn when the tasks are chosen and put back for the
            comparison, by method: how well a new method would be placed.
        of: number of tasks to choose from.
    """

    tasks: list[str]
    tau: float
    tau_left_out: dict[str, float]
    of: int

    @property
    def worst(self) -> float:
        """The smallest tau with a method left out."""
        return min(self.tau_left_out.values())


def core_set(means: pd.DataFrame, *, size: int) -> CoreSet | None:
    """Choose at most ``size`` tasks greedily, each time the one that brings the order nearest to that of the board.

    A score is the mean over tasks of the mean error, at most 1, as on the board. Of two tasks that give the same
    agreement of orders, that one is taken whose scores are nearer to the whole ones.

    Args:
        means: mean errors, at most 1, tasks in rows and methods in columns. Methods with gaps do not take part.
        size: largest number of tasks.

    Returns:
        The set; None with fewer than ``MIN_METHODS`` methods without gaps, or two tasks.
    """
    complete = means.dropna(axis=1)
    if complete.shape[1] < MIN_METHODS or len(complete) < 2:
        return None
    table = complete.to_numpy(dtype=float)
    chosen = _greedy(table, size)
    left_out = {}
    for column, name in enumerate(complete.columns):
        others = _greedy(np.delete(table, column, axis=1), size)
        label = " ".join(str(part) for part in (name if isinstance(name, tuple) else (name,)) if part != "-")
        left_out[label] = _tau(table, others)
    return CoreSet(
        tasks=sorted((str(complete.index[row]) for row in chosen), key=natural_key),
        tau=_tau(table, chosen),
        tau_left_out=left_out,
        of=len(complete),
    )


def _tau(table: np.ndarray, rows: list[int]) -> float:
    # 12 digits: round-off must not part equal methods
    return float(kendall(table[rows].mean(axis=0).round(12), table.mean(axis=0).round(12)))


def _greedy(table: np.ndarray, size: int) -> list[int]:
    """Rows of the chosen tasks: the best prefix of the greedy sequence, the shortest of equally good ones."""
    whole, chosen, prefixes = table.mean(axis=0), list[int](), list[tuple[float, float, list[int]]]()
    while len(chosen) < min(size, len(table)):
        candidates = []
        for row in range(len(table)):
            if row not in chosen:
                rows = [*chosen, row]
                distance = float(np.sqrt(np.mean((table[rows].mean(axis=0) - whole) ** 2)))
                candidates.append((-_tau(table, rows), distance, row))
        best = min(candidates)
        chosen = [*chosen, best[2]]
        prefixes.append((best[0], best[1], chosen))
    # agreement first, then nearness of the scores
    return min(prefixes)[2]
