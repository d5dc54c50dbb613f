"""The leaderboard: methods ranked over tasks, with intervals, ties shown as ties, and costs in one unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.scores import CAP, POLICY, latest
from leakybench.analysis.summary import notes as table_notes
from leakybench.analysis.summary import summarise
from leakybench.errors import UsageError
from leakybench.specs import natural_key, parse_id
from leakybench.stats import interval, rank_intervals
from leakybench.stats.ranking import Ranks

METHOD = ["method", "steps"]
POLICY_TASKS = (
    "a method is ranked over several tasks where it ran all of them; its score is the mean over tasks of "
    "min(test error, 1)"
)


@dataclass(frozen=True, kw_only=True)
class Board:
    """A leaderboard of one preset.

    Attributes:
        preset: of all its runs.
        overall: a row a method, best first: the columns of :func:`leakybench.analysis.summary.summarise` by baseline, over
            ``tasks`` only, and ``score``, ``score_low``, ``score_high`` (mean over the tasks of min(test error, 1);
            None for a method that did not run them all), ``rank_low``, ``rank_high`` (interval that holds all true
            ranks at once; None for a method that is not ranked), ``tied`` (shares ``rank_low`` with another),
            ``tasks`` (how many of the ranked tasks it ran), ``cost`` (geometric mean over tasks of the median fit
            time, in units of ``cost_unit``), ``pareto`` (no other method is both better and cheaper), ``seeds``,
            ``commits``, ``created`` (first and last day).
        per_task: the same for each task alone, with the column ``task``; the score is the plain test error.
        common: the same as ``overall`` over ``common_tasks``; empty where all methods ran all ranked tasks, or none.
        tasks: that the overall ranking is over: those that at least half of the methods ran.
        common_tasks: those that every method ran.
        confusion: runs by true rank (rows) and measured rank (columns, ``none`` last), ok runs only.
        cost_unit: what ``cost`` counts: fits of the yardstick, or seconds on the one machine; empty where neither is
            possible.
        runs: the score frame behind all of it.
        notes: what a reader must know beside the numbers.
    """

    preset: str
    overall: pd.DataFrame
    per_task: pd.DataFrame
    common: pd.DataFrame
    tasks: list[str]
    common_tasks: list[str]
    confusion: pd.DataFrame
    cost_unit: str
    runs: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def leaderboard(frame: pd.DataFrame, *, yardstick: str | None = None, resamples: int = 2000) -> Board:
    """Rank the methods of a score frame.

    Args:
        frame: of :func:`leakybench.analysis.scores.score_frame`, with the runs of one preset.
        yardstick: id of the baseline whose fit is the unit of cost; None takes one whose name begins with
            ``Yardstick``.
        resamples: of the bootstrap behind the rank intervals.

    Raises:
        UsageError: no runs, or several presets.
    """
    kept, _ = latest(frame)
    if kept.empty:
        raise UsageError("a leaderboard needs at least one run")
    presets = sorted(map(str, kept["preset"].unique()))
    if len(presets) > 1:
        raise UsageError(f"a leaderboard is of one preset, got {', '.join(presets)}: choose with --preset")
    unit = yardstick or _find_yardstick(kept)
    costs, cost_unit, said = _costs(kept, unit)
    shown = kept[kept["baseline_id"] != unit] if unit else kept
    if shown.empty:
        shown = kept
    tasks = _ranked_tasks(shown)
    overall, ranking_notes = _ranked(shown[shown["task"].isin(tasks)], tasks, costs, resamples)
    missing = sorted({tuple(key) for key in shown[METHOD].to_numpy()} - {tuple(k) for k in overall[METHOD].to_numpy()})
    per_task = [
        _ranked(part, [str(task)], costs, resamples)[0].assign(task=task)
        for task, part in sorted(shown.groupby("task"), key=lambda item: natural_key(str(item[0])))
    ]
    common_tasks = _shared_tasks(shown[shown["task"].isin(tasks)])
    common = overall.iloc[:0]
    if (overall["tasks"] < len(tasks)).any() and common_tasks:
        common, _ = _ranked(shown[shown["task"].isin(common_tasks)], common_tasks, costs, resamples)
        ranking_notes.append(f"all methods are ranked over the {len(common_tasks)} tasks that all of them ran.")
    if missing:
        names = ", ".join(" ".join(key) for key in missing)
        ranking_notes.append(f"without a run on any ranked task: {names}.")
    if rare := sorted({str(task) for task in shown["task"]} - set(tasks), key=natural_key):
        ranking_notes.append(f"not ranked over, since fewer than half of the methods ran them: {', '.join(rare)}.")
    remarks = table_notes(kept)
    policies = [f"{POLICY_TASKS}."] * (len(tasks) > 1) + [f"{POLICY}."] * all(POLICY not in note for note in remarks)
    return Board(
        preset=presets[0],
        overall=overall,
        per_task=pd.concat(per_task, ignore_index=True),
        common=common,
        tasks=tasks,
        common_tasks=common_tasks,
        confusion=confusion(shown),
        cost_unit=cost_unit,
        runs=kept,
        notes=[*remarks, *policies, *said, *ranking_notes],
    )


def _find_yardstick(frame: pd.DataFrame) -> str | None:
    found = [id for id in sorted(map(str, frame["baseline_id"].unique())) if parse_id(id)[1].startswith("Yardstick")]
    return found[0] if found else None


def _ranked_tasks(frame: pd.DataFrame) -> list[str]:
    """Tasks that at least half of the methods ran, so that one run on a rare task does not unrank everybody."""
    methods = frame.groupby(METHOD).ngroups
    ran = frame[frame["counted"]].groupby("task").apply(lambda part: part.groupby(METHOD).ngroups)
    common = [str(task) for task, count in ran.items() if 2 * count >= methods]
    return sorted(common or [str(task) for task in frame["task"].unique()], key=natural_key)


def _shared_tasks(frame: pd.DataFrame) -> list[str]:
    """Tasks on which every method has a run that counts."""
    ran = [set(part.loc[part["counted"], "task"].astype(str)) for _, part in frame.groupby(METHOD)]
    return sorted(set.intersection(*ran), key=natural_key)


def _costs(frame: pd.DataFrame, yardstick: str | None) -> tuple[pd.Series, str, list[str]]:
    """Cost of each ok run by index (nan where it has none), its unit, and what to say of it."""
    ok = frame[(frame["status"] == "ok") & (frame["fit_seconds"] > 0)]
    none = pd.Series(np.nan, index=frame.index)
    if yardstick is not None and not (mine := ok[ok["baseline_id"] == yardstick]).empty:
        # the yardstick is timed where the run was: same machine, threads and task
        keys = ["machine", "threads", "task"]
        units = mine.groupby(keys, dropna=False)["fit_seconds"].median().rename("unit").reset_index()
        merged = ok[[*keys, "fit_seconds"]].merge(units, on=keys, how="left").set_axis(ok.index)
        return (
            none.fillna(merged["fit_seconds"] / merged["unit"]),
            f"fits of {yardstick}",
            [f"cost is fit time over the median fit of {yardstick} on the same machine, threads and task."],
        )
    places = ok[["machine", "threads"]].astype(str).drop_duplicates()
    if len(places) == 1:
        return (
            none.fillna(ok["fit_seconds"]),
            "seconds",
            ["cost is the median fit time on the one machine, in seconds."],
        )
    return none, "", ["runs come from several machines or thread counts without a yardstick: costs are not compared."]


def _ranked(
    frame: pd.DataFrame, tasks: Sequence[str], costs: pd.Series, resamples: int
) -> tuple[pd.DataFrame, list[str]]:
    """One row a method, best first, for the given tasks."""
    rows: list[dict[Any, Any]] = summarise(frame, "baseline").to_dict("records")
    said = []
    if len(tasks) > 1:
        above = frame[frame["counted"] & (frame["score"] > 1.05 * CAP)]
        if len(above):
            counts = above["task"].value_counts().sort_index(key=lambda names: names.map(natural_key))
            listed = ", ".join(f"{task} {n}" for task, n in counts.items())
            said.append(f"{len(above)} runs have a test error above 1.05 and count as 1 in a score ({listed}).")
        frame = frame.assign(score=frame["score"].clip(upper=CAP))
    by_method = {tuple(key): part for key, part in frame.groupby(METHOD)}
    for row in rows:
        part = by_method[row["method"], row["steps"]]
        row["tasks"] = int(part[part["counted"]]["task"].nunique())
        medians = costs.reindex(part.index).groupby(part["task"]).median()
        complete = medians.notna().sum() == len(tasks)
        row["cost"] = float(np.exp(np.log(medians).mean())) if complete else None
        row |= {"rank_low": None, "rank_high": None, "tied": False, **_score(part, len(tasks)), **_origin(part)}
    complete_rows = [row for row in rows if row["tasks"] == len(tasks)]
    if len(complete_rows) < len(rows):
        lacking = len(rows) - len(complete_rows)
        said.append(
            f"{lacking} of {len(rows)} methods did not run all {len(tasks)} ranked tasks: not ranked over them."
        )
    ranks, used = _intervals([by_method[row["method"], row["steps"]] for row in complete_rows], tasks, resamples)
    if ranks is None and complete_rows:
        said.append("ranks need at least two seeds that all ranked methods have, on every task: none are given.")
    if ranks is not None:
        alone = sum(by_method[row["method"], row["steps"]]["counted"].sum() for row in complete_rows) - used
        if alone:
            said.append(
                f"ranks compare the seeds that all ranked methods have; {alone} runs of other seeds are left out."
            )
        for i, row in enumerate(complete_rows):
            row |= {"rank_low": int(ranks.best[i]), "rank_high": int(ranks.worst[i])}
            row["tied"] = int(np.sum(ranks.best == ranks.best[i])) > 1
    _mark_pareto(rows)
    rows.sort(key=_order)
    columns = list(rows[0])
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in columns}), said


def _score(part: pd.DataFrame, tasks: int) -> dict[str, float | None]:
    """The mean over tasks of the mean score of a method, with its interval; None where it did not run them all."""
    counted = part[part["counted"]]
    strata = [group["score"].to_numpy() for _, group in counted.groupby("task")]
    if len(strata) < tasks or not strata:
        return {"score": None, "score_low": None, "score_high": None}
    found = interval(strata, "mean")
    low, high = (max(found.low, 0.0), found.high) if found.known else (None, None)
    return {"score": found.estimate, "score_low": low, "score_high": high}


def _origin(part: pd.DataFrame) -> dict[str, Any]:
    """Where the runs of a row come from."""
    days = sorted(str(created)[:10] for created in part["created"] if created)
    return {
        "seeds": sorted(int(seed) for seed in part["seed"].unique()),
        "commits": sorted({str(commit) for commit in part["commit"] if commit}),
        "created": [days[0], days[-1]] if days else [],
    }


def _order(row: dict[Any, Any]) -> tuple[Any, ...]:
    """Ranked methods first, by rank and then by error; within a tie the order says nothing."""
    error = row["score"]
    return (
        row["rank_low"] is None,
        row["tasks"] * -1,
        row["rank_low"] or 0,
        float("inf") if error is None else error,
        natural_key(str(row["method"])),
        str(row["steps"]),
    )


def _intervals(methods: Sequence[pd.DataFrame], tasks: Sequence[str], resamples: int) -> tuple[Ranks | None, int]:
    """Rank intervals from the seeds that all methods have, and how many runs those are; None where a task has fewer
    than two."""
    tables = []
    for task in tasks:
        columns = [part[(part["task"] == task) & part["counted"]].set_index("seed")["score"] for part in methods]
        table = pd.concat(columns, axis=1, join="inner") if columns else pd.DataFrame()
        if len(table) < 2:
            return None, 0
        tables.append(table.to_numpy(dtype=float))
    return rank_intervals(tables, resamples=resamples) if tables else None, sum(table.size for table in tables)


def _mark_pareto(rows: list[dict[Any, Any]]) -> None:
    placed = [row for row in rows if row["cost"] is not None and row["score"] is not None]
    for row in rows:
        row["pareto"] = any(row is other for other in placed) and not any(
            other["cost"] <= row["cost"]
            and other["score"] <= row["score"]
            and (other["cost"], other["score"]) != (row["cost"], row["score"])
            for other in placed
        )


def confusion(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts of ok runs by true rank (rows) and measured rank (columns, ``none`` last); methods that never measure
    are left out."""
    measured = frame.groupby(METHOD)["bottleneck_rank"].transform(lambda ranks: ranks.notna().any()).astype(bool)
    judged = frame[(frame["status"] == "ok") & frame["true_rank"].notna() & measured]
    found = judged["bottleneck_rank"].astype(object).where(judged["bottleneck_rank"].notna(), "none")
    table = pd.crosstab(judged["true_rank"].astype(int), found)
    order = sorted((c for c in table.columns if c != "none"), key=int) + [c for c in table.columns if c == "none"]
    table = table[order]
    table.columns = pd.Index([str(c) for c in table.columns], name="measured")
    return table.rename_axis(index="true")
