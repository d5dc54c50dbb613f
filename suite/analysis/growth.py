"""How thresholds grow with another setting of a task: the exponent of a power law, with its interval."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from leakybench.analysis.labels import split_label, task_setting, without
from leakybench.analysis.ladders import Goal, Ladder, Threshold, threshold
from leakybench.specs import natural_key

SMALLEST_DEVIATION = 0.005
"""Least standard deviation of the logarithm of a threshold: its interval is exact to 1/64 of a gap, an octave or
less."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A rate that theory gives.

    Attributes:
        setting: setting that grows.
        exponent: exponent of the number of samples.
        statement: what the rate is of.
        source: where it is proven.
    """

    setting: str
    exponent: float
    statement: str
    source: str


RATES = (
    Rate(
        setting="d",
        exponent=1.0,
        statement="weak recovery of a multi-index model in d dimensions, N of order d (links without a larger leap)",
        source="arXiv 2405.15480; by spectral methods arXiv 2502.02545",
    ),
)
"""Known rates. That of the linear parameters k(d_in + d_out - k), no power law, is ``Growth.parameters``."""


@dataclass(frozen=True, kw_only=True)
class Slope:
    """The exponent of a power law.

    Attributes:
        exponent: the estimate.
        low: lower end of its 95% interval.
        high: upper end.
    """

    exponent: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How the threshold of a method grows with a setting of the task.

    Attributes:
        task: label of the task without the setting and the axis.
        method: label of the baseline without its step rule.
        steps: step rule.
        axis: setting that the threshold is a value of.
        setting: setting that it grows with.
        goal: metric and level.
        points: value of the setting and threshold there, by increasing value.
        slope: exponent of a power law; None with fewer than two thresholds within their ladders.
        left_out: number of thresholds that lie outside their ladders, or have an end of the interval there.
        parameters: exponent of the number of linear parameters over the same values; None where it is unknown.
    """

    task: str
    method: str
    steps: str
    axis: str
    setting: str
    goal: Goal
    points: tuple[tuple[float, Threshold], ...]
    slope: Slope | None
    left_out: int
    parameters: float | None

    @property
    def used(self) -> list[tuple[float, float, float]]:
        """The points of the fit: value of the setting, threshold, standard deviation of its logarithm."""
        return [
            (value, found.value, max(found.deviation, SMALLEST_DEVIATION))
            for value, found in self.points
            if value > 0 and found.value is not None and found.deviation is not None
        ]

    def to_dict(self) -> dict[str, Any]:
        """The growth as plain JSON values."""
        names = ("task", "method", "steps", "axis", "setting", "left_out", "parameters")
        return {
            **{name: getattr(self, name) for name in names},
            "goal": str(self.goal),
            "slope": None if self.slope is None else dataclasses.asdict(self.slope),
            "points": [{self.setting: value, **found.to_dict()} for value, found in self.points],
        }


def power_law(values: Sequence[float], thresholds: Sequence[float], deviations: Sequence[float]) -> Slope:
    """Return the slope of log threshold on log value by weighted least squares, with its 95% interval.

    With weights w = 1/s^2, s the standard deviations of the logarithms, the variance of the slope is
    V = 1/sum w (x - x_w)^2 as reported, and V chi^2/(m - 2) by the scatter of the m points around the line. The larger
    one counts: with Student's quantile of m - 2 degrees of freedom if it is that of the scatter, with the normal one if
    it is the reported one (always for two points). For a true power law and known deviations it covers 96 to 97% with
    3 to 5 points. With an extra scatter of twice the reported size on top it covers 86 to 93%: three cannot tell.

    Args:
        values: of the setting, positive, at least two different ones.
        thresholds: positive, one a value.
        deviations: standard deviations of the natural logarithms of the thresholds, positive.

    Raises:
        ValueError: fewer than two different values, or numbers that are not positive.
    """
    numbers = np.array([values, thresholds, deviations], dtype=float)
    if numbers.shape[1] < 2 or not (np.isfinite(numbers).all() and (numbers > 0).all()) or np.ptp(numbers[0]) == 0:
        raise ValueError("a power law needs two different values or more, and positive thresholds and deviations")
    x, y, weights = np.log(numbers[0]), np.log(numbers[1]), 1 / numbers[2] ** 2
    x_mean, y_mean = np.average(x, weights=weights), np.average(y, weights=weights)
    spread = float(np.sum(weights * (x - x_mean) ** 2))
    exponent = float(np.sum(weights * (x - x_mean) * (y - y_mean)) / spread)
    scatter = float(np.sum(weights * (y - y_mean - exponent * (x - x_mean)) ** 2))
    freedom = len(x) - 2
    reduced = scatter / freedom if freedom else 0.0
    quantile = stats.t.ppf(0.975, freedom) if reduced > 1 else stats.norm.ppf(0.975)
    half = float(quantile * math.sqrt(max(1.0, reduced) / spread))
    return Slope(exponent=exponent, low=exponent - half, high=exponent + half)


def varying_settings(ladders: Sequence[Ladder]) -> list[str]:
    """Return the numeric settings of tasks that take several values over ladders that agree in all else, sorted."""
    names = {name for ladder in ladders for name in split_label(ladder.task)[1]}
    return sorted(name for name in names if any(len(group) > 1 for group in _groups(ladders, name).values()))


def growths(ladders: Sequence[Ladder], setting: str, goals: Sequence[Goal]) -> list[Growth]:
    """Return the growth of each method's thresholds with a setting, in natural order of task and method.

    Args:
        ladders: of one axis; those that differ in the setting alone are one growth. Where a label does not name the
            setting, it has the default of its id.
        setting: name of the setting.
        goals: thresholds, each with a growth of its own.
    """
    found = []
    groups = _groups(ladders, setting)
    for key in sorted(groups, key=lambda key: [natural_key(part) for part in key]):
        members = groups[key]
        if len(members) > 1:
            found += [_growth(key, members, setting, goal) for goal in goals]
    return found


def _groups(ladders: Sequence[Ladder], setting: str) -> dict[tuple[str, ...], dict[float, Ladder]]:
    """The ladders by value of the setting, for each task, method, step rule and preset."""
    groups: dict[tuple[str, ...], dict[float, Ladder]] = {}
    for ladder in ladders:
        value = task_setting(ladder.task, setting)
        if value is not None:
            key = (without(ladder.task, setting), ladder.method, ladder.steps, ladder.preset)
            groups.setdefault(key, {})[value] = ladder
    return groups


def _growth(key: tuple[str, ...], members: dict[float, Ladder], setting: str, goal: Goal) -> Growth:
    points = tuple((value, threshold(members[value], goal)) for value in sorted(members))
    growth = Growth(
        task=key[0], method=key[1], steps=key[2], axis=next(iter(members.values())).axis, setting=setting, goal=goal,
        points=points, slope=None, left_out=0, parameters=_parameters_slope(members),
    )  # fmt: skip
    used = growth.used
    slope = power_law(*zip(*used, strict=True)) if len(used) > 1 else None
    return dataclasses.replace(growth, slope=slope, left_out=len(points) - len(used))


def _parameters_slope(members: dict[float, Ladder]) -> float | None:
    """Slope of log k(d_in + d_out - k) on the log of the setting, by least squares."""
    counts = [(value, ladder.parameters) for value, ladder in members.items() if value > 0 and ladder.parameters]
    if len(counts) < len(members) or len(counts) < 2:
        return None
    x, y = np.log(np.array(counts, dtype=float)).T
    return float(np.polyfit(x, y, 1)[0])
