"""Paired comparison of two selections of runs on the same tasks and seeds, for ``leakybench compare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leakybench.analysis.scores import CAP, POLICY, keep_intact, latest
from leakybench.errors import UsageError
from leakybench.stats import holm, mcnemar, paired, proportion_interval
from leakybench.stats.paired import MIN_PAIRS

PAIRINGS: dict[str, tuple[str, ...]] = {
    "folders": ("task", "method", "steps", "preset", "seed"),
    "baselines": ("task", "preset", "seed"),
    "steps": ("task", "method", "preset", "seed"),
}
"""What the two runs of a pair share: all but the code (two folders), all but the baseline, or all but the step rule."""
GROUP_COLUMNS = {"task": ["task"], "baseline": ["method", "steps"], "overall": []}
"""``--by``: the columns that tell the groups of a comparison apart."""
ALL = "all"
"""Name of the last row, which holds all pairs."""


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """The effects in one group of pairs; A is the first side, and a number that the pairs do not give is None.

    In a row over several tasks every test error counts as min(test error, 1).

    Attributes:
        group: name of the group, ``all`` in the last row.
        pairs: number of pairs of runs.
        units: number of data sets (task x seed); pairs of several baselines on the same data are averaged and count
            once.
        error_a: test error of A, mean over tasks.
        error_b: test error of B, mean over tasks.
        difference: paired difference A - B, as a share of the targets' variance.
        low: lower end of its 95% interval.
        high: upper end of its 95% interval.
        p_value: p-value of the difference, Holm-corrected over the groups; in the row ``all``, the one primary
            question, it is not corrected.
        verdict: one of ``leakybench.stats.paired.VERDICTS``, for A.
        ratio: geometric mean of A / B; None where an error is 0.
        ratio_low: lower end of its 95% interval.
        ratio_high: upper end of its 95% interval.
        improvement: probability that A has the smaller error.
        improvement_low: lower end of its 95% interval.
        improvement_high: upper end of its 95% interval.
        recovered_a: number of runs of A that recovered the true rank.
        recovered_b: number of runs of B that recovered it.
        recovered_of: number of runs of either side that could recover it.
        recovered_p: p-value of the exact McNemar test over units.
        time_ratio: geometric mean of the fit times A / B, over pairs of one machine and number of threads.
        changed: number of pairs with a run whose record was changed after it was written.
    """

    group: str
    pairs: int
    units: int
    error_a: float | None
    error_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    improvement: float | None = None
    improvement_low: float | None = None
    improvement_high: float | None = None
    recovered_a: int | None = None
    recovered_b: int | None = None
    recovered_of: int | None = None
    recovered_p: float | None = None
    time_ratio: float | None = None
    changed: int = 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The verdicts of a comparison; a difference is first minus second.

    Attributes:
        first: name of the first side, A.
        second: name of the second side, B.
        rows: a row for each group, and the row ``all`` last.
        notes: what a reader must know beside the numbers.
        by: what a group is: ``task``, ``baseline`` or ``overall``.
    """

    first: str
    second: str
    rows: list[ComparisonRow]
    notes: list[str]
    by: str = "task"

    @property
    def overall(self) -> ComparisonRow:
        """The row of all pairs."""
        return self.rows[-1]


