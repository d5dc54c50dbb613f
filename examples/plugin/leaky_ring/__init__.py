"""Register one task and one baseline: the entry points in pyproject.toml name these two functions."""


def register_tasks() -> None:
    """Register the task."""
    from leakybench import register

    register("ring/Ring-v0", entry_point="leaky_ring.ring:Ring", true_rank=2, summary="height and slope of a landscape")


def register_baselines() -> None:
    """Register the baseline."""
    from leakybench import register_baseline

    register_baseline(
        "ring/Neighbours-v0", entry_point="leaky_ring.neighbours:Neighbours", summary="nearest neighbours"
    )
