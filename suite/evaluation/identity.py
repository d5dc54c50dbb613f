"""The spec of a run of built objects, which is its identity."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from leakybench import provenance
from leakybench.baseline import Baseline
from leakybench.errors import UsageError
from leakybench.provenance import settings_of_object, settle
from leakybench.record import RunSpec
from leakybench.registry import baselines, tasks
from leakybench.seeding import check_seed
from leakybench.settings import differing
from leakybench.specs import BaselineSpec, parse_id
from leakybench.task import Task


def run_spec(baseline: Baseline, task: Task, *, seed: int, preset: str) -> RunSpec:
    """Return the spec of a run of built objects; overrides are the settings that differ from the registered spec.

    An object that no registered spec names is identified by its content: the attributes of a baseline, the data of a
    task.

    Raises:
        UsageError: an object that is no task or no baseline, or one whose content cannot be told.
    """
    if not isinstance(task, Task):
        raise UsageError(f"a task needs train, test, true_rank, spec and seed, got {type(task).__name__}")
    if not callable(getattr(baseline, "fit", None)):
        raise UsageError(f"a baseline needs fit(train, *, seed, preset), got {type(baseline).__name__}")
    seed = check_seed(seed)
    spec = getattr(baseline, "spec", None)
    modules = tuple(getattr(baseline, "code_modules", ()))
    if spec is None:
        spec, modules = _adhoc_spec(baseline)
    task_overrides = _overrides(task.spec, tasks, task)
    if (task_seed := check_seed(task.seed)) != seed:
        # a record states one seed; another seed of the task counts as an override
        task_overrides["seed"] = task_seed
    if task.spec.id not in tasks:
        task_overrides["data"] = _digest(task)
    return RunSpec(
        task=task.spec.id,
        baseline=spec.id,
        seed=seed,
        preset=preset,
        source=provenance.source_of(task.spec, spec, modules=modules),
        task_overrides=task_overrides,
        baseline_overrides=_overrides(spec, baselines, baseline),
    )


@contextlib.contextmanager
def fitted(baseline: Baseline) -> Iterator[None]:
    """Note what the fit inside the block leaves in an object, which is no part of its identity."""
    try:
        yield
    finally:
        settle(baseline)


def _adhoc_spec(baseline: object) -> tuple[BaselineSpec, tuple[str, ...]]:
    """Return a spec for an object that was never registered, so that a notebook can evaluate it, and its modules."""
    kind = type(baseline)
    settings = settings_of_object(baseline, f"the baseline {kind.__name__}")
    name = "".join(char for char in kind.__name__ if char.isascii() and char.isalnum())
    name = name if name[:1].isalpha() else f"Baseline{name}"
    parse_id(id := f"adhoc/{name}-v0")
    kwargs = settings.kwargs()
    entry = kind.__name__ if kind.__name__.isascii() else "Baseline"
    module = kind.__module__ if kind.__module__.isascii() else "__main__"
    return BaselineSpec(id=id, entry_point=f"{module}:{entry}", kwargs=kwargs), tuple(sorted(settings.modules))


def _overrides(spec: Any, registry: Any, built: object) -> dict[str, Any]:
    if spec.id in registry:
        return differing(registry.spec(spec.id), spec.kwargs)
    return differing(dataclasses.replace(spec, kwargs={}), spec.kwargs, type(built))


def _digest(task: Task) -> str:
    """Hash of the data of a task that no id names, 12 hexadecimal digits."""
    hasher = hashlib.sha256(repr(task.true_rank).encode())
    for split in (task.train, task.test):
        for array in (split.inputs, split.targets):
            hasher.update(f"{array.dtype} {array.shape}".encode())
            hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()[:12]
