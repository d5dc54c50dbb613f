"""Evaluate a baseline on a task, from fit to record: one run, or a batch of runs that differ only in their seed.

A batched product may add up in another order than a single one, so a batch equals single runs up to round-off, which
training can amplify: two runs of one seed, in a batch and alone, may end at slightly different points of one valley.
Sweeps therefore batch only on request (``leakybench.sweeps.batching``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from leakybench.baseline import Baseline, FitReport
from leakybench.errors import CollapsedError, DivergedError, LeakybenchError
from leakybench.evaluation.clock import Clock, device_of
from leakybench.evaluation.identity import fitted
from leakybench.evaluation.report import report_of
from leakybench.evaluation.standard import standard
from leakybench.evaluation.trial import Trial, finish, measure_fit, prepare, set_up, start, with_changes
from leakybench.record import Record
from leakybench.surroundings import Change
from leakybench.task import Task


def evaluate(baseline: Baseline, task: Task, *, seed: int = 0, preset: str = "standard") -> Record:
    """Fit ``baseline`` on ``task`` and measure the result.

    Args:
        baseline: from ``leakybench.make_baseline``, or any object with ``fit(train, *, seed, preset)``.
        task: from ``leakybench.make``.
        seed: of the baseline's draws (initial weights). The task's own seed is fixed when it is made.
        preset: ``smoke``, ``standard``, ``converged`` or ``paper``.

    Returns:
        The record. Collapse and divergence are statuses, not exceptions; errors in the code are raised.

    Raises:
        UsageError: a wrong argument.
    """
    clock = Clock(device_of(baseline))
    with clock("setup"):
        run = start(baseline, task, seed=seed, preset=preset)
    changes: list[Change] = []
    with standard(run.task, run.seed, changes) as seeded, fitted(baseline):
        record = _evaluate(baseline, set_up(run, task, clock, seeded))
    return with_changes(record, changes)


def _evaluate(baseline: Baseline, trial: Trial) -> Record:
    run = trial.run
    prepare(baseline, trial)
    try:
        with trial.fitting():
            model = baseline.fit(trial.train, seed=run.seed, preset=run.preset)
    except DivergedError as error:
        return finish(trial, FitReport(status="diverged", message=str(error)))
    except CollapsedError as error:
        return finish(trial, FitReport(status="collapsed", message=str(error)))
    return measure_fit(trial, model, report_of(model))


def can_batch(baseline: object) -> bool:
    """Whether a baseline trains batches of seeds: it has ``fit_many``, and does not say ``batchable = False``."""
    return callable(getattr(baseline, "fit_many", None)) and bool(getattr(baseline, "batchable", True))


def evaluate_many(baseline: Any, tasks: Sequence[Task], *, seeds: Sequence[int], preset: str) -> list[Record]:
    """Fit ``baseline`` on each task with its seed, all in one batch, and measure each result.

    Args:
        baseline: with ``fit_many(trains, *, seeds, preset)``, see ``leakybench.baseline.Baseline``.
        tasks: one per seed, with training sets of one shape.
        seeds: of the baseline's draws.
        preset: as for ``leakybench.evaluate``.

    Returns:
        The records, in the order of the seeds. ``wall_clock.fit`` is the time of the batch divided by its size,
        ``wall_clock.batch`` is that size, and ``provenance.batch`` holds both.

    Raises:
        UsageError: a wrong argument.
        Exception: whatever ``fit_many`` raises, also for collapse and divergence: an exception does not say which run
            it means, so the runs have to be computed one by one.
    """
    runs = [start(baseline, task, seed=seed, preset=preset) for task, seed in zip(tasks, seeds, strict=True)]
    changes: list[Change] = []
    with standard(runs[0].task, runs[0].seed, changes) as seeded, fitted(baseline):
        clocks = [Clock(device_of(baseline)) for _ in runs]
        trials = [set_up(*parts, seeded) for parts in zip(runs, tasks, clocks, strict=True)]
        records = _evaluate_many(baseline, trials)
    return [with_changes(record, changes) for record in records]


def _evaluate_many(baseline: Any, trials: list[Trial]) -> list[Record]:
    size, seeds, preset = len(trials), [trial.run.seed for trial in trials], trials[0].run.preset
    whole = dataclasses.replace(trials[0], clock=Clock(device_of(baseline)))
    prepare(baseline, whole)
    with whole.fitting():
        models = baseline.fit_many([trial.train for trial in trials], seeds=seeds, preset=preset)
    if len(models) != size:
        raise LeakybenchError(f"fit_many gave {len(models)} models for {size} seeds")
    records = []
    for trial, model in zip(trials, models, strict=True):
        for phase, seconds in whole.clock.seconds.items():
            trial.clock.add(phase, seconds / size)
        trial.clock.threads, trial.clock.held = whole.clock.threads, whole.clock.held
        records.append(measure_fit(trial, model, _share(report_of(model), size)))
    # one number for all: the times of single runs differ if one report lacks the warm-up
    each = fmean(record.wall_clock["fit"] for record in records)
    return [
        dataclasses.replace(
            record,
            wall_clock={**record.wall_clock, "batch": size},
            provenance={**record.provenance, "batch": {"size": size, "fit_seconds": each}},
        )
        for record in records
    ]


def _share(report: FitReport, size: int) -> FitReport:
    """Return a report with its share of the warm-up time, which it states for the whole batch."""
    if "warmup_seconds" not in report.values:
        return report
    values = {**report.values, "warmup_seconds": float(report.values["warmup_seconds"]) / size}
    return dataclasses.replace(report, values=values)
