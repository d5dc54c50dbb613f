"""A batch: runs that differ in their seed alone, trained together by ``fit_many`` of a baseline, measured one by one.

A batched product may add up in another order than a single one, so a batch equals single runs up to round-off only.
Training can amplify that: two runs of one seed, in a batch and alone, stop at slightly different points of the same
valley. Sweeps therefore batch only when they are told to (``suite.batching``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from suite.baseline import FitReport
from suite.errors import LeakybenchError
from suite.evaluate import Clock, measure_fit, prepare, report_of, set_up
from suite.record import Record
from suite.task import Task


def can_batch(baseline: object) -> bool:
    """Whether a baseline trains batches: it has ``fit_many``, and its step-sizes, if it has any, are not adaptive.

    Adaptive step-sizes come to differ from run to run, which batched products cannot.
    """
    return callable(getattr(baseline, "fit_many", None)) and getattr(baseline, "steps", None) != "adaptive"


def evaluate_many(baseline: Any, tasks: Sequence[Task], *, seeds: Sequence[int], preset: str) -> list[Record]:
    """Fit ``baseline`` on each task with its seed, all in one batch, and measure each result.

    Args:
        baseline: with ``fit_many(trains, *, seeds, preset)``, see :class:`suite.baseline.Baseline`.
        tasks: one a seed, whose training sets have one shape.
        seeds: of the baseline's draws.
        preset: as for :func:`suite.evaluate`.

    Returns:
        The records, in the order of the seeds. ``wall_clock.fit`` is the batch's seconds over its size,
        ``wall_clock.batch`` is that size, and ``provenance.batch`` says both.

    Raises:
        UsageError: a wrong argument. Whatever ``fit_many`` raises, also of collapse and divergence: an exception does
        not say which run it means, so the runs are to be computed alone.
    """
    size = len(seeds)
    trials = [set_up(baseline, task, seed=seed, preset=preset) for task, seed in zip(tasks, seeds, strict=True)]
    shared = Clock()
    prepare(baseline, shared)
    with shared("fit"):
        models = baseline.fit_many([trial.train for trial in trials], seeds=list(seeds), preset=preset)
    if len(models) != size:
        raise LeakybenchError(f"fit_many gave {len(models)} models for {size} seeds")
    records = []
    for trial, model in zip(trials, models, strict=True):
        for phase, seconds in shared.seconds.items():
            trial.clock.add(phase, seconds / size)
        records.append(measure_fit(trial, model, _share(report_of(model), size)))
    # one number for all: their own differ where a report of one run lacks the warm-up
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
    """A report with its share of the warm-up, which is the whole batch's."""
    if "warmup_seconds" not in report.values:
        return report
    values = {**report.values, "warmup_seconds": float(report.values["warmup_seconds"]) / size}
    return dataclasses.replace(report, values=values)
