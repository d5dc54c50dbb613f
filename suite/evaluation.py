"""Evaluate a baseline on a task, from fit to record: one run, or a batch of runs that differ only in their seed.

A batched product may add up in another order than a single one, so a batch equals single runs up to round-off, which
training can amplify: two runs of one seed, in a batch and alone, may end at slightly different points of one valley.
Sweeps therefore batch only on request (``leakybench.sweeps.batching``).
"""

from __future__ import annotations

import dataclasses
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from leakybench import provenance
from leakybench.baseline import Baseline, FitReport, Model, check_preset
from leakybench.errors import CollapsedError, DivergedError, LeakybenchError, UsageError
from leakybench.record import Record, RunSpec, structure_found
from leakybench.registry import baselines, tasks
from leakybench.seeding import check_seed
from leakybench.specs import BaselineSpec, identity_overrides, parse_id
from leakybench.task import Split, SyntheticTask, Task


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
    trial = set_up(baseline, task, seed=seed, preset=preset)
    prepare(baseline, trial.clock)
    try:
        with trial.clock("fit"):
            model = baseline.fit(trial.train, seed=seed, preset=preset)
    except DivergedError as error:
        return _finish(trial, FitReport(status="diverged", message=str(error)))
    except CollapsedError as error:
        return _finish(trial, FitReport(status="collapsed", message=str(error)))
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
    size = len(seeds)
    trials = [set_up(baseline, task, seed=seed, preset=preset) for task, seed in zip(tasks, seeds, strict=True)]
    shared = Clock(device_of(baseline))
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


class Clock:
    """Wall-clock seconds by phase: ``with clock("fit"): ...``; repeated phases add up.

    A GPU works through a queue: the clock is read when the queue is empty, at both ends of a phase, so that a phase
    counts its own work and all of it.

    Args:
        device: device that the phases use, as a setting names it.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def __call__(self, phase: str) -> Clock:
        """Name the phase of the next ``with`` block."""
        self._phase = phase
        return self

    def __enter__(self) -> None:
        synchronise(self.device)
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # after an error of the device, waiting for it would raise another one
            synchronise(self.device)
        self.add(self._phase, time.perf_counter() - self._start)

    def add(self, phase: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds


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


def device_of(baseline: object) -> str:
    """Return the setting ``device`` of a baseline, a text or a ``torch.device``; ``cpu`` for one without."""
    name = str(getattr(baseline, "device", "cpu"))
    return name if re.fullmatch(r"[a-z]+(:[0-9]+)?", name) else "cpu"


def synchronise(device: str) -> None:
    """Wait until a GPU has done the work that torch has queued there; do nothing on the CPU, or before torch is used.

    Torch is looked up, not imported: a baseline that does not use it must not wait for its import.
    """
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize(device)


def report_of(model: Model) -> FitReport:
    """Return the model's report on its training; an empty report if it has none."""
    return getattr(model, "report", None) or FitReport()


