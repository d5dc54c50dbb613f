"""What the searches of tuned runs cost, so that equal budgets can be told from equal numbers of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_PREFIX = "training.tuning"
_STATES = ("complete", "pruned", "failed")


def search_costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what was spent on searching, one row for each task and tuned baseline.

    Trials of two baselines differ in their seconds, so equal budgets of trials are no equal budgets of time: a table
    of tuned methods needs both.

    Args:
        frame: from ``leakybench.analysis.frame.to_frame`` with its extras; runs without a search are left out.

    Returns:
        A frame with the columns ``task`` and ``baseline`` (labels), ``runs``, ``trials``, ``complete``, ``pruned`` and
        ``failed`` (sums over the runs), ``seconds`` (of all searches together), and ``seconds_per_run`` (their mean).
    """
    import pandas as pd

    names = ["task", "baseline", "runs", "trials", *_STATES, "seconds", "seconds_per_run"]
    if f"{_PREFIX}.seconds" not in frame:
        return pd.DataFrame(columns=names)
    searched = frame[frame[f"{_PREFIX}.seconds"].notna()]
    found = searched.groupby(["task", "baseline"], sort=True).agg(
        runs=("run_id", "size"),
        **{state: (f"{_PREFIX}.counts.{state}", "sum") for state in _STATES},
        seconds=(f"{_PREFIX}.seconds", "sum"),
    )
    found = found.astype(dict.fromkeys(_STATES, "int64")).reset_index()
    found["trials"] = found[list(_STATES)].sum(axis=1)
    found["seconds_per_run"] = found["seconds"] / found["runs"]
    return found[names]
