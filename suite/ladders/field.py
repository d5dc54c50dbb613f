"""The ladders of one command: their jobs, their runs so far, and the runs that each needs next."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.ladders import Goal, Ladder, ladders, linear_parameters
from leakybench.analysis.scores import keep_intact, score_frame
from leakybench.engines.job import Job
from leakybench.errors import UsageError
from leakybench.ladders.axis import Axis
from leakybench.ladders.design import BUDGET_EACH, Design
from leakybench.record import Record
from leakybench.registry import build, tasks
from leakybench.settings import declared
from leakybench.specs import canonical_json
from leakybench.sweeps.grid import Grid, Setting


@dataclass
class Climb:
    """One ladder: a method on a task.

    Attributes:
        name: labels of task and baseline.
        counts: number of runs that were asked for, by position.
        positions: position of each run that was asked for, by run id.
        cut: whether the budget left out runs that the design wanted.
    """

    name: str
    counts: dict[int, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    cut: bool = False


class Field:
    """The ladders of one command, a method on a task each.

    Args:
        grid: tasks, baselines and settings; its seeds are ignored.
        design: the design of every ladder.
        goals: thresholds to report, at least those of the design.
        budget: largest number of runs of all ladders together; None for ``BUDGET_EACH`` a ladder, or all of a full one.
        first_seed: added to every seed.
        include_changed: whether runs count whose records were changed after they were written.

    Attributes:
        climbs: the ladders, by key.
        active: number of ladders that asked for runs in the last step.
        notes: what a reader must know of the records; empty where nothing.

    Raises:
        UsageError: an unknown id, a setting that is refused at a value of the axis, or an axis that is also set.
    """

    def __init__(
        self,
        grid: Grid,
        design: Design,
        goals: Sequence[Goal],
        *,
        budget: int | None = None,
        first_seed: int = 0,
        include_changed: bool = False,
    ) -> None:
        axis = design.axis
        if any(setting.name == axis.name for setting in grid.task_settings):
            raise UsageError(f"{axis.name} is the axis of the ladder, so that --set-task cannot set it")
        chosen = tasks.match(list(grid.tasks))
        kinds = [declared(spec.load()).get(axis.name) for spec in chosen]
        whole = any(kind is not None and kind.kind is int for kind in kinds)
        if whole and not axis.whole:
            raise UsageError(f"{axis.name} takes integers, got {', '.join(f'{value:g}' for value in axis.values)}")
        self.design = dataclasses.replace(design, axis=dataclasses.replace(axis, whole=whole))
        self.active = 0
        self.goals = list(goals)
        self.notes: list[str] = []
        self._include_changed = include_changed
        self._grid, self._first = grid, first_seed
        self._jobs: dict[int, dict[str, Job]] = {}
        self._records: dict[str, Record] = {}
        self._frame = pd.DataFrame()
        self._rows: dict[str, Ladder] = {}
        self._sizes: dict[str, int | None] = {}
        for position in self.axis.positions:  # every value is checked before anything is computed
            self._templates(position)
        self.climbs = {key: Climb(_name(job, axis.name)) for key, job in self._templates(0).items()}
        each = len(axis.values) * design.most if design.full else BUDGET_EACH
        self.budget = each * len(self.climbs) if budget is None else budget

    @property
    def axis(self) -> Axis:
        """The axis, of integers where the task's setting is one."""
        return self.design.axis

    @property
    def asked(self) -> int:
        """Number of runs that were asked for so far."""
        return sum(sum(climb.counts.values()) for climb in self.climbs.values())

    def next_jobs(self) -> list[Job]:
        """Return the jobs that the ladders need next, within the budget; empty at the end.

        Every ladder takes its next step at the same time, so the jobs depend on the results alone, and not on their
        order. Where the budget ends, runs at values with few runs come first.
        """
        steps = [
            (number, index, key, position)
            for index, key in enumerate(self.climbs)
            for position, number in self._wanted(key).items()
        ]
        jobs = []
        self.active = len({key for _, _, key, _ in steps})
        for number, _, key, position in sorted(steps):
            climb = self.climbs[key]
            have = climb.counts.get(position, 0)
            allowed = min(number, have + self.budget - self.asked)
            climb.cut |= allowed < number
            for replicate in range(have, allowed):
                job = self._job(key, position, replicate)
                climb.positions[job.run.run_id] = position
                jobs.append(job)
            if allowed > have:
                climb.counts[position] = allowed
        return jobs

    def learn(self, records: Iterable[Record]) -> None:
        """Take in the records of the jobs that were asked for."""
        fresh = {record.run_id: record for record in records}
        if not fresh:
            return
        self._records.update(fresh)
        # only the new ones are looked at: a ladder that is printed again learns thousands, round by round
        earlier = [self._frame[~self._frame["run_id"].isin(fresh)]] if len(self._frame) else []
        self._frame = pd.concat([*earlier, score_frame(fresh.values())], ignore_index=True)
        frame, self.notes = keep_intact(self._frame, include_changed=self._include_changed)
        for key, climb in self.climbs.items():
            if climb.positions.keys().isdisjoint(fresh):
                continue
            values = {run_id: float(self.axis.value(position)) for run_id, position in climb.positions.items()}
            for ladder in ladders(frame, self.axis.name, values):
                self._rows[key] = dataclasses.replace(ladder, parameters=self._parameters(key))

    def ladders(self) -> list[Ladder]:
        """Return the ladders that have runs."""
        return [self._rows[key] for key in self.climbs if key in self._rows]

    @property
    def records(self) -> Sequence[Record]:
        """Records of all runs that were asked for."""
        return list(self._records.values())

    def _wanted(self, key: str) -> dict[int, int]:
        climb = self.climbs[key]
        samples: dict[str, dict[int, np.ndarray]] = {}
        if key in self._rows:
            at = {float(self.axis.value(position)): position for position in climb.counts}
            for rung in self._rows[key].rungs:
                for metric, values in rung.samples.items():
                    samples.setdefault(metric, {})[at[rung.value]] = values
        return self.design.wanted(samples, climb.counts)

    def _parameters(self, key: str) -> int | None:
        """Linear parameters of the task's map, where the axis is the number of samples."""
        if not self.axis.easier:
            return None
        job = self._templates(0)[key]
        name = canonical_json([job.run.task, job.run.task_overrides])
        if name not in self._sizes:
            self._sizes[name] = linear_parameters(build(job.task_spec, job.run.task_overrides, seed=0))
        return self._sizes[name]

    def _job(self, key: str, position: int, replicate: int) -> Job:
        template = self._templates(position)[key]
        seed = self.design.seed(position, replicate, self._first)
        return dataclasses.replace(template, run=dataclasses.replace(template.run, seed=seed))

    def _templates(self, position: int) -> dict[str, Job]:
        """Jobs of all ladders at a position, by key, of a seed that is to be replaced."""
        if position not in self._jobs:
            value = self.axis.value(position)
            settings = (*self._grid.task_settings, Setting(self.axis.name, value))
            grid = dataclasses.replace(self._grid, task_settings=settings, seeds=(0,))
            self._jobs[position] = {_key(job, self.axis.name): job for job in grid.jobs()}
        return self._jobs[position]


def _key(job: Job, axis: str) -> str:
    rest = {name: value for name, value in job.run.task_overrides.items() if name != axis}
    return canonical_json([job.run.task, rest, job.run.baseline, job.run.baseline_overrides])


def _name(job: Job, axis: str) -> str:
    rest: dict[str, Any] = {name: value for name, value in job.run.task_overrides.items() if name != axis}
    run = dataclasses.replace(job.run, task_overrides=rest)
    return f"{run.task_label} x {run.baseline_label}"
