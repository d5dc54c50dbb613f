"""What is observed of a baseline, in the process that :mod:`leakybench.checks.child` gives it, or in the caller's own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from leakybench import registry as registration
from leakybench.baseline import FitReport, TraceableModel
from leakybench.checks.journal import Journal, describe_with_place
from leakybench.checks.watch import watched
from leakybench.errors import CollapsedError, DivergedError
from leakybench.task import Split


class Decoy:
    """A task with the training half of another, and a test half that is of no use to whoever peeks at it."""

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
    """Note in ``journal`` what the checks of :mod:`leakybench.checks.baseline` judge.

    Args:
        make_baseline, make_task: build them; each is called anew for each fit.
        seed: of the fits. preset: of the fits.
        decoy: fit first beside a false test half, then beside the true one; otherwise twice beside the true one.
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
    # made only now, so that nobody could find it in memory during a fit beside the decoy
    asked = make_task()
    journal.stage("the first prediction")
    first = _predict(model, asked.test, journal)
    if first is None:
        return
    journal["predictions"] = first.tolist()
    if not decoy:
        journal.stage("examining the model")
        _examine(model, asked, first, journal)
    journal.stage("the second fit")
    again = _watched_fit(make_baseline(), asked, seed, preset, journal)
    second = None if again is None else _predict(again, asked.test, journal)
    if second is not None:
        journal["predictions_again"] = second.tolist()


def _watched_fit(baseline: Any, task: Any, seed: int, preset: str, journal: Journal) -> Any:
    """The fitted model, or None for a collapse or divergence, which are honest ends of training."""
    before = _hash(task.train)
    built: list[str] = []
    lookup = registration.tasks.spec

    def noticed(id: str) -> Any:
        built.append(str(id))
        return lookup(id)

    begun = time.perf_counter()
    registration.tasks.spec = noticed  # type: ignore[method-assign]
    try:
        with watched(journal):
            model = _fit(baseline, task, seed, preset)
    except (CollapsedError, DivergedError) as error:
        journal["ended"] = describe_with_place(error)
        return None
    finally:
        registration.tasks.spec = lookup  # type: ignore[method-assign]
        journal["seconds"] = time.perf_counter() - begun
        journal["looked_up"] = sorted({*journal.get("looked_up", []), *built})
        journal["train_untouched"] = journal.get("train_untouched", True) and _hash(task.train) == before
    report = getattr(model, "report", None)
    journal["report"] = _report_problem(report)
    journal["status"] = getattr(report, "status", "ok")
    return model


def _fit(baseline: Any, task: Any, seed: int, preset: str) -> Any:
    # the same names in this frame as in leakybench.evaluate, where a baseline that walks up the stack finds them
    trial = SimpleNamespace(train=task.train, test=task.test, true_rank=task.true_rank)
    return baseline.fit(trial.train, seed=seed, preset=preset)


def _hash(split: Split) -> str:
    return hashlib.sha256(split.inputs.tobytes() + split.targets.tobytes()).hexdigest()


def _report_problem(report: Any) -> str:
    """Why a report cannot go into a record; empty where it can."""
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
    """Predictions as float64 (n, d_out); None where they cannot be compared with targets."""
    if not callable(getattr(model, "predict", None)):
        journal["prediction_problem"] = f"fit must return a model with predict(inputs), got {type(model).__name__}"
        return None
    with watched(journal):
        found = model.predict(split.inputs.copy())
    try:
        array = np.asarray(found, dtype=np.float64)
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
    """Errors, what predictions depend on, and the path of a model that shows one."""
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
    # float32 products of another batch size round differently, and an adaptive solver steps differently
    moved = {name: float(np.abs(now - then).max()) / size for name, (now, then) in parts.items()}
    journal["depends_on"] = {name: value for name, value in moved.items() if not value < 1e-2}
    if isinstance(model, TraceableModel):
        from leakybench.measures.arrays import check_path

        try:
            path = check_path(model.representations(task.train.inputs, task.train.targets))
        except Exception as error:
            journal["path_problem"] = describe_with_place(error)
        else:
            journal["path"] = list(path.activations.shape)
