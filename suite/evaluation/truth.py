"""What is known of a task's target function."""

from __future__ import annotations

import numpy as np

from leakybench.task import SyntheticTask, Task


def target_jacobians(task: Task, inputs: np.ndarray) -> np.ndarray | None:
    """Return the Jacobians of a task's target function at inputs (n, d_in) of a split, (n, d_out, d_in).

    Those of a ``SyntheticTask`` are central differences in float64. Targets are in raw units, and all inputs are
    standardised by one scale, which keeps the row spaces.

    Returns:
        None where the target function is unknown.
    """
    own = getattr(task, "target_jacobians", None)
    if callable(own):
        return np.asarray(own(inputs), dtype=np.float64)
    if not isinstance(task, SyntheticTask):
        return None
    from leakybench.measures.certificate import jacobian

    return task.input_scale.scale * jacobian(task.teacher, task.input_scale.inverse(inputs))


def true_jacobians(task: Task, inputs: np.ndarray, true_rank: int | None) -> np.ndarray | None:
    """Return the target's Jacobians at the first of the held-out inputs (n, d_in), those that the measures take.

    Returns:
        None where the function or its rank is unknown, or where the rank is that of the inputs: then every direction
        matters.
    """
    from leakybench.measures.jacobian import HELD_OUT

    if true_rank is None or true_rank >= inputs.shape[1]:
        return None
    return target_jacobians(task, inputs[:HELD_OUT])