def pairs_of(
    first: pd.DataFrame, second: pd.DataFrame, pairing: str, names: Sequence[str] = ("A", "B")
) -> tuple[pd.DataFrame, list[str]]:
    """Pair the runs of two sides that share the columns of ``pairing``.

    Args:
        first: score frame of side A.
        second: score frame of side B.
        pairing: one of ``PAIRINGS``.
        names: names of the two sides, for the sentences.

    Returns:
        The pairs in which both runs count, with the suffixes ``_a`` and ``_b`` on the columns of the sides; and a
        sentence for everything that was left out.

    Raises:
        UsageError: a side holds several baselines where the pairing needs one.
    """
    keys = list(PAIRINGS[pairing])
    sentences = []
    sides = []
    for name, frame in zip(names, (first, second), strict=True):
        runs, superseded = latest(frame)
        if superseded:
            sentences.append(f"{superseded} older runs of {name} were left out.")
        repeated = runs[runs.duplicated(keys, keep=False)]
        if not repeated.empty:
            labels = ", ".join(sorted(repeated["baseline"].astype(str).unique())[:6])
            raise UsageError(f"{name} must be one baseline, got several: {labels}; choose one by its label")
        excluded = int((~runs["counted"]).sum())
        if excluded:
            sentences.append(f"{excluded} runs of {name} ended in error or were interrupted and are left out.")
        sides.append(runs[runs["counted"]])
    together = sides[0].merge(sides[1], on=keys, suffixes=("_a", "_b"), how="inner", validate="1:1")
    alike = ", ".join("baseline" if key == "method" else key for key in keys)
    for name, side in zip(names, sides, strict=True):
        if alone := len(side) - len(together):
            sentences.append(f"{alone} of {len(side)} runs of {name} are left out: no partner of the same {alike}.")
    failures = [int((together[f"status_{s}"] != "ok").sum()) for s in "ab"]
    if any(failures):
        counts = " and ".join(f"{n} of {name}" for n, name in zip(failures, names, strict=True) if n)
        sentences.append(f"runs that did not end ok: {counts}; {POLICY}.")
    return together, sentences


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    pairing: str,
    by: str = "task",
    names: Sequence[str] = ("A", "B"),
    include_changed: bool = False,
) -> Comparison:
    """Compare two sides by paired effects with intervals and verdicts.

    Args:
        first: score frame of side A.
        second: score frame of side B.
        pairing: one of ``PAIRINGS``.
        by: a row for each ``task``, each ``baseline``, or only the ``overall`` one.
        names: names of the two sides.
        include_changed: whether runs count whose records were changed after they were written.

    Raises:
        UsageError: an unknown grouping, or several baselines on a side where the pairing needs one.
    """
    if by not in GROUP_COLUMNS:
        raise UsageError(f"--by must be one of {', '.join(GROUP_COLUMNS)}, got {by!r}")
    (first, left_out_a), (second, left_out_b) = (
        keep_intact(frame, include_changed=include_changed) for frame in (first, second)
    )
    pairs, sentences = pairs_of(first, second, pairing, names)
    sentences = [*left_out_a, *left_out_b, *sentences]
    columns = [name for name in GROUP_COLUMNS[by] if name in pairs]
    groups: list[tuple[str, pd.DataFrame]] = []
    if columns:
        for key, part in pairs.groupby(columns, sort=True):
            groups.append((" ".join(str(item) for item in key if item != "-"), _capped(part)))
    whole = _capped(pairs)
    # each group is tested among its peers; the row of all pairs is a question of its own
    raw = [paired(_paired_differences(part)).p_value for _, part in groups]
    corrected = holm(raw)
    rows = [_comparison_row(name, part, p) for (name, part), p in zip(groups, corrected, strict=True)]
    rows.append(_comparison_row(ALL, whole, None))
    notes = [*sentences, *_notes(pairs, whole, rows[-1], several=bool(groups))]
    return Comparison(first=names[0], second=names[1], rows=rows, notes=notes, by=by)


def _notes(pairs: pd.DataFrame, capped: pd.DataFrame, overall: ComparisonRow, *, several: bool) -> list[str]:
    """What a reader must know of the rows; ``several`` says whether there are rows beside the overall one."""
    sentences = []
    if overall.changed:
        sentences.append(f"{overall.changed} pairs hold a run of a changed record (marked ?): its hash does not fit.")
    if above := int((pairs[["score_a", "score_b"]] > capped[["score_a", "score_b"]]).any(axis=1).sum()):
        sentences.append(
            f"in rows over several tasks an error above 1 counts as 1, as in a score; so it is in {above} pairs."
        )
    if overall.units < overall.pairs:
        sentences.append(
            f"{overall.pairs} pairs lie on {overall.units} data sets (tasks x seeds): the differences of several "
            "baselines on the same data are averaged, and count once."
        )
    if pairs["preset"].nunique() > 1:
        sentences.append("pairs of several presets are pooled: choose one with --preset.")
    if pairs.empty:
        sentences.append("no run of one side has a partner on the other.")
    elif overall.time_ratio is None:
        sentences.append("no pair was timed on one machine with one number of threads: times are not compared.")
    sentences.append(
        "A is better or worse where two paired tests at 5% agree, Student's and one corrected for skewness"
        + (f" (p is Holm's over the rows but '{ALL}')" if several else "")
        + f"; below {MIN_PAIRS} data sets there is no verdict."
    )
    return sentences


DATA = ["task", "preset", "seed"]
"""Columns that decide the data of a run: runs that share them are not independent."""


def _paired_differences(pairs: pd.DataFrame, scale: str = "plain") -> list[np.ndarray]:
    """First minus second, one array (seeds,) a task, averaged over the baselines that share a data set."""
    if scale == "log":
        each = np.log(pairs["score_a"]) - np.log(pairs["score_b"])
    elif scale == "wins":
        each = (pairs["score_a"] < pairs["score_b"]) + 0.5 * (pairs["score_a"] == pairs["score_b"])
    else:
        each = pairs["score_a"] - pairs["score_b"]
    units = each.groupby([pairs[name] for name in DATA], sort=False).mean()
    return [part.to_numpy(dtype=float) for _, part in units.groupby(level="task", sort=False)]


