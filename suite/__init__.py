"""leakybench: a benchmark suite of low-rank tasks for Leaky ResNets and the methods to compare them with.

``leakybench.make`` builds a task, ``leakybench.make_baseline`` a baseline, and ``leakybench.evaluate`` runs the one on
the other. Importing this package and listing the registered ids do not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from leakybench.baseline import PRESETS, Baseline, FitReport, Model, Representations
from leakybench.errors import (
    CollapsedError,
    DivergedError,
    LeakybenchError,
    PluginError,
    RegistrationError,
    UnknownIdError,
    UsageError,
)
from leakybench.evaluation import evaluate
from leakybench.record import Record, RunSpec
from leakybench.registry import make, make_baseline, pprint_registry, register, register_baseline, register_set, spec
from leakybench.specs import BaselineSpec, TaskSpec
from leakybench.task import Split, SyntheticTask, Task

if TYPE_CHECKING:
    from leakybench import measures
    from leakybench.checks import check_baseline, check_plugin, check_task
    from leakybench.module_baseline import wrap_module

__all__ = [
    "PRESETS",
    "Baseline",
    "BaselineSpec",
    "CollapsedError",
    "DivergedError",
    "FitReport",
    "LeakybenchError",
    "Model",
    "PluginError",
    "Record",
    "RegistrationError",
    "Representations",
    "RunSpec",
    "Split",
    "SyntheticTask",
    "Task",
    "TaskSpec",
    "UnknownIdError",
    "UsageError",
    "check_baseline",
    "check_plugin",
    "check_task",
    "evaluate",
    "make",
    "make_baseline",
    "measures",
    "pprint_registry",
    "register",
    "register_baseline",
    "register_set",
    "spec",
    "wrap_module",
]

_LATE = {
    "check_baseline": "leakybench.checks",
    "check_plugin": "leakybench.checks",
    "check_task": "leakybench.checks",
    "wrap_module": "leakybench.module_baseline",
}
"""Names that are imported on first access, with their modules."""


def __getattr__(name: str) -> Any:
    if name == "measures":  # imports scipy, so only on access
        return importlib.import_module("leakybench.measures")
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module 'leakybench' has no attribute {name!r}")
