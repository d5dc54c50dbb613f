"""One row of statistics for each task and baseline: the numbers of every table, page and leaderboard."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.scores import MAX_ERROR, POLICY, changed, changed_runs, latest, status_counts
from leakybench.errors import UsageError
from leakybench.specs import natural_key
from leakybench.stats import interval, proportion_interval

GROUPINGS: dict[str, tuple[str, ...]] = {
    "cell": ("task", "method", "steps"),
    "baseline": ("method", "steps"),
    "task": ("task",),
}
"""``--by``: a row for each task and baseline, for each baseline over its tasks, or for each task over its baselines."""

CONVERGED = 0.15
"""Largest criticality residual of a run that converged, and largest median of a row that is not marked."""
CONVERGENCE_NOTE = (
    f"! marks a median criticality above {CONVERGED:g}: training ended away from a critical point, and the errors are "
    "those of an early stop; in brackets the runs above it, of those that report one."
)


@dataclass(frozen=True, kw_only=True)
class RunStatistics:
    """The statistics of a group of runs; a number that the runs do not give is None.

    Over several tasks, statistics are taken within tasks and averaged with equal weight.

    Attributes:
        test_error: mean test error over seeds, as a share of the targets' variance.
        test_error_low: lower end of its 95% interval, at least 0.
        test_error_high: upper end of its 95% interval.
        rank: most frequent bottleneck rank of the runs that ended ok; of several, the smallest.
        rank_min: smallest rank of these runs.
        rank_max: largest rank of these runs.
        rank_counts: number of these runs by rank.
        true_rank: true rank; None where it is unknown or differs between the tasks.
        recovered: number of runs that recovered the true rank; None for a method that measures no rank.
        recovered_of: number of runs that could have recovered it.
        recovered_low: lower end of the 95% interval of the share ``recovered / recovered_of``.
        recovered_high: upper end of that interval.
        alignment: mean code alignment: 1 the model moves with the directions that matter, 0 chance. A failed run
            counts as chance (see ``leakybench.analysis.scores``). None where no task defines it.
        alignment_low: lower end of its 95% interval.
        alignment_high: upper end of its 95% interval, at most 1.
        aligned_tasks: number of tasks on which these runs have a code alignment.
        leak: mean share of the squared Jacobian outside the code, over the runs that measure it; None without any.
        criticality: median criticality residual (relative) of the runs that ended ok.
        converged: number of these runs whose residual is at most ``CONVERGED``; None where none reports a residual.
        converged_of: number of these runs that report a residual.
        fit_seconds: median fit time of the runs that ended ok; None where their machines or threads differ.
        threads: numbers of threads of these runs, sorted.
        machine: machines of these runs, sorted.
        device: devices of these runs, sorted: ``cpu``, or ``cuda: <name of the card>``.
        runs: number of runs.
        counted: number of runs that enter the statistics.
        imputed: number of runs whose error was imputed as 1.
        changed: number of runs whose records were changed after they were written: their hashes do not fit.
        status: number of runs by status.
        sources: source versions of the runs, sorted.
    """

    test_error: float | None
    test_error_low: float | None
    test_error_high: float | None
    rank: int | None
    rank_min: int | None
    rank_max: int | None
    rank_counts: dict[int, int]
    true_rank: int | None
    recovered: int | None
    recovered_of: int | None
    recovered_low: float | None
    recovered_high: float | None
    alignment: float | None
    alignment_low: float | None
    alignment_high: float | None
    aligned_tasks: int
    leak: float | None
    criticality: float | None
    converged: int | None
    converged_of: int | None
    fit_seconds: float | None
    threads: list[int]
    machine: list[str]
    device: list[str]
    runs: int
    counted: int
    imputed: int
    changed: int
    status: dict[str, int]
    sources: list[str]

    @property
    def missed(self) -> int | None:
        """Number of runs that did not recover the true rank, of ``recovered_of``."""
        return None if self.recovered is None or self.recovered_of is None else self.recovered_of - self.recovered

    @property
    def has_converged(self) -> bool | None:
        """Whether the median residual is at most ``CONVERGED``; None where no run reports one."""
        return None if self.criticality is None else self.criticality <= CONVERGED

    def to_dict(self) -> dict[str, Any]:
        """The statistics as plain JSON values; ``device`` only where a run was not computed on the CPU."""
        values = dataclasses.asdict(self)
        if set(self.device) <= {"cpu"}:
            del values["device"]
        return values


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """A row of the summary table: a group of runs and its statistics.

    Attributes:
        task: label of the task; None in a row over several tasks.
        method: label of the baseline without its step rule; None in a row over several baselines.
        steps: step rule, ``-`` for a baseline without layers; None in a row over several baselines.
        preset: preset of all runs.
        statistics: statistics of the runs.
    """

    task: str | None = None
    method: str | None = None
    steps: str | None = None
    preset: str
    statistics: RunStatistics

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON values: the columns of its grouping, the preset, then the statistics."""
        group = {"task": self.task, "method": self.method, "steps": self.steps}
        named = {name: value for name, value in group.items() if value is not None}
        return named | {"preset": self.preset} | self.statistics.to_dict()


