"""Evaluate a baseline on a task, from fit to record: one run, or a batch of runs that differ only in their seed."""

from __future__ import annotations

from leakybench.evaluation.clock import Clock, device_of
from leakybench.evaluation.fitting import can_batch, evaluate, evaluate_many
from leakybench.evaluation.identity import run_spec
from leakybench.evaluation.predictions import relative_error
from leakybench.evaluation.truth import target_jacobians

__all__ = [
    "Clock",
    "can_batch",
    "device_of",
    "evaluate",
    "evaluate_many",
    "relative_error",
    "run_spec",
    "target_jacobians",
]