def measure_fit(trial: Trial, model: Model, report: FitReport) -> Record:
    """Measure a fitted model and build its record; ``trial.clock`` holds the time of its fit."""
    if report.status == "diverged":
        return _finish(trial, report)
    try:
        with trial.clock("evaluation"):
            test_error, train_error = relative_error(model, trial.test), relative_error(model, trial.train)
    except DivergedError as error:
        return _finish(trial, dataclasses.replace(report, status="diverged", message=str(error)))
    if test_error is None or train_error is None:
        message = "the model's predictions are not finite"
        return _finish(trial, dataclasses.replace(report, status="diverged", message=message))
    errors = {"test_error": test_error, "train_error": train_error}
    if report.status != "ok":
        return _finish(trial, report, **errors)
    with trial.clock("measures"):
        from leakybench.measures.run import measure_model

        measured = measure_model(
            model, trial.train, trial.test, true_jacobians=_true_jacobians(trial), true_rank=trial.true_rank
        )
    rank, true_rank = measured.bottleneck_rank, trial.true_rank
    return _finish(
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


def target_jacobians(task: Task, inputs: np.ndarray) -> np.ndarray | None:
    """Return the Jacobians of a task's target function at inputs (n, d_in) of a split, (n, d_out, d_in).

    Those of a ``SyntheticTask`` are central differences in float64. Targets are in raw units, and all inputs are
    standardised by one scale, which keeps the row spaces.

    Returns:
        None where the target function is unknown.
    """
    own = getattr(task, "target_jacobians", None)
    if callable(own):
        return np.asarray(own(inputs), dtype=np.float64)
    if not isinstance(task, SyntheticTask):
        return None
    from leakybench.measures.certificate import jacobian

    return task.input_scale.scale * jacobian(task.teacher, task.input_scale.inverse(inputs))


def _true_jacobians(trial: Trial) -> np.ndarray | None:
    """Return the target's Jacobians at the held-out inputs of the measures.

    Returns:
        None where the function or its rank is unknown, or where the rank is that of the inputs: then every direction
        matters.
    """
    from leakybench.measures.jacobian import HELD_OUT

    if trial.true_rank is None or trial.true_rank >= trial.test.inputs.shape[1]:
        return None
    return target_jacobians(trial.task, trial.test.inputs[:HELD_OUT])


def _do_nothing() -> None:
    """Default ``prepare``: do nothing."""


def run_spec(baseline: Baseline, task: Task, *, seed: int, preset: str) -> RunSpec:
    """Return the spec of a run of built objects; overrides are the settings that differ from the registered spec."""
    if not isinstance(task, Task):
        raise UsageError(f"a task needs train, test, true_rank, spec and seed, got {type(task).__name__}")
    if not callable(getattr(baseline, "fit", None)):
        raise UsageError(f"a baseline needs fit(train, *, seed, preset), got {type(baseline).__name__}")
    spec = getattr(baseline, "spec", None) or _adhoc_spec(baseline)
    if task.seed != seed:
        # a record states one seed; another seed of the task counts as an override
        task_overrides: dict[str, Any] = {"seed": task.seed}
    else:
        task_overrides = {}
    return RunSpec(
        task=task.spec.id,
        baseline=spec.id,
        seed=seed,
        preset=preset,
        source=provenance.source_of(task.spec, spec),
        task_overrides=task_overrides | _overrides(task.spec, tasks),
        baseline_overrides=_overrides(spec, baselines),
    )


def _adhoc_spec(baseline: object) -> BaselineSpec:
    """Return a spec for an object that was never registered, so that a notebook can evaluate it."""
    kind = type(baseline)
    settings = {}
    if dataclasses.is_dataclass(baseline) and not isinstance(baseline, type):
        settings = dataclasses.asdict(baseline)
    settings.pop("spec", None)
    name = "".join(char for char in kind.__name__ if char.isalnum()) or "Baseline"
    parse_id(id := f"adhoc/{name}-v0")
    return BaselineSpec(id=id, entry_point=f"{kind.__module__}:{kind.__name__}", kwargs=settings)


def _overrides(spec: Any, registry: Any) -> dict[str, Any]:
    registered = registry.spec(spec.id).kwargs if spec.id in registry else {}
    return identity_overrides(spec.kwargs, registered)


def relative_error(model: Model, split: Split) -> float | None:
    """Return sum |f(x) - y|^2 / sum |y - mean(y)|^2, the mean squared error over the targets' variance.

    Returns:
        The relative error, 1 for the mean predictor; None if it is not finite.

    Raises:
        UsageError: predictions whose shape differs from that of the targets, or constant targets.
    """
    predicted = np.asarray(model.predict(split.inputs), dtype=np.float64)
    if predicted.shape != split.targets.shape:
        raise UsageError(f"predictions have shape {predicted.shape}, the targets {split.targets.shape}")
    targets = split.targets.astype(np.float64)
    spread = float(np.sum((targets - targets.mean(axis=0)) ** 2))
    if spread == 0.0:
        raise UsageError("the targets are constant: a relative error is not defined")
    error = float(np.sum((predicted - targets) ** 2)) / spread
    return error if np.isfinite(error) else None


def _finish(trial: Trial, report: FitReport, **measured: Any) -> Record:
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
