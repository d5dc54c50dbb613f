"""Observe a baseline, in the process of ``leakybench.checks.child`` or in that of the caller."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from leakybench import registry
from leakybench.baseline import FitReport, TraceableModel
from leakybench.checks.journal import Journal, describe_with_place
from leakybench.checks.watch import watched
from leakybench.errors import CollapsedError, DivergedError
from leakybench.task import Split


class Decoy:
    """A task with the training half of another task and a false test half, to reveal a baseline that reads it."""

    def __init__(self, task: Any) -> None:
        self.spec, self.seed, self.true_rank, self.train = task.spec, task.seed, task.true_rank, task.train
        self.test = Split(task.test.inputs[::-1].copy(), (3.0 - task.test.targets).astype(np.float32))


def observe_baseline(
    make_baseline: Callable[[], Any],
    make_task: Callable[[], Any],
    *,
    seed: int,
    preset: str,
    decoy: bool,
    journal: Journal,
) -> None:
    """Write the facts that ``leakybench.checks.baseline`` judges to the journal.

    Args:
        make_baseline: builds the baseline; called for each fit.
        make_task: builds the task; called for each fit.
        seed: seed of the fits.
        preset: preset of the fits.
        decoy: whether the task of the first fit has a false test half; that of the second fit has the true one.
        journal: receives the facts.
    """
    journal.stage("building the baseline")
    with watched(journal):
        baseline = make_baseline()
    journal["fits"] = callable(getattr(baseline, "fit", None))
    if not journal["fits"]:
        return
    task: Any = Decoy(make_task()) if decoy else make_task()
    journal.stage("the first fit")
    model = _watched_fit(baseline, task, seed, preset, journal)
    if model is None:
        return
    # built only now, so that it cannot be found in memory during the fit with the decoy
    true_task = make_task()
    journal.stage("the first prediction")
    first = _predict(model, true_task.test, journal)
    if first is None:
        return
    journal["predictions"] = first.tolist()
    if not decoy:
        journal.stage("examining the model")
        _examine(model, true_task, first, journal)
    journal.stage("the second fit")
    again = _watched_fit(make_baseline(), true_task, seed, preset, journal)
    second = None if again is None else _predict(again, true_task.test, journal)
    if second is not None:
        journal["predictions_again"] = second.tolist()


def _watched_fit(baseline: Any, task: Any, seed: int, preset: str, journal: Journal) -> Any:
    """Return the fitted model, or None for a collapse or divergence, which are regular outcomes of training."""
    before = _split_hash(task.train)
    looked_up: list[str] = []
    lookup = registry.tasks.spec

    def recording_lookup(id: str) -> Any:
        looked_up.append(str(id))
        return lookup(id)

    begun = time.perf_counter()
    registry.tasks.spec = recording_lookup  # type: ignore[method-assign]
    try:
        with watched(journal):
            model = _fit_like_evaluate(baseline, task, seed, preset)
    except (CollapsedError, DivergedError) as error:
        journal["ended"] = describe_with_place(error)
        return None
    finally:
        registry.tasks.spec = lookup  # type: ignore[method-assign]
        journal["seconds"] = time.perf_counter() - begun
        journal["looked_up"] = sorted({*journal.get("looked_up", []), *looked_up})
        journal["train_untouched"] = journal.get("train_untouched", True) and _split_hash(task.train) == before
    report = getattr(model, "report", None)
    journal["report"] = _report_problem(report)
    journal["status"] = getattr(report, "status", "ok")
    return model


def _fit_like_evaluate(baseline: Any, task: Any, seed: int, preset: str) -> Any:
    # this frame has the same names as the one in leakybench.evaluate, for a baseline that inspects the call stack
    trial = SimpleNamespace(train=task.train, test=task.test, true_rank=task.true_rank)
    return baseline.fit(trial.train, seed=seed, preset=preset)


def _split_hash(split: Split) -> str:
    return hashlib.sha256(split.inputs.tobytes() + split.targets.tobytes()).hexdigest()


def _report_problem(report: Any) -> str:
    """Return why a report cannot go into a record, or an empty text."""
    if report is None:
        return ""
    if not isinstance(report, FitReport):
        return f"report must be a leakybench.FitReport, got {type(report).__name__}"
    try:
        json.dumps(dict(report.values), allow_nan=False)
    except (TypeError, ValueError) as error:
        return f"report.values must be plain JSON: {error}"
    if not all(isinstance(array, np.ndarray) and array.dtype != object for array in report.arrays.values()):
        return "report.arrays must hold plain numpy arrays"
    return ""


def _predict(model: Any, split: Split, journal: Journal) -> np.ndarray | None:
    """Return the predictions as float64 (n, d_out), or None if they cannot be compared with the targets."""
    if not callable(getattr(model, "predict", None)):
        journal["prediction_problem"] = f"fit must return a model with predict(inputs), got {type(model).__name__}"
        return None
    with watched(journal):
        predictions = model.predict(split.inputs.copy())
    try:
        array = np.asarray(predictions, dtype=np.float64)
    except (TypeError, ValueError) as error:
        journal["prediction_problem"] = f"predict must return an array of numbers: {error}"
        return None
    if array.shape != split.targets.shape:
        journal["prediction_problem"] = f"predictions have shape {array.shape}, the targets {split.targets.shape}"
        return None
    if not np.isfinite(array).all():
        journal["prediction_problem"] = "predictions are not finite"
        return None
    return array


def _examine(model: Any, task: Any, first: np.ndarray, journal: Journal) -> None:
    """Measure errors, the dependence of predictions on other rows, and the path of a model that has one."""
    inputs, targets = task.test.inputs, task.test.targets.astype(np.float64)
    spread = float(np.sum((targets - targets.mean(axis=0)) ** 2))
    journal["test_error"] = float(np.sum((first - targets) ** 2)) / spread
    train = np.asarray(model.predict(task.train.inputs), dtype=np.float64)
    wanted = task.train.targets.astype(np.float64)
    journal["train_error"] = float(np.sum((train - wanted) ** 2) / np.sum((wanted - wanted.mean(axis=0)) ** 2))
    journal["largest"] = float(np.abs(first).max() / max(np.abs(targets).max(), 1e-12))
    half = len(inputs) // 2
    size = max(float(np.abs(first).max()), 1e-12)
    parts = {
        "the same inputs again": (np.asarray(model.predict(inputs)), first),
        "fewer rows": (np.asarray(model.predict(inputs[:half])), first[:half]),
        "one row": (np.asarray(model.predict(inputs[:1])), first[:1]),
        "another order": (np.asarray(model.predict(inputs[::-1].copy())), first[::-1]),
    }
    # tolerant, because float32 products round differently at another batch size, and adaptive solvers step differently
    changes = {name: float(np.abs(now - then).max()) / size for name, (now, then) in parts.items()}
    journal["depends_on"] = {name: value for name, value in changes.items() if not value < 1e-2}
    if isinstance(model, TraceableModel):
        from leakybench.measures.arrays import check_path

        try:
            path = check_path(model.representations(task.train.inputs, task.train.targets))
        except Exception as error:
            journal["path_problem"] = describe_with_place(error)
        else:
            journal["path"] = list(path.activations.shape)
