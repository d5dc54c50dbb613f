"""The first sentences of a leaderboard: what it shows, and what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from leakybench.record import MIN_ALIGNMENT
from leakybench.registry import tasks as registered

KINDS = {False: "open", True: "opaque", None: "not judged"}
"""Names of the values of ``TaskSpec.opaque``."""
RECOVERED = (
    "a rank counts as recovered where it is right at held-out inputs, the code alignment is at least "
    f"{MIN_ALIGNMENT:g} (where it is defined) and the test error is below 1"
)
RECOVERED_WITHOUT_ALIGNMENT = (
    "a rank counts as recovered where it is right and the test error is below 1, since no run here has a code alignment"
)


def describe_scope(runs: pd.DataFrame, methods: int, tasks: Sequence[str], preset: str) -> str:
    """Say in two sentences what a leaderboard shows and what it does not.

    Args:
        runs: score frame of the runs on display.
        methods: number of methods of the overall table.
        tasks: labels of the tasks of the overall table.
        preset: preset of all runs.
    """
    kinds = Counter(kind_of(task) for task in tasks)
    counts = ", ".join(f"{kinds[name]} {name}" for name in KINDS.values() if kinds[name])
    gloss = "; no shortcut finds the rank of an opaque one" * bool(kinds["opaque"])
    fewest, most = _seeds(runs[runs["task"].isin(tasks)])
    seeds = f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' * (most != 1)}"
    rule = RECOVERED if runs["code_alignment"].notna().any() else RECOVERED_WITHOUT_ALIGNMENT
    return (
        f"Shown: {methods} method{'s' * (methods != 1)} on {len(tasks)} "
        f"task{'s' * (len(tasks) != 1)} ({counts}{gloss}), preset {preset}, {seeds} of each; {rule}. "
        "Not shown: methods tuned to a task, numbers of samples other than each task's own, other presets."
    )


def kind_of(task: str) -> str:
    """Open, opaque or not judged; a task with settings of its own was not judged, and one that is not installed is
    not known."""
    return KINDS[registered.spec(task).opaque if task in registered else None]


def _seeds(runs: pd.DataFrame) -> tuple[int, int]:
    """Smallest and largest number of seeds of a method on a task."""
    counts = runs.groupby(["task", "method", "steps"])["seed"].nunique()
    return int(counts.min()), int(counts.max())
