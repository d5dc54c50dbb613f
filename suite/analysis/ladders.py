"""Ladders: the runs of one method on one task along one numeric setting, and where they cross a threshold.

Along ``n_train`` a task gets easier, and a threshold is the number of samples from which on a method finds the
structure. Along any other setting (noise, k, d, frequency) it gets harder, and a threshold is the value up to which.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.labels import without
from leakybench.analysis.scores import CAP, status_counts
from leakybench.errors import UsageError
from leakybench.specs import is_number, natural_key
from leakybench.stats.thresholds import NORMAL, Crossing, crossing
from leakybench.task import Task

METRICS = {"error": "score", "alignment": "alignment", "recovery": "recovered"}
"""Columns of the score frame by metric: test error, at most ``CAP``; code alignment; share of runs that recovered."""
IMPROVES_BY_FALLING = ("error",)
DEFAULT_LEVEL = 0.5
EASIER = ("n_train",)
"""Settings along which a task gets easier; along all others it gets harder."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A metric and the level that a method has to reach.

    Attributes:
        metric: one of ``METRICS``.
        level: strictly between 0 and 1.
    """

    metric: str
    level: float = DEFAULT_LEVEL

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UsageError(f"a threshold is on one of {', '.join(METRICS)}, got {str(self.metric)[:60]!r}")
        if not is_number(self.level) or not 0.0 < self.level < 1.0:
            raise UsageError(f"the threshold of {self.metric} must be above 0 and below 1, got {self.level!r}")

    def __str__(self) -> str:
        return f"{self.metric} {self.level:g}"

    @property
    def binary(self) -> bool:
        """Whether the metric of a single run is 0 or 1."""
        return self.metric == "recovery"

    def rising(self, *, easier: bool) -> bool:
        """Whether the metric rises along an axis on which the task gets easier (or harder)."""
        return easier is not (self.metric in IMPROVES_BY_FALLING)


def parse_goals(texts: Sequence[str]) -> list[Goal]:
    """Read thresholds from ``error=0.5`` or ``alignment``; without any, those of all metrics at ``DEFAULT_LEVEL``.

    Raises:
        UsageError: another form, an unknown metric, a level outside (0, 1), or a metric that is given twice.
    """
    goals = []
    for text in texts or tuple(METRICS):
        metric, separator, level = text.partition("=")
        try:
            number = float(level) if separator else DEFAULT_LEVEL
        except ValueError:
            raise UsageError(f"a threshold reads METRIC=LEVEL, as in error=0.5, got {text[:60]!r}") from None
        goals.append(Goal(metric=metric.strip(), level=number))
    if len({goal.metric for goal in goals}) < len(goals):
        raise UsageError(f"a metric has one threshold, got {', '.join(texts)}")
    return goals


def choose_goals(goals: Sequence[Goal], listed: str | None) -> list[Goal]:
    """Return the goals of the listed metrics, ``error,alignment``; all without a list.

    Raises:
        UsageError: a metric without a threshold.
    """
    if listed is None:
        return list(goals)
    known = {goal.metric: goal for goal in goals}
    names = [name.strip() for name in listed.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(f"--refine takes metrics that have a threshold ({', '.join(known)}), got {name[:60]!r}")
    return [known[name] for name in dict.fromkeys(names)]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """The runs of a ladder at one value of its axis.

    Attributes:
        value: of the axis.
        samples: values of the runs that count, by metric, float64 (n,); no entry for a metric that is not measured.
        status: number of runs by status.
        seconds: wall-clock seconds of all runs together.
    """

    value: float
    samples: Mapping[str, np.ndarray]
    status: Mapping[str, int]
    seconds: float

    @property
    def runs(self) -> int:
        """Number of runs, counted or not."""
        return sum(self.status.values())


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The runs of one method on one task along one setting.

    Attributes:
        task: label of the task without the axis.
        task_id: its id.
        method: label of the baseline without its step rule.
        steps: step rule, ``-`` without layers.
        preset: preset of all runs.
        axis: name of the setting.
        rungs: by increasing value.
        parameters: number of linear parameters of a map of the task's rank, see ``linear_parameters``; None where the
            rank is unknown or changes along the axis.
    """

    task: str
    task_id: str
    method: str
    steps: str
    preset: str
    axis: str
    rungs: tuple[Rung, ...]
    parameters: int | None = None

    @property
    def runs(self) -> int:
        """Number of runs."""
        return sum(rung.runs for rung in self.rungs)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all runs, one after the other."""
        return sum(rung.seconds for rung in self.rungs)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Where a ladder reaches a goal, in units of its axis.

    Attributes:
        goal: metric and level.
        value: the estimate; None where the ladder does not reach it, or has reached it before it begins.
        low: lower end of the 95% interval; None where it lies below the ladder.
        high: upper end; None where it lies above the ladder.
        side: ``within`` the ladder, ``below``, ``above``, ``open`` (the runs do not tell), or ``unmeasured``.
    """

    goal: Goal
    value: float | None
    low: float | None
    high: float | None
    side: str

    def to_dict(self) -> dict[str, Any]:
        """The threshold as plain JSON values."""
        return {**dataclasses.asdict(self), "goal": str(self.goal)}

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the natural logarithm of the estimate, from the width of the interval; None without
        both ends."""
        if self.value is None or self.low is None or self.high is None or self.low <= 0:
            return None
        return (math.log(self.high) - math.log(self.low)) / (2 * NORMAL)


def linear_parameters(task: Task) -> int | None:
    """Return k(d_in + d_out - k), the number of parameters of a linear map of rank k; None where k is unknown.

    A method that finds the structure from a fixed multiple of this number of samples needs no more than the structure
    itself has.
    """
    rank = task.true_rank
    if rank is None:
        return None
    return rank * (task.train.inputs.shape[1] + task.train.targets.shape[1] - rank)


def is_easier(axis: str) -> bool:
    """Whether a task gets easier along a setting."""
    return axis in EASIER


def place(value: float, *, log: bool) -> float:
    """Return a value on the scale of its axis: octaves, or the value itself."""
    return math.log2(value) if log else float(value)


def threshold(ladder: Ladder, goal: Goal) -> Threshold:
    """Return where a ladder reaches a goal.

    Places are taken on a logarithmic scale where all values of the axis are positive, see
    ``leakybench.stats.thresholds.crossing``.
    """
    rungs = [rung for rung in ladder.rungs if len(rung.samples.get(goal.metric, ()))]
    if len(rungs) < 2:
        return Threshold(goal=goal, value=None, low=None, high=None, side="unmeasured")
    log = all(rung.value > 0 for rung in rungs)
    found = crossing(
        [(place(rung.value, log=log), rung.samples[goal.metric]) for rung in rungs],
        goal.level,
        rising=goal.rising(easier=is_easier(ladder.axis)),
        binary=goal.binary,
    )
    return _threshold(goal, found, log=log)


def _threshold(goal: Goal, found: Crossing, *, log: bool) -> Threshold:
    def value(at: float | None) -> float | None:
        return at if at is None or not log else 2.0**at

    return Threshold(
        goal=goal, value=value(found.estimate), low=value(found.low), high=value(found.high), side=found.side
    )


def ladders(frame: pd.DataFrame, axis: str, values: Mapping[str, float]) -> list[Ladder]:
    """Group runs into ladders, in natural order of task, method and step rule.

    Args:
        frame: runs, of ``leakybench.analysis.scores.score_frame``.
        axis: name of the setting.
        values: value of the axis by run id; runs that are missing here are left out. See ``axis_values``.
    """
    known = frame[frame["run_id"].isin(values.keys())]
    if known.empty:
        return []
    known = known.assign(
        value=known["run_id"].map(values),
        place=[without(label, axis) for label in known["task"]],
    )
    names = ["place", "task_id", "method", "steps", "preset"]
    groups = sorted(known.groupby(names, sort=False), key=lambda item: [natural_key(str(part)) for part in item[0]])
    return [_ladder(*map(str, key), axis=axis, runs=runs) for key, runs in groups]


def _ladder(task: str, task_id: str, method: str, steps: str, preset: str, *, axis: str, runs: pd.DataFrame) -> Ladder:
    rungs = tuple(_rung(value, runs[runs["value"] == value]) for value in sorted(set(runs["value"])))
    return Ladder(task=task, task_id=task_id, method=method, steps=steps, preset=preset, axis=axis, rungs=rungs)


def _rung(value: float, runs: pd.DataFrame) -> Rung:
    counted = runs[runs["counted"]]
    samples = {}
    for metric, column in METRICS.items():
        numbers = pd.to_numeric(counted[column].astype("float64"), errors="coerce").dropna().to_numpy(dtype=float)
        if len(numbers):
            samples[metric] = np.minimum(numbers, CAP) if metric == "error" else numbers
    seconds = float(runs["total_seconds"].fillna(0.0).clip(0.0, 1e9).sum())
    return Rung(value=value, samples=samples, status=status_counts(runs["status"]), seconds=seconds)


def axis_values(runs: Iterable[tuple[str, Mapping[str, Any]]], axis: str) -> dict[str, float]:
    """Return the value of a setting by run id, for the runs on which it is a finite number.

    Args:
        runs: id of each run, with all settings of its task.
        axis: name of the setting.
    """
    return {run_id: float(settings[axis]) for run_id, settings in runs if is_number(settings.get(axis))}
