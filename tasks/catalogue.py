"""The ids of the built-in tasks. Listing them imports nothing heavy."""

from __future__ import annotations

from typing import Any

# id, entry point below leakybench.tasks, settings, true rank, summary
OPEN: list[tuple[str, str, dict[str, Any], int, str]] = [
    *(
        (f"LowRank-k{k}-v0", "low_rank:LowRank", {"k": k}, k, f"random fully-connected teacher 30-{k}-30")
        for k in (1, 2, 3, 5, 10)
    ),
    ("LowRank-k10-n300-v0", "low_rank:LowRank", {"k": 10, "n_train": 300}, 10, "LowRank-k10 from 300 samples"),
    ("NestedRank-6-3-v0", "nested_rank:NestedRank", {"k": 3, "k_outer": 6}, 3, "residual teachers 30-6-3-30"),
    ("Linear-k3-v0", "linear:Linear", {"k": 3}, 3, "linear map of rank 3; closed-form optimum"),
    ("Noisy-k3-v0", "noisy:Noisy", {"k": 3, "noise": 0.3}, 3, "LowRank-k3 with noise 0.3 on the targets"),
    ("MultiIndex-k3-v0", "multi_index:MultiIndex", {"k": 3}, 3, "smooth link of 3 linear projections"),
    ("Waves-k3-v0", "waves:Waves", {"k": 3}, 3, "waves of 3 linear projections, with phases"),
    ("Staircase-k3-v0", "staircase:Staircase", {"k": 3}, 3, "merged staircase z1, z1 z2, z1 z2 z3"),
    ("Staircase-k3-n300-v0", "staircase:Staircase", {"k": 3, "n_train": 300}, 3, "Staircase-k3 from 300 samples"),
    ("FullRank-d8-v0", "full_rank:FullRank", {"d": 8}, 8, "control: an invertible network on 8 inputs"),
    ("Curved-k2-v0", "curved:Curved", {"k": 2}, 2, "targets on a 2-sphere in 3 linear dimensions"),
    ("Curved-k2-n100-v0", "curved:Curved", {"k": 2, "n_train": 100}, 2, "Curved-k2 from 100 samples"),
]
"""Tasks whose rank a shortcut finds, see ``leakybench.measures.shortcuts``."""

# the same
OPAQUE: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("Symmetry-SO3-v0", "symmetry:Symmetry", {"k": 3, "block": 3}, 3, "invariant under rotations of 3 blocks"),
    (
        "EvenWaves-k2-d100-v0",
        "waves:Waves",
        {"k": 2, "d": 100, "frequency": 1.0, "even": True},
        2,
        "even waves of 2 projections of 100 inputs",
    ),
    (
        "EvenWaves-k3-n300-v0",
        "waves:Waves",
        {"k": 3, "frequency": 2.0, "even": True, "n_train": 300},
        3,
        "even waves of 3 projections, 300 samples",
    ),
    (
        "EvenWaves-k10-n200-v0",
        "waves:Waves",
        {"k": 10, "frequency": 1.0, "even": True, "n_train": 200},
        10,
        "even waves of 10 projections, fewer samples than d k",
    ),
    (
        "EvenWaves-code-k3-v0",
        "waves:Waves",
        {"k": 3, "frequency": 1.0, "even": True, "code_depth": 1},
        3,
        "even waves of a nonlinear code of 3 dimensions",
    ),
    (
        "EvenWaves-code-k6-v0",
        "waves:Waves",
        {"k": 6, "d": 50, "frequency": 1.0, "even": True, "code_depth": 1},
        6,
        "even waves of a nonlinear code of 6 dimensions",
    ),
    (
        "Hierarchical-k1-v0",
        "hierarchical:Hierarchical",
        {"k": 1, "features": 4, "frequency": 1.0},
        1,
        "waves of 1 quadratic form of 4 projections",
    ),
    (
        "Hierarchical-k3-v0",
        "hierarchical:Hierarchical",
        {"k": 3, "features": 6},
        3,
        "waves of 3 quadratic forms of 6 projections",
    ),
    (
        "Hierarchical-k3-n500-v0",
        "hierarchical:Hierarchical",
        {"k": 3, "features": 6, "n_train": 500},
        3,
        "Hierarchical-k3 from 500 samples",
    ),
    (
        "PowerLaw-k5-n200-v0",
        "power_law:PowerLaw",
        {"k": 5, "n_train": 200},
        5,
        "even waves; shares of 5 projections fall off tenfold",
    ),
    (
        "Nuisance-k3-n500-v0",
        "nuisance:Nuisance",
        {"k": 3, "n_train": 500},
        3,
        "even waves of 3 quiet projections among 8 loud inputs",
    ),
    (
        "Nuisance-k2-d60-v0",
        "nuisance:Nuisance",
        {"k": 2, "d": 60, "loud": 10},
        2,
        "even waves of 2 quiet projections among 10 loud inputs",
    ),
]
"""Tasks whose rank no shortcut finds."""

REAL: list[tuple[str, str, dict[str, Any], None, str]] = [
    ("Real-digits-v0", "real:Real", {"source": "digits"}, None, "lower half of a digit from its upper half"),
    ("Real-diabetes-v0", "real:Real", {"source": "diabetes"}, None, "serum values and progression, 4 -> 7"),
    ("Real-linnerud-v0", "real:Real", {"source": "linnerud"}, None, "body from exercises, 20 rows, 3 -> 3"),
]
"""Data sets of unknown rank."""

ALSO_ON_BOARD = ("Curved-k2-n100-v0", "LowRank-k10-v0", "LowRank-k10-n300-v0", "Staircase-k3-n300-v0")
"""Open tasks that are ranked beside the opaque ones: methods differ there in rank, error and alignment. The other open
tasks are for learning and for comparison with the paper: every method has their rank (docs/validity.md)."""
CORE = (
    "Curved-k2-n100-v0",
    "EvenWaves-code-k3-v0",
    "EvenWaves-code-k6-v0",
    "EvenWaves-k2-d100-v0",
    "EvenWaves-k3-n300-v0",
    "Hierarchical-k3-n500-v0",
    "Nuisance-k3-n500-v0",
    "PowerLaw-k5-n200-v0",
)
"""Few tasks that order the methods as the whole board does, chosen by ``leakybench audit``."""


def register() -> None:
    """Register every built-in task (the entry point ``leakybench.tasks``)."""
    from leakybench import register, register_set

    for opaque, group in ((False, OPEN), (True, OPAQUE), (None, REAL)):
        for id, entry_point, kwargs, true_rank, summary in group:
            register(
                id,
                entry_point=f"leakybench.tasks.{entry_point}",
                kwargs=kwargs,
                true_rank=true_rank,
                opaque=opaque,
                summary=summary,
            )
    register_set("open", [id for id, *_ in OPEN])
    register_set("opaque", [id for id, *_ in OPAQUE])
    register_set("board", [*(id for id, *_ in OPAQUE), *ALSO_ON_BOARD])
    register_set("core", CORE)
