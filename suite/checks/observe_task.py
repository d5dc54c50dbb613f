"""Observe a task, in the process of ``leakybench.checks.child``."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.checks.certificate import teacher_ranks
from leakybench.checks.journal import Journal, describe_with_place
from leakybench.checks.watch import watched
from leakybench.errors import UsageError
from leakybench.measures.shortcuts import shortcuts
from leakybench.registry import build
from leakybench.specs import TaskSpec
from leakybench.task import Split, Task

POINTS = 40
"""Number of inputs at which the Jacobian of a teacher is computed."""

SEEDS = 7
"""Number of seeds at which the shortcuts are asked for the rank."""

SHORTCUT_SECONDS = 10.0
"""Maximum time to build the task at these seeds; a task that is slower to build is asked at fewer of them."""

WORTH_LEARNING = 0.98
"""Test error that the best of the cheap learners must reach; the mean predictor has 1."""

MORE_ROWS = 4000
"""Number of training rows for a second try, where the task has too few of them for a cheap learner."""

FIT_ROWS = 1500
"""Maximum number of training rows for the cheap learners, since kernel ridge regression is cubic in it."""


def observe_task(spec: TaskSpec, *, seed: int, thorough: bool, journal: Journal) -> None:
    """Write the facts that ``leakybench.checks.task`` judges to the journal.

    Args:
        spec: the spec of the task, including overrides.
        seed: seed of the task.
        thorough: observe everything; otherwise only contract and fingerprint.
        journal: receives the facts.
    """
    journal.stage("loading the code")
    begun = time.perf_counter()
    with watched(journal):
        spec.load()
    journal["load_seconds"] = time.perf_counter() - begun
    journal.stage("building the task")
    begun = time.perf_counter()
    with watched(journal):
        task = build(spec, {}, seed=seed)
        missing = [name for name in ("train", "test", "true_rank", "spec", "seed") if not hasattr(type(task), name)]
        missing = [name for name in missing if name not in vars(task)]
        journal["missing"] = missing
        if not missing:
            train, test, true_rank = task.train, task.test, task.true_rank
    journal["seconds"] = time.perf_counter() - begun
    if missing or not all(isinstance(split, Split) for split in (train, test)):
        journal["splits"] = False if missing else [type(train).__name__, type(test).__name__]
        return
    journal |= {
        "splits": True,
        "is_task": isinstance(task, Task),
        "spec_id": getattr(task.spec, "id", None),
        "seed": task.seed if isinstance(task.seed, int) else repr(task.seed),
        "true_rank": true_rank if isinstance(true_rank, int | None) else repr(true_rank),
        "shapes": [list(a.shape) for a in _arrays(task)],
        "drawn_once": task.train is task.train or _hashes(task) == _hashes(task),
        "fingerprint": _hashes(task),
        "bytes": sum(array.nbytes for array in _arrays(task)),
    }
    if not thorough:
        return
    journal.stage("building the task again")
    with watched(journal):
        journal["again"] = _hashes(build(spec, {}, seed=seed))
    journal.stage("building the task at another seed")
    journal["other_seed"] = _hashes(build(spec, {}, seed=seed + 1))
    journal.stage("looking for leaks")
    _probe_leaks(spec, seed, task, journal)
    journal.stage("measuring the scale")
    _measure_scale(task, journal)
    journal.stage("computing the Jacobian of the teacher")
    _measure_ranks(task, journal)
    if true_rank is not None:
        journal.stage("asking the shortcuts")
        _ask_shortcuts(spec, seed, journal)
    journal.stage("fitting cheap learners")
    _fit_cheap_learners(task, journal)
    if min(journal.get("errors", {"none": 0.0}).values()) >= WORTH_LEARNING:
        journal.stage("fitting a cheap learner to more rows")
        _fit_to_more_rows(spec, seed, journal)


def _arrays(task: Any) -> list[np.ndarray]:
    return [task.train.inputs, task.train.targets, task.test.inputs, task.test.targets]


def _hashes(task: Any) -> list[str]:
    return [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16] for array in _arrays(task)]


def _probe_leaks(spec: TaskSpec, seed: int, task: Any, journal: Journal) -> None:
    """Observe whether the training data depend on the size or the draws of the test half, and count shared rows."""
    rows = [np.hstack([half.inputs, half.targets]) for half in (task.train, task.test)]
    known = {row.tobytes() for row in rows[0]}
    journal["shared_rows"] = sum(row.tobytes() in known for row in rows[1])
    fewer = max(len(task.test) // 2, 2)
    try:
        smaller = build(spec.with_overrides({"n_test": fewer}), {}, seed=seed)
        journal["train_at_fewer_test_rows"] = _hashes(smaller)[:2]
    except UsageError as error:
        journal["no_n_test"] = str(error)[:200]
    roles: list[str] = []
    draw = seeding.generator

    def shifted(name: str, seed: int, role: str) -> np.random.Generator:
        roles.append(role)
        return draw(name, (seed + 99 * ("test" in role)) % seeding.MAX_SEED, role)

    seeding.generator = shifted
    try:
        moved = _hashes(build(spec, {}, seed=seed))
    finally:
        seeding.generator = draw
    if any("test" in role for role in roles):
        journal["other_test_draws"] = moved


def _measure_scale(task: Any, journal: Journal) -> None:
    """Measure size, centre and spread of each half."""
    for name, half in (("train", task.train), ("test", task.test)):
        for kind in ("inputs", "targets"):
            data = getattr(half, kind).astype(np.float64)
            journal[f"{name}_{kind}"] = {
                "rms": float(np.sqrt(np.mean(data**2))),
                "largest": float(np.abs(data).max()),
                "mean": float(np.abs(data.mean(axis=0)).max()),
                "spread": float(data.std(axis=0).max()),
            }


def _measure_ranks(task: Any, journal: Journal) -> None:
    """Compute the ranks of the teacher's Jacobian and the number of dimensions that the training targets span."""
    targets = task.train.targets.astype(np.float64)
    singular = np.linalg.svd(targets - targets.mean(axis=0), compute_uv=False)
    journal["target_span"] = int(np.sum(singular > 1e-5 * singular[0])) if singular[0] > 0 else 0
    if not callable(getattr(task, "teacher", None)) or not callable(getattr(task, "sample_inputs", None)):
        return
    try:
        points = np.asarray(task.sample_inputs(POINTS, np.random.default_rng(3)), dtype=np.float64)
        ranks = teacher_ranks(task.teacher, points)
    except Exception as error:
        journal["teacher_failure"] = describe_with_place(error)
        return
    journal["jacobian_ranks"] = [int(rank) for rank in ranks]


