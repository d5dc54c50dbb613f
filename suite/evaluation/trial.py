"""One run around its fit: the data before it, the measures and the record after it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from leakybench import provenance
from leakybench.baseline import Baseline, FitReport, Model, check_preset
from leakybench.errors import DivergedError
from leakybench.evaluation.clock import Clock, device_of
from leakybench.evaluation.identity import run_spec
from leakybench.evaluation.predictions import relative_error
from leakybench.evaluation.truth import true_jacobians
from leakybench.record import Record, RunSpec, structure_found
from leakybench.seeding import check_seed
from leakybench.task import Split, Task


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run before its fit.

    Attributes:
        run: its spec.
        task: the task.
        train: training data.
        test: test data.
        true_rank: bottleneck rank of the task; None if unknown.
        clock: measures its phases.
    """

    run: RunSpec
    task: Task
    train: Split
    test: Split
    true_rank: int | None
    clock: Clock


def set_up(baseline: Baseline, task: Task, *, seed: int, preset: str) -> Trial:
    """Check the arguments and draw the data; raise the same errors as ``evaluate``."""
    check_seed(seed)
    check_preset(preset)
    clock = Clock(device_of(baseline))
    with clock("setup"):
        # a task draws its data on first access, which must not count as training
        run = run_spec(baseline, task, seed=seed, preset=preset)
        train, test, true_rank = task.train, task.test, task.true_rank
    return Trial(run=run, task=task, train=train, test=test, true_rank=true_rank, clock=clock)


def prepare(baseline: Baseline, clock: Clock) -> None:
    """Let the baseline import its libraries, timed as set-up and not as training."""
    with clock("setup"):
        getattr(baseline, "prepare", _do_nothing)()


def report_of(model: Model) -> FitReport:
    """Return the model's report on its training; an empty report if it has none."""
    return getattr(model, "report", None) or FitReport()


def measure_fit(trial: Trial, model: Model, report: FitReport) -> Record:
    """Measure a fitted model and build its record; ``trial.clock`` holds the time of its fit."""
    if report.status == "diverged":
        return finish(trial, report)
    try:
        with trial.clock("evaluation"):
            test_error, train_error = relative_error(model, trial.test), relative_error(model, trial.train)
    except DivergedError as error:
        return finish(trial, dataclasses.replace(report, status="diverged", message=str(error)))
    if test_error is None or train_error is None:
        message = "the model's predictions are not finite"
        return finish(trial, dataclasses.replace(report, status="diverged", message=message))
    errors = {"test_error": test_error, "train_error": train_error}
    if report.status != "ok":
        return finish(trial, report, **errors)
    with trial.clock("measures"):
        from leakybench.measures.run import measure_model

        truth = true_jacobians(trial.task, trial.test.inputs, trial.true_rank)
        measured = measure_model(model, trial.train, trial.test, true_jacobians=truth, true_rank=trial.true_rank)
    rank, true_rank = measured.bottleneck_rank, trial.true_rank
    return finish(
        trial,
        report,
        **errors,
        bottleneck_rank=rank,
        rank_recovered=structure_found(rank, true_rank, alignment=measured.code_alignment, test_error=test_error),
        code_alignment=measured.code_alignment,
        code_leak=measured.code_leak,
        rank_evidence=measured.rank_evidence,
        measures=measured.values,
        arrays={**report.arrays, **measured.arrays},
    )


def _do_nothing() -> None:
    """Default ``prepare``: do nothing."""


def finish(trial: Trial, report: FitReport, **measured: Any) -> Record:
    """Build the record of a run from its clock, the report of its fit and what was measured."""
    training = dict(report.values)
    seconds = dict(trial.clock.seconds)
    # a baseline reports its warm-up time, so that compilation and first memory accesses do not count as training
    if "warmup_seconds" in training:
        warmup = float(training.pop("warmup_seconds"))
        seconds["setup"] += warmup
        seconds["fit"] = max(seconds["fit"] - warmup, 0.0)
    # a fit that broke off, or a report that does not say, leaves the kind of the device alone
    device = str(training.pop("device", trial.clock.device.partition(":")[0]))
    used = {"threads": training.pop("threads", 1), "device": device}
    wall_clock = {**seconds, "total": sum(seconds.values()), **used}
    origin = provenance.provenance()
    if device != "cpu":
        origin["device"] = device  # part of the machine's name, within which alone times are compared
    fields: dict[str, Any] = {"arrays": dict(report.arrays), **measured}
    return Record(
        run=trial.run,
        true_rank=trial.true_rank,
        status=report.status,
        message=report.message,
        wall_clock=wall_clock,
        training=training,
        provenance=origin,
        **fields,
    )
