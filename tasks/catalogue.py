"""The ids of the built-in tasks. Listing them imports nothing heavy."""

from __future__ import annotations

from typing import Any

# id, entry point below leakybench.tasks, settings, true rank, summary
BUILTIN: list[tuple[str, str, dict[str, Any], int | None, str]] = [
    *(
        (f"LowRank-k{k}-v0", "low_rank:LowRank", {"k": k}, k, f"random fully-connected teacher 30-{k}-30")
        for k in (1, 2, 3, 5, 10)
    ),
    ("NestedRank-6-3-v0", "nested_rank:NestedRank", {"k": 3, "k_outer": 6}, 3, "residual teachers 30-6-3-30"),
    ("Linear-k3-v0", "linear:Linear", {"k": 3}, 3, "linear map of rank 3; closed-form optimum"),
    ("Noisy-k3-v0", "noisy:Noisy", {"k": 3, "noise": 0.3}, 3, "LowRank-k3 with noise 0.3 on the targets"),
    ("MultiIndex-k3-v0", "multi_index:MultiIndex", {"k": 3}, 3, "smooth link of 3 linear projections"),
    ("Staircase-k3-v0", "staircase:Staircase", {"k": 3}, 3, "merged staircase z1, z1 z2, z1 z2 z3"),
    ("FullRank-d8-v0", "full_rank:FullRank", {"d": 8}, 8, "control: an invertible network on 8 inputs"),
    ("Symmetry-SO3-v0", "symmetry:Symmetry", {"k": 3, "block": 3}, 3, "invariant under rotations of 3 blocks"),
    ("Curved-k2-v0", "curved:Curved", {"k": 2}, 2, "targets on a 2-sphere in 3 linear dimensions"),
    ("Real-digits-v0", "real:Real", {"source": "digits"}, None, "lower half of a digit from its upper half"),
    ("Real-diabetes-v0", "real:Real", {"source": "diabetes"}, None, "serum values and progression, 4 -> 7"),
    ("Real-linnerud-v0", "real:Real", {"source": "linnerud"}, None, "body from exercises, 20 rows, 3 -> 3"),
]


def register() -> None:
    """Register every built-in task (the entry point ``leakybench.tasks``)."""
    from leakybench import register

    for id, entry_point, kwargs, true_rank, summary in BUILTIN:
        register(id, entry_point=f"leakybench.tasks.{entry_point}", kwargs=kwargs, true_rank=true_rank, summary=summary)