def summarise(frame: pd.DataFrame, by: str = "cell") -> list[SummaryRow]:
    """Summarise runs: one row for each group and preset, in natural order of the labels.

    Args:
        frame: runs, of ``leakybench.analysis.scores.score_frame``. Superseded runs are dropped first
            (``leakybench.analysis.scores.latest``).
        by: one of ``GROUPINGS``.

    Raises:
        UsageError: an unknown grouping.
    """
    if by not in GROUPINGS:
        raise UsageError(f"--by must be one of {', '.join(GROUPINGS)}, got {by!r}")
    names = [*GROUPINGS[by], "preset"]
    frame, _ = latest(frame)
    groups = list(frame.groupby(names, sort=False))
    groups.sort(key=lambda item: [natural_key(str(part)) for part in item[0]])
    return [
        SummaryRow(**dict(zip(names, map(str, values), strict=True)), statistics=run_statistics(group))
        for values, group in groups
    ]


def run_statistics(group: pd.DataFrame) -> RunStatistics:
    """The statistics of runs of one preset, of one task and baseline or of several."""
    counted = group[group["counted"]]
    finished = group[group["status"] == "ok"]
    ranks = [int(rank) for rank in finished["bottleneck_rank"].dropna()]
    rank_counts = dict(sorted(Counter(ranks).items()))
    error, error_low, error_high = _mean_error(counted)
    aligned = counted[counted["alignment"].notna()]
    alignment, alignment_low, alignment_high = _mean_alignment(aligned)
    # a method that measures no rank (ridge) is not judged; one whose runs all collapsed recovered none
    measures_rank = bool(ranks) or finished.empty
    recovered, recovered_of, recovered_low, recovered_high = _recovery(counted) if measures_rank else (None,) * 4
    residuals = finished["criticality"].dropna()
    machines = sorted(finished["machine"].unique())
    threads = sorted({int(count) for count in finished["threads"].dropna()})
    # a median over machines or thread counts would rank hardware, not methods
    one_place = len(machines) == 1 and len(threads) <= 1
    return RunStatistics(
        test_error=error,
        test_error_low=error_low,
        test_error_high=error_high,
        rank=max(rank_counts, key=lambda rank: (rank_counts[rank], -rank)) if rank_counts else None,
        rank_min=min(ranks, default=None),
        rank_max=max(ranks, default=None),
        rank_counts=rank_counts,
        true_rank=_common_true_rank(group),
        recovered=recovered,
        recovered_of=recovered_of,
        recovered_low=recovered_low,
        recovered_high=recovered_high,
        alignment=alignment,
        alignment_low=alignment_low,
        alignment_high=alignment_high,
        aligned_tasks=int(aligned["task"].nunique()),
        leak=_mean_leak(counted),
        criticality=_median(finished["criticality"]),
        converged=int((residuals <= CONVERGED).sum()) if len(residuals) else None,
        converged_of=len(residuals) or None,
        fit_seconds=_median(finished["fit_seconds"]) if one_place else None,
        threads=threads,
        machine=machines,
        device=sorted(map(str, finished["device"].unique())),
        runs=len(group),
        counted=len(counted),
        imputed=int(group["imputed"].sum()),
        changed=int(changed(group).sum()),
        status=status_counts(group["status"]),
        sources=sorted(group["source"].unique()),
    )


def mean_score(counted: pd.DataFrame) -> tuple[float, float | None, float | None]:
    """The mean score within tasks, averaged over tasks, and the ends of its 95% interval (None without one).

    Errors are not negative, so neither is the lower end: a wide interval at few seeds would otherwise reach below 0.

    Args:
        counted: at least one run that counts.
    """
    estimate, low, high = _mean_with_interval(counted, "score")
    return estimate, None if low is None else max(low, 0.0), high


def _mean_with_interval(runs: pd.DataFrame, column: str) -> tuple[float, float | None, float | None]:
    """The mean of a column within tasks, averaged over tasks, and the ends of its 95% interval."""
    result = interval([part[column].to_numpy() for _, part in runs.groupby("task")], "mean")
    return (result.estimate, result.low, result.high) if result.known else (result.estimate, None, None)