def _ask_shortcuts(spec: TaskSpec, seed: int, journal: Journal) -> None:
    """Ask the shortcuts for the rank at several seeds: ``{"ridge": [3, 3, null, ..], ..}``."""
    count = min(SEEDS, int(SHORTCUT_SECONDS / max(journal["seconds"], 1e-3)))
    answers: dict[str, list[int | None]] = {}
    for each in range(seed, seed + count):
        train = build(spec, {}, seed=each).train
        for name, rank in shortcuts(train.inputs, train.targets).ranks.items():
            answers.setdefault(name, []).append(rank)
    journal["shortcut_ranks"] = answers


def _fit_cheap_learners(task: Any, journal: Journal) -> None:
    """Measure the test errors of ridge, kernel ridge and nearest-neighbour regression, over the targets' variance."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor

    x, y = (a[:FIT_ROWS].astype(np.float64) for a in (task.train.inputs, task.train.targets))
    test_x, test_y = task.test.inputs.astype(np.float64), task.test.targets.astype(np.float64)
    spread = float(np.sum((test_y - test_y.mean(axis=0)) ** 2))
    if spread == 0.0:
        return
    gamma = 1.0 / max(x.shape[1] * float(x.var()), 1e-12)
    learners: dict[str, list[Any]] = {
        "ridge": [Ridge(alpha=penalty) for penalty in (1e-2, 10.0, 1e3)],
        "kernel ridge": [KernelRidge(kernel="rbf", gamma=gamma * s, alpha=a) for s in (0.1, 0.5) for a in (1e-2, 1.0)],
        "nearest neighbours": [KNeighborsRegressor(n_neighbors=min(k, len(x))) for k in (1, 10)],
    }
    journal["errors"] = {
        name: min(float(np.sum((each.fit(x, y).predict(test_x) - test_y) ** 2)) / spread for each in group)
        for name, group in learners.items()
    }


def _fit_to_more_rows(spec: TaskSpec, seed: int, journal: Journal) -> None:
    """Add the test error of quadratic regression on ``MORE_ROWS`` rows, if the task takes a setting n_train.

    A task may be made for few samples, or have no part that a smooth kernel sees, such as an even function of many
    inputs. Quadratic regression is the simplest that sees an even function, and needs of order d^2 rows.
    """
    from sklearn.kernel_ridge import KernelRidge

    try:
        larger = build(spec.with_overrides({"n_train": MORE_ROWS}), {}, seed=seed)
    except UsageError as error:
        journal["no_n_train"] = str(error)[:200]
        return
    x, y = larger.train.inputs.astype(np.float64), larger.train.targets.astype(np.float64)
    test_x, test_y = larger.test.inputs.astype(np.float64), larger.test.targets.astype(np.float64)
    learner = KernelRidge(kernel="polynomial", degree=2, gamma=1.0 / x.shape[1], alpha=1.0).fit(x, y)
    share = float(np.sum((learner.predict(test_x) - test_y) ** 2) / np.sum((test_y - test_y.mean(axis=0)) ** 2))
    journal["errors"] = {**journal["errors"], f"quadratic regression on {len(x)} rows": share}
