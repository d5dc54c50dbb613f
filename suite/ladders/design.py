"""The sequential design of a ladder: which runs to add, given the results so far.

It climbs from the first value with three runs each until every threshold lies behind it, splits the gap that holds a
threshold in two, and adds runs there until the interval is narrow enough. The next step depends on the results of the
design's own runs alone, so an interrupted ladder continues where it was, and two machines take the same path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leakybench.analysis.ladders import Goal
from leakybench.errors import UsageError
from leakybench.ladders.axis import SPLITS, Axis
from leakybench.stats.thresholds import STEEP, Crossing, crossing

CLIMB = 3
"""Runs at a value that is visited for the first time while climbing."""
NEAR = 6
"""Least runs at the values next to a threshold: fewer could all be lucky."""
GROWTH = (NEAR, 10, 14, 20)
"""Number of runs at a value near a threshold, step by step."""
MOST = 20
WIDEST_GAP = 2
"""Largest gap that holds a threshold, in quarters of the axis's own gaps."""
PRECISION = 1.5
BUDGET_EACH = 60
"""Default budget, runs a ladder."""

Samples = Mapping[str, Mapping[int, np.ndarray]]
"""Values of the runs by metric and position."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """Settings of the sequential design.

    Attributes:
        axis: the axis.
        goals: thresholds that runs are spent on.
        most: largest number of runs at a value.
        precision: ratio of the ends of an interval (on a linear axis: their distance in gaps) that is narrow enough.
        full: whether every value gets ``most`` runs at once, as in a plain grid.
    """

    axis: Axis
    goals: Sequence[Goal]
    most: int = MOST
    precision: float = PRECISION
    full: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.most, bool) or not isinstance(self.most, int) or not CLIMB <= self.most <= 10_000:
            raise UsageError(f"the largest number of seeds at a value must be from {CLIMB} to 10000, got {self.most!r}")
        if not self.precision > 1.0 or not math.isfinite(self.precision):
            raise UsageError(f"precision is a ratio above 1, as in 1.5, got {self.precision!r}")

    @property
    def width(self) -> float:
        """Width of an interval that is narrow enough, on the scale of the axis."""
        if self.axis.log:
            return math.log2(self.precision)
        values = self.axis.values
        return (self.precision - 1.0) * (values[-1] - values[0]) / (len(values) - 1)

    def seed(self, position: int, replicate: int, first: int = 0) -> int:
        """Return the seed of a run: no two values share one, so that their runs are independent."""
        return first + max(self.most, MOST) * position + replicate

    def wanted(self, samples: Samples, counts: Mapping[int, int]) -> dict[int, int]:
        """Return the number of runs that each position needs next, where it is more than it has; empty at the end.

        Args:
            samples: values of the runs so far; a metric that no run has is not sought.
            counts: number of runs that were asked for, by position.
        """
        if self.full:
            return {position: self.most for position in self.axis.positions if counts.get(position, 0) < self.most}
        wants: dict[int, int] = dict.fromkeys(self.axis.positions[:2], CLIMB) if not counts else {}
        for goal in self.goals:
            for position, number in self._for_goal(goal, samples.get(goal.metric, {}), counts).items():
                wants[position] = max(wants.get(position, 0), min(number, self.most))
        return {position: n for position, n in wants.items() if n > counts.get(position, 0)}

    def _for_goal(self, goal: Goal, samples: Mapping[int, np.ndarray], counts: Mapping[int, int]) -> dict[int, int]:
        positions = sorted(position for position, values in samples.items() if len(values))
        if len(positions) < 2:
            return {}
        found = self._crossing(goal, samples, positions)
        top = max(counts)
        if found.high is None and top < self.axis.positions[-1]:
            return {(top // SPLITS + 1) * SPLITS: CLIMB}  # what lies above the threshold is clearer than what lies near
        if found.side in ("above", "below"):
            return {positions[-1] if found.side == "above" else positions[0]: NEAR}
        return self._near(found, samples, positions, counts)

    def _crossing(self, goal: Goal, samples: Mapping[int, np.ndarray], positions: Sequence[int]) -> Crossing:
        return crossing(
            [(self.axis.place(position), samples[position]) for position in positions],
            goal.level,
            rising=goal.rising(easier=self.axis.easier),
            binary=goal.binary,
        )

    def _near(
        self, found: Crossing, samples: Mapping[int, np.ndarray], positions: Sequence[int], counts: Mapping[int, int]
    ) -> dict[int, int]:
        """Runs near a threshold: in a gap that is too wide, else where the interval is too wide."""
        place = self.axis.place
        if found.estimate is not None and (pair := _gap(positions, place, found.estimate)) is not None:
            low, high = pair
            steep = (
                min(counts.get(low, 0), counts.get(high, 0)) >= NEAR
                and abs(samples[low].mean() - samples[high].mean()) > STEEP
            )
            middle = self.axis.between(low, high)
            if middle is not None and (high - low > WIDEST_GAP or steep):
                return dict.fromkeys((low, middle, high), NEAR)
        start = -math.inf if found.low is None else found.low
        end = math.inf if found.high is None else found.high
        inside = [position for position in positions if start <= place(position) <= end]
        bounds = [p for p in positions if place(p) < start][-1:] + [p for p in positions if place(p) > end][:1]
        if end - start <= self.width:
            return dict.fromkeys(bounds, NEAR)
        return {position: _grown(counts.get(position, 0)) for position in (*inside, *bounds)}


def _gap(positions: Sequence[int], place: Callable[[int], float], at: float) -> tuple[int, int] | None:
    """The two neighbouring positions between which a place lies."""
    below = [position for position in positions if place(position) <= at]
    above = [position for position in positions if place(position) > at]
    return (below[-1], above[0]) if below and above else None


def _grown(count: int) -> int:
    return next((step for step in GROWTH if step > count), count + NEAR)
