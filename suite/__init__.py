"""leakybench: a benchmark suite of low-rank tasks for Leaky ResNets and whatever is to be compared with them.

``suite.make`` builds a task, ``suite.make_baseline`` a baseline, ``suite.evaluate`` runs one on the other. Importing
this package, and listing what is registered, does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from suite.baseline import PRESETS, Baseline, FitReport, Model, Representations
from suite.errors import (
    CollapsedError,
    DivergedError,
    LeakybenchError,
    PluginError,
    RegistrationError,
    UnknownIdError,
    UsageError,
)
from suite.evaluate import evaluate
from suite.record import Record, RunSpec
from suite.registration import (
    BaselineSpec,
    TaskSpec,
    make,
    make_baseline,
    pprint_registry,
    register,
    register_baseline,
    spec,
)
from suite.task import Split, SyntheticTask, Task

if TYPE_CHECKING:
    from suite import measures
    from suite.checks import check_baseline, check_plugin, check_task
    from suite.modules import wrap_module

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
    "spec",
    "wrap_module",
]

_LATE = {
    "check_baseline": "suite.checks",
    "check_plugin": "suite.checks",
    "check_task": "suite.checks",
    "wrap_module": "suite.modules",
}
"""Names that are seldom needed, and where they are: imported when asked for."""


def __getattr__(name: str) -> Any:
    if name == "measures":  # imports scipy, so only when asked for
        return importlib.import_module("suite.measures")
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module 'suite' has no attribute {name!r}")