def _capped(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of several tasks with errors of at most 1; those of one task as they are."""
    if pairs["task"].nunique() < 2:
        return pairs
    return pairs.assign(score_a=pairs["score_a"].clip(upper=CAP), score_b=pairs["score_b"].clip(upper=CAP))


def _comparison_row(name: str, pairs: pd.DataFrame, p_value: float | None) -> ComparisonRow:
    """The row of a group; ``p_value`` replaces the test's own, where it is corrected."""
    corrected = None if p_value is None or np.isnan(p_value) else p_value
    result = paired(_paired_differences(pairs), p_value=corrected)
    ratio, ratio_low, ratio_high = _error_ratio(pairs)
    improvement, improvement_low, improvement_high = _improvement(pairs)
    recovered_a, recovered_b, recovered_of, recovered_p = _recovery(pairs)
    return ComparisonRow(
        group=name,
        pairs=len(pairs),
        units=len(pairs[DATA].drop_duplicates()),
        error_a=_mean_over_tasks(pairs, "score_a"),
        error_b=_mean_over_tasks(pairs, "score_b"),
        difference=_finite_or_none(result.effect),
        low=_finite_or_none(result.low),
        high=_finite_or_none(result.high),
        p_value=_finite_or_none(result.p_value),
        verdict=result.verdict,
        ratio=ratio,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
        improvement=improvement,
        improvement_low=improvement_low,
        improvement_high=improvement_high,
        recovered_a=recovered_a,
        recovered_b=recovered_b,
        recovered_of=recovered_of,
        recovered_p=recovered_p,
        time_ratio=_time_ratio(pairs),
        changed=int((_changed(pairs, "a") | _changed(pairs, "b")).sum()),
    )


def _changed(pairs: pd.DataFrame, side: str) -> pd.Series:
    return ~pairs[f"intact_{side}"].fillna(True).astype(bool)


def _error_ratio(pairs: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """Geometric mean of A / B and the ends of its 95% interval; None without pairs and where an error is 0."""
    if pairs.empty or not (pairs[["score_a", "score_b"]] > 0).all(axis=None):
        return None, None, None
    log = paired(_paired_differences(pairs, "log"))
    ratio, low, high = (_finite_or_none(value) for value in np.exp([log.effect, log.low, log.high]))
    return ratio, low, high


def _improvement(pairs: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """Share of units in which A has the smaller error, a tie counting half, and the ends of its 95% interval."""
    if pairs.empty:
        return None, None, None
    wins = np.concatenate(_paired_differences(pairs, "wins"))
    share = proportion_interval(float(wins.sum()), len(wins))
    return share.estimate, share.low, share.high


def _mean_over_tasks(pairs: pd.DataFrame, column: str) -> float | None:
    """Mean over data sets within tasks, averaged over tasks."""
    return float(pairs.groupby(DATA)[column].mean().groupby("task").mean().mean()) if len(pairs) else None


def _recovery(pairs: pd.DataFrame) -> tuple[int | None, int | None, int | None, float | None]:
    """Runs of A and of B that recovered the rank, runs that could, and McNemar's p-value over units."""
    judged = pairs[pairs["recovered_a"].notna() & pairs["recovered_b"].notna()] if len(pairs) else pairs
    if judged.empty:
        return None, None, None, None
    a, b = judged["recovered_a"].astype(bool), judged["recovered_b"].astype(bool)
    ahead = (a.astype(int) - b.astype(int)).groupby([judged[name] for name in DATA]).sum()
    p_value = mcnemar(int((ahead > 0).sum()), int((ahead < 0).sum()))
    return int(a.sum()), int(b.sum()), len(judged), p_value


def _time_ratio(pairs: pd.DataFrame) -> float | None:
    """Geometric mean of the fit times A / B over pairs of one machine and number of threads that both ended ok."""
    if not len(pairs):
        return None
    threads = pairs["threads_a"].fillna(-1) == pairs["threads_b"].fillna(-1)
    same = (pairs["machine_a"] == pairs["machine_b"]) & threads & (pairs["machine_a"] != "unknown")
    ended = (pairs["status_a"] == "ok") & (pairs["status_b"] == "ok")
    timed = pairs[same & ended & (pairs["fit_seconds_a"] > 0) & (pairs["fit_seconds_b"] > 0)]
    if timed.empty:
        return None
    return float(np.exp(np.mean(np.log(timed["fit_seconds_a"] / timed["fit_seconds_b"]))))


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
