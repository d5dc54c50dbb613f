"""The spec of a run of built objects, which is its identity."""

from __future__ import annotations

import dataclasses
from typing import Any

from leakybench import provenance
from leakybench.baseline import Baseline
from leakybench.errors import UsageError
from leakybench.record import RunSpec
from leakybench.registry import baselines, tasks
from leakybench.seeding import check_seed
from leakybench.settings import differing
from leakybench.specs import BaselineSpec, parse_id
from leakybench.task import Task


def run_spec(baseline: Baseline, task: Task, *, seed: int, preset: str) -> RunSpec:
    """Return the spec of a run of built objects; overrides are the settings that differ from the registered spec."""
    if not isinstance(task, Task):
        raise UsageError(f"a task needs train, test, true_rank, spec and seed, got {type(task).__name__}")
    if not callable(getattr(baseline, "fit", None)):
        raise UsageError(f"a baseline needs fit(train, *, seed, preset), got {type(baseline).__name__}")
    seed = check_seed(seed)
    spec = getattr(baseline, "spec", None) or _adhoc_spec(baseline)
    if (task_seed := check_seed(task.seed)) != seed:
        # a record states one seed; another seed of the task counts as an override
        task_overrides: dict[str, Any] = {"seed": task_seed}
    else:
        task_overrides = {}
    return RunSpec(
        task=task.spec.id,
        baseline=spec.id,
        seed=seed,
        preset=preset,
        source=provenance.source_of(task.spec, spec),
        task_overrides=task_overrides | _overrides(task.spec, tasks, task),
        baseline_overrides=_overrides(spec, baselines, baseline),
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


def _overrides(spec: Any, registry: Any, built: object) -> dict[str, Any]:
    if spec.id in registry:
        return differing(registry.spec(spec.id), spec.kwargs)
    return differing(dataclasses.replace(spec, kwargs={}), spec.kwargs, type(built))