def _mean_error(counted: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if counted.empty else mean_score(counted)


def _mean_alignment(aligned: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """The mean code alignment and the ends of its interval, of which no alignment lies above 1."""
    if aligned.empty:
        return None, None, None
    estimate, low, high = _mean_with_interval(aligned, "alignment")
    return estimate, low, None if high is None else min(high, 1.0)


def _mean_leak(counted: pd.DataFrame) -> float | None:
    """The mean leak within tasks, averaged over the tasks that have one; values outside [0, 1] are no leak."""
    shares = counted["code_leak"].where(counted["code_leak"].between(0, 1 + 1e-9))
    means = shares.groupby(counted["task"]).mean().dropna()
    return float(means.mean()) if len(means) else None


def _common_true_rank(group: pd.DataFrame) -> int | None:
    """The true rank, where all runs have the same one."""
    ranks = group["true_rank"].dropna().unique()
    return int(ranks[0]) if len(ranks) == 1 and group["true_rank"].notna().all() else None


def _recovery(counted: pd.DataFrame) -> tuple[int | None, int | None, float | None, float | None]:
    """Runs that recovered the true rank, runs that could, and the ends of the share's 95% interval."""
    judged = counted[counted["true_rank"].notna()]
    if judged.empty:
        return None, None, None, None
    recovered = int(judged["recovered"].fillna(False).sum())
    share = proportion_interval(recovered, len(judged))
    return recovered, len(judged), share.low, share.high


def _median(values: pd.Series) -> float | None:
    known = values.dropna().to_numpy(dtype=float)
    return float(np.median(known)) if known.size else None


def notes(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the numbers: one sentence each, most important first; empty where nothing."""
    sentences: list[str] = []
    runs, superseded = latest(frame)
    if runs.empty:
        return sentences
    if changed(runs).any():
        sentences.append(f"{changed_runs(runs)} (marked ?): the hash of a record does not fit its content.")
    if impossible := int((runs["test_error"] < 0).sum()):
        sentences.append(f"{impossible} of {len(runs)} runs have a test error below 0: left out of all statistics.")
    if huge := int((runs["test_error"] > MAX_ERROR).sum()):
        sentences.append(f"{huge} of {len(runs)} runs have a test error above {MAX_ERROR:g}, which counts as that.")
    failed = {status: n for status, n in status_counts(runs["status"]).items() if status != "ok"}
    if failed:
        counts = ", ".join(f"{n} {status}" for status, n in failed.items())
        sentences.append(f"{sum(failed.values())} of {len(runs)} runs did not end ok ({counts}): {POLICY}.")
    if imputed := int(runs["imputed"].sum()):
        sentences.append(f"{imputed} run{'s' * (imputed > 1)} without a measured error: imputed as 1 (marked *).")
    for device, count in sorted(runs["device"].value_counts().items()):
        if device != "cpu":
            sentences.append(f"{count} of {len(runs)} runs were computed on {device}.")
    machines = sorted(runs["machine"].unique())
    if len(machines) > 1:
        legend = "; ".join(f"{letter} = {name}" for name, letter in machine_letters(runs).items())
        sentences.append(f"times come from {len(machines)} machines and must not be compared across them: {legend}.")
    if len({tuple(part) for part in runs[["machine", "threads"]].astype(str).to_numpy()}) > len(machines):
        sentences.append("runs used different numbers of threads: compare times within one number only.")
    versions = runs.groupby(["task", "method", "steps", "preset"])["source"].nunique()
    if (versions > 1).any():
        mixed = int((versions > 1).sum())
        sentences.append(f"{mixed} rows mix runs of different source versions: rerun them before comparing.")
    if superseded:
        sentences.append(f"{superseded} older runs of the same task, baseline and seed were left out.")
    return sentences


def convergence_notes(rows: Iterable[RunStatistics]) -> list[str]:
    """What the mark and the counts of runs that did not converge mean; empty where every run of the rows converged."""
    late = [row for row in rows if row.converged is not None and row.converged != row.converged_of]
    return [CONVERGENCE_NOTE] if late else []


def machine_letters(frame: pd.DataFrame) -> dict[str, str]:
    """Short names for the machines of a score frame, in sorted order: ``{machine: "A"}``."""
    return {machine: _letter(index) for index, machine in enumerate(sorted(frame["machine"].unique()))}


def _letter(index: int) -> str:
    """A, B, .., Z, AA, .."""
    return (_letter(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)
