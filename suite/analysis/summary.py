"""One row of numbers for each task and baseline: what every table, page and leaderboard shows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.scores import POLICY, latest, status_counts
from leakybench.errors import UsageError
from leakybench.specs import natural_key
from leakybench.stats import interval, proportion_interval

GROUPINGS: dict[str, tuple[str, ...]] = {
    "cell": ("task", "method", "steps"),
    "baseline": ("method", "steps"),
    "task": ("task",),
}
"""``--by``: a row for each task and baseline, for each baseline over its tasks, or for each task over its baselines."""


def summarise(frame: pd.DataFrame, by: str = "cell") -> pd.DataFrame:
    """A row a group and preset, in registry order of the ids.

    Args:
        frame: of :func:`leakybench.analysis.scores.score_frame`. Superseded runs are dropped first (:func:`leakybench.analysis.scores.latest`).
        by: one of ``GROUPINGS``. Over several tasks, statistics are taken within tasks and averaged with equal weight.

    Returns:
        Columns: those of the grouping and ``preset``; ``test_error``, ``test_error_low``, ``test_error_high`` (mean
        over seeds and 95% interval, share of the targets' variance; low is cut at 0); ``rank``, ``rank_min``,
        ``rank_max`` (commonest and range over ok runs), ``rank_counts`` ({rank: runs}), ``true_rank`` (None over
        tasks of unlike rank); ``recovered``, ``recovered_of``, ``recovered_low``, ``recovered_high`` (runs, and 95%
        interval of their share); ``criticality`` (median, relative); ``fit_seconds`` (median over ok runs; None when
        they come from several machines), ``threads``, ``machine`` (each a sorted list); ``runs``, ``counted``,
        ``imputed``, ``status`` ({status: runs}), ``sources``. Missing values are None.
    """
    if by not in GROUPINGS:
        raise UsageError(f"--by must be one of {', '.join(GROUPINGS)}, got {by!r}")
    keys = [*GROUPINGS[by], "preset"]
    frame, _ = latest(frame)
    groups = list(frame.groupby(keys, sort=False))
    groups.sort(key=lambda item: [natural_key(str(part)) for part in item[0]])
    rows = [dict(zip(keys, key, strict=True)) | _numbers(group) for key, group in groups]
    columns = list(rows[0]) if rows else keys
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in columns})


def _numbers(group: pd.DataFrame) -> dict[str, Any]:
    counted = group[group["counted"]]
    finished = group[group["status"] == "ok"]
    return {
        **_error(counted),
        **_rank(group, counted, finished),
        "criticality": _median(finished["criticality"]),
        **_times(finished),
        "runs": len(group),
        "counted": len(counted),
        "imputed": int(group["imputed"].sum()),
        "status": status_counts(group["status"]),
        "sources": sorted(group["source"].unique()),
    }


def _error(counted: pd.DataFrame) -> dict[str, float | None]:
    if counted.empty:
        return {"test_error": None, "test_error_low": None, "test_error_high": None}
    strata = [part["score"].to_numpy() for _, part in counted.groupby("task")]
    found = interval(strata, "mean")
    # errors are not negative, so neither is the interval; a wide one at few seeds would otherwise reach below
    low, high = (max(found.low, 0.0), found.high) if found.known else (None, None)
    return {"test_error": found.estimate, "test_error_low": low, "test_error_high": high}


def _rank(group: pd.DataFrame, counted: pd.DataFrame, finished: pd.DataFrame) -> dict[str, Any]:
    ranks = [int(rank) for rank in finished["bottleneck_rank"].dropna()]
    counts = dict(sorted(Counter(ranks).items()))
    truths = group["true_rank"].dropna().unique()
    one_truth = len(truths) == 1 and group["true_rank"].notna().all()
    found: dict[str, Any] = {
        "rank": max(counts, key=lambda rank: (counts[rank], -rank)) if counts else None,
        "rank_min": min(ranks, default=None),
        "rank_max": max(ranks, default=None),
        "rank_counts": counts,
        "true_rank": int(truths[0]) if one_truth else None,
        "recovered": None,
        "recovered_of": None,
        "recovered_low": None,
        "recovered_high": None,
    }
    judged = counted[counted["true_rank"].notna()]
    # a method that measures no rank (ridge) is not judged; one whose runs all collapsed recovered none
    if judged.empty or (not ranks and not finished.empty):
        return found
    recovered = int(judged["recovered"].fillna(False).sum())
    share = proportion_interval(recovered, len(judged))
    return found | {
        "recovered": recovered, "recovered_of": len(judged), "recovered_low": share.low, "recovered_high": share.high
    }  # fmt: skip


def _median(values: pd.Series) -> float | None:
    known = values.dropna().to_numpy(dtype=float)
    return float(np.median(known)) if known.size else None


def _times(finished: pd.DataFrame) -> dict[str, Any]:
    machines = sorted(finished["machine"].unique())
    threads = sorted({int(count) for count in finished["threads"].dropna()})
    # a median over machines or thread counts would rank hardware, not methods
    same = len(machines) == 1 and len(threads) <= 1
    return {
        "fit_seconds": _median(finished["fit_seconds"]) if same else None,
        "threads": threads,
        "machine": machines,
    }


def notes(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the numbers: one sentence each, in order of weight; empty for a plain frame."""
    said: list[str] = []
    kept, superseded = latest(frame)
    if kept.empty:
        return said
    failed = {status: n for status, n in status_counts(kept["status"]).items() if status != "ok"}
    if failed:
        counts = ", ".join(f"{n} {status}" for status, n in failed.items())
        said.append(f"{sum(failed.values())} of {len(kept)} runs did not end ok ({counts}): {POLICY}.")
    if imputed := int(kept["imputed"].sum()):
        said.append(f"{imputed} run{'s' * (imputed > 1)} without a measured error: imputed as 1 (marked *).")
    machines = sorted(kept["machine"].unique())
    if len(machines) > 1:
        legend = "; ".join(f"{letter(i)} = {name}" for i, name in enumerate(machines))
        said.append(f"times come from {len(machines)} machines and must not be compared across them: {legend}.")
    if len({tuple(part) for part in kept[["machine", "threads"]].astype(str).to_numpy()}) > len(machines):
        said.append("runs used different numbers of threads: compare times within one number only.")
    mixed = kept.groupby(["task", "method", "steps", "preset"])["source"].nunique()
    if (mixed > 1).any():
        said.append(
            f"{int((mixed > 1).sum())} rows mix runs of different source versions: rerun them before comparing."
        )
    if superseded:
        said.append(f"{superseded} older runs of the same task, baseline and seed were left out.")
    return said


def letter(index: int) -> str:
    """A, B, .., Z, AA, ..: short names for machines."""
    return (letter(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)


def plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of :func:`summarise` as plain JSON values."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in rows.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or value is pd.NA or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
