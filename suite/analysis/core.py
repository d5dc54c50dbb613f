"""A core set: few tasks that order the methods as all of them do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from leakybench.specs import natural_key

MIN_METHODS = 4
"""Smallest number of methods whose order can be compared with one of them left out."""
RANDOM_SETS = 500
"""Number of random sets that a chosen one is compared with."""


@dataclass(frozen=True, kw_only=True)
class CoreSet:
    """A chosen set of tasks.

    Attributes:
        tasks: the chosen tasks, in natural order.
        tau: Kendall's tau of the methods' scores on them with their scores on all tasks.
        tau_left_out: the same with each method left out in turn when the tasks are chosen and put back for the
            comparison, by method: how well a new method would be placed.
        moves: by method left out, its place by the tasks that were chosen without it, less its place by all tasks.
        tau_random: median tau of random sets of as many tasks, what a choice without looking would give.
        of: number of tasks to choose from.
        board: number of tasks whose order is to be met.
    """

    tasks: list[str]
    tau: float
    tau_left_out: dict[str, float]
    moves: dict[str, int]
    tau_random: float
    of: int
    board: int

    @property
    def worst(self) -> float:
        """The smallest tau with a method left out."""
        return min(self.tau_left_out.values())

    @property
    def largest_move(self) -> int:
        """The largest number of places by which a method moves that was left out."""
        return max(abs(move) for move in self.moves.values())


def core_set(means: pd.DataFrame, *, size: int, candidates: Sequence[str] | None = None) -> CoreSet | None:
    """Choose at most ``size`` tasks greedily, each time the one that brings the order nearest to that of the board.

    A score is the mean over tasks of the mean error, at most 1, as on the board. Of two tasks that give the same
    agreement of orders, that one is taken whose scores are nearer to the whole ones.

    Args:
        means: mean errors, at most 1, tasks in rows and methods in columns. Tasks that fewer than half of the methods
            ran do not take part, nor then do methods with gaps.
        size: largest number of tasks.
        candidates: names of the tasks to choose from; None for all. The order to be met is that on all tasks.

    Returns:
        The set; None with fewer than ``MIN_METHODS`` methods without gaps, or two tasks to choose from.
    """
    complete = means[means.notna().mean(axis=1) >= 0.5].dropna(axis=1)
    allowed = [row for row, task in enumerate(complete.index) if candidates is None or task in candidates]
    if complete.shape[1] < MIN_METHODS or len(allowed) < 2:
        return None
    table = complete.to_numpy(dtype=float)
    whole = _places(table)
    chosen = _greedy(table, allowed, size)
    left_out, moves = {}, {}
    for column, name in enumerate(complete.columns):
        others = _greedy(np.delete(table, column, axis=1), allowed, size)
        label = " ".join(str(part) for part in (name if isinstance(name, tuple) else (name,)) if part != "-")
        left_out[label] = _tau(table, others)
        moves[label] = int(_places(table[others])[column] - whole[column])
    return CoreSet(
        tasks=sorted((str(complete.index[row]) for row in chosen), key=natural_key),
        tau=_tau(table, chosen),
        tau_left_out=left_out,
        moves=moves,
        tau_random=_random_tau(table, allowed, len(chosen)),
        of=len(allowed),
        board=len(complete),
    )


def _places(table: np.ndarray) -> np.ndarray:
    """Place of each method, 1 the best; equal scores share the better place."""
    return np.asarray(stats.rankdata(table.mean(axis=0).round(12), method="min"))


def _tau(table: np.ndarray, rows: Sequence[int]) -> float:
    # 12 digits: round-off must not part equal methods; tasks on which all methods are equal say nothing of an order
    tau = stats.kendalltau(table[list(rows)].mean(axis=0).round(12), table.mean(axis=0).round(12)).statistic
    return float(tau) if np.isfinite(tau) else 0.0


def _random_tau(table: np.ndarray, allowed: Sequence[int], size: int) -> float:
    rng = np.random.default_rng(0)
    return float(np.median([_tau(table, rng.permutation(allowed)[:size].tolist()) for _ in range(RANDOM_SETS)]))


def _greedy(table: np.ndarray, allowed: Sequence[int], size: int) -> list[int]:
    """Rows of the chosen tasks: the best prefix of the greedy sequence, the shortest of equally good ones."""
    whole, chosen, prefixes = table.mean(axis=0), list[int](), list[tuple[float, float, list[int]]]()
    while len(chosen) < min(size, len(allowed)):
        steps = []
        for row in allowed:
            if row not in chosen:
                rows = [*chosen, row]
                distance = float(np.sqrt(np.mean((table[rows].mean(axis=0) - whole) ** 2)))
                steps.append((-_tau(table, rows), distance, row))
        best = min(steps)
        chosen = [*chosen, best[2]]
        prefixes.append((best[0], best[1], chosen))
    # agreement first, then nearness of the scores
    return min(prefixes)[2]
