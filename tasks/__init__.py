"""The built-in tasks. One file per family; this module only registers ids, so that listing them imports nothing heavy."""

from __future__ import annotations


def register() -> None:
    """Register every built-in task (the entry point ``leakybench.tasks``)."""
    from suite import register

    for k in (1, 2, 3, 5, 10):
        register(
            f"LowRank-k{k}-v0",
            entry_point="tasks.low_rank:LowRank",
            kwargs={"k": k},
            true_rank=k,
            summary=f"random fully-connected teacher 30-{k}-30",
        )
