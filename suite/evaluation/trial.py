"""One run around its fit: the data before it, the measures and the record after it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakybench import provenance
from leakybench.baseline import Baseline, FitReport, Model, check_preset
from leakybench.errors import BaselineError, DivergedError
from leakybench.evaluation.clock import Clock, card_memory, device_used
from leakybench.evaluation.identity import run_spec
from leakybench.evaluation.predictions import relative_error
from leakybench.evaluation.standard import seed_generators
from leakybench.evaluation.truth import true_jacobians
from leakybench.record import Record, RunSpec, structure_found
from leakybench.registry import baselines, tasks
from leakybench.seeding import check_seed
from leakybench.surroundings import Change, ImportClock, Processor, changes_of_import, loaded_module, threads_of
from leakybench.task import Split, Task


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run around its fit.

    Attributes:
        run: its spec.
        task: the task.
        train: training data.
        test: test data.
        true_rank: bottleneck rank of the task; None if unknown.
        clock: measures its phases.
        digests: of the training and the test data, before anything foreign saw them.
        seeded: tells who watches the global generators that they were seeded.
    """

    run: RunSpec
    task: Task
    train: Split
    test: Split
    true_rank: int | None
    clock: Clock
    digests: tuple[bytes, bytes]
    seeded: Callable[[], None]

    def seed_generators(self) -> None:
        """Seed the global generators, also that of a library which was loaded since."""
        seed_generators(self.run.task, self.run.seed)
        self.seeded()

    @contextlib.contextmanager
    def fitting(self) -> Iterator[None]:
        """Time a fit: its imports count as set-up, and the threads are those that were busy."""
        processor = Processor()
        has_torch = loaded_module("torch") is not None

        def loaded() -> None:
            nonlocal has_torch
            if not has_torch and loaded_module("torch") is not None:  # its generator is as new as it is
                has_torch = True
                self.seed_generators()

        self.clock.held = card_memory()
        imports = ImportClock(loaded)
        try:
            with imports, self.clock("fit"), processor:
                yield
        finally:
            self.clock.threads = threads_of(processor)
            moved = min(imports.seconds, self.clock.seconds.get("fit", 0.0))
            self.clock.add("setup", moved)
            self.clock.add("fit", -moved)

    def check_data(self) -> None:
        """Check that the data are what they were.

        Raises:
            BaselineError: the baseline has changed them in place.
        """
        for name, split, digest in zip(("training", "test"), (self.train, self.test), self.digests, strict=True):
            if _digest(split) != digest:
                raise BaselineError(f"the baseline changed the {name} data in place: it must work on a copy")


def _digest(split: Split) -> bytes:
    hasher = hashlib.blake2b(digest_size=16)
    for array in (split.inputs, split.targets):
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.digest()


def start(baseline: Baseline, task: Task, *, seed: int, preset: str) -> RunSpec:
    """Check the arguments and return the spec of the run; raise the same errors as ``evaluate``."""
    check_seed(seed)
    check_preset(preset)
    run = run_spec(baseline, task, seed=seed, preset=preset)
    import leakybench.measures.run  # noqa: F401 - here, so that its import is no change by the run

    return run


def set_up(run: RunSpec, task: Task, clock: Clock, seeded: Callable[[], None]) -> Trial:
    """Draw the data of a run; ``seeded`` as in ``Trial``."""
    with clock("setup"):
        # a task draws its data on first access, which must not count as training
        train, test, true_rank = task.train, task.test, task.true_rank
        digests = _digest(train), _digest(test)
    return Trial(
        run=run, task=task, train=train, test=test, true_rank=true_rank, clock=clock, digests=digests, seeded=seeded
    )


def prepare(baseline: Baseline, trial: Trial) -> None:
    """Let the baseline import its libraries, timed as set-up and not as training."""
    with trial.clock("setup"):
        getattr(baseline, "prepare", _do_nothing)()
        trial.seed_generators()


def with_changes(record: Record, changes: list[Change]) -> Record:
    """Return a record that names the global state which the run, or the import of its code, changed."""
    specs = [
        registry.spec(id)
        for registry, id in ((tasks, record.run.task), (baselines, record.run.baseline))
        if id in registry
    ]
    texts = [f"on import, {text}" for spec in specs for text in changes_of_import(spec.entry_point.split(":")[0])]
    texts += [str(change) for change in changes]
    if not texts:
        return record
    return dataclasses.replace(record, provenance={**record.provenance, "surroundings": texts})


def measure_fit(trial: Trial, model: Model, report: FitReport) -> Record:
    """Measure a fitted model and build its record; ``trial.clock`` holds the time of its fit.

    Raises:
        BaselineError: predictions that are no real numbers, or data that were changed in place.
    """
    trial.check_data()
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
    trial.check_data()
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
    training.pop("threads", None)  # what was measured counts
    # a fit that broke off, or a report that does not say, leaves the kind of the device alone
    device = device_used(str(training.pop("device", trial.clock.device.partition(":")[0])), trial.clock.held)
    used = {"threads": trial.clock.threads or 1, "device": device}
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
