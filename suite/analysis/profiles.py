"""Performance profiles of the methods of a leaderboard: the share of runs at or below each test error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.analysis.leaderboard import Board
from leakybench.stats import performance_profile

MIN_ERROR = 1e-4
"""Smallest threshold: one exact method would squeeze all others to the right of a plot."""
THRESHOLDS = 120
"""Number of thresholds."""


@dataclass(frozen=True, kw_only=True)
class MethodProfile:
    """The performance profile of a method.

    Attributes:
        method: label of the baseline without its step rule.
        steps: step rule.
        share: (thresholds,) share of runs whose test error is at most each threshold, tasks weighing equally.
        low: (thresholds,) lower ends of the pointwise 95% intervals.
        high: (thresholds,) upper ends of the pointwise 95% intervals.
    """

    method: str
    steps: str
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def method_profiles(board: Board) -> tuple[np.ndarray, list[MethodProfile]]:
    """Profiles of the methods that ran all ranked tasks, over these tasks, in the order of the board.

    Errors of 0, which a logarithmic axis cannot show, are left out.

    Returns:
        The thresholds, geometrically spaced from the smallest error, but not below ``MIN_ERROR``, to the largest or 1;
        and a profile for each method. Both are empty where no such method has a run that counts.
    """
    rows = [row for row in board.overall if row.score is not None]
    runs = board.runs
    counted = runs[runs["counted"] & runs["task"].isin(board.tasks) & (runs["score"] > 0)]
    if not rows or counted.empty:
        return np.array([]), []
    ends = max(counted["score"].min(), MIN_ERROR), max(counted["score"].max(), 1.0)
    thresholds = np.geomspace(*ends, THRESHOLDS)
    profiles = []
    for row in rows:
        own = counted[(counted["method"] == row.method) & (counted["steps"] == row.steps)]
        if own.empty:
            continue
        scores = [part["score"].to_numpy() for _, part in own.groupby("task")]
        share, low, high = performance_profile(scores, thresholds)
        profiles.append(MethodProfile(method=row.method, steps=row.steps, share=share, low=low, high=high))
    return thresholds, profiles
