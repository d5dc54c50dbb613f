"""The small default task on which baselines are checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.specs import TaskSpec
from leakybench.task import SyntheticTask, TargetFunction

SPEC = TaskSpec(
    id="check/Probe-v0",
    entry_point="leakybench.checks.probe_task:Probe",
    kwargs={"d": 6, "n_train": 120, "n_test": 60, "noise": 0.05},
    true_rank=2,
    summary="f(x) = B tanh(A x) through two dimensions",
)


@dataclass(frozen=True, kw_only=True)
class Probe(SyntheticTask):
    """f(x) = B tanh(A x) with orthonormal rows of A (2, d) and columns of B (4, 2); any method learns it in seconds."""

    @property
    def true_rank(self) -> int:
        """The bottleneck rank, 2."""
        return 2

    def target_function(self, rng: np.random.Generator) -> TargetFunction:
        """Draw A and B."""
        inner, _ = np.linalg.qr(rng.standard_normal((self.d, 2)))
        outer, _ = np.linalg.qr(rng.standard_normal((4, 2)))
        return lambda x: np.tanh(x @ inner) @ outer.T
