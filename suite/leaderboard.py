"""The leaderboard: methods ranked over tasks, with intervals, ties shown as ties, and costs in one unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from suite.errors import UsageError
from suite.registration import parse_id
from suite.report.summary import notes as table_notes
from suite.report.summary import summarise
from suite.report.text import natural_key
from suite.scores import latest
from suite.stats import rank_intervals
from suite.stats.ranking import Ranks

METHOD = ["method", "steps"]


@dataclass(frozen=True, kw_only=True)
class Board:
    """A leaderboard of one preset.

    Attributes:
        preset: of all its runs.
        overall: a row a method, best first: the columns of :func:`suite.report.summary.summarise` by baseline, over
            ``tasks`` only, and ``rank_low``, ``rank_high`` (interval that holds all true ranks at once; None for a
            method that is not ranked), ``tied`` (shares ``rank_low`` with another), ``tasks`` (how many of the
            ranked tasks it ran), ``cost`` (geometric mean over tasks of the median fit time, in units of
            ``cost_unit``), ``pareto`` (no other method is both better and cheaper).
        per_task: the same for each task alone, with the column ``task``.
        tasks: that the overall ranking is over.
        confusion: runs by true rank (rows) and measured rank (columns, ``none`` last), ok runs only.
        cost_unit: what ``cost`` counts: fits of the yardstick, or seconds on the one machine; empty where neither is
            possible.
        runs: the score frame behind all of it.
        notes: what a reader must know beside the numbers.
    """

    preset: str
    overall: pd.DataFrame
    per_task: pd.DataFrame
    tasks: list[str]
    confusion: pd.DataFrame
    cost_unit: str
    runs: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def leaderboard(frame: pd.DataFrame, *, yardstick: str | None = None, resamples: int = 2000) -> Board:
    """Rank the methods of a score frame.

    Args:
        frame: of :func:`suite.scores.score_frame`, with the runs of one preset.
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
    tasks = _common_tasks(shown)
    overall, ranking_notes = _ranked(shown[shown["task"].isin(tasks)], tasks, costs, resamples)
    missing = sorted({tuple(key) for key in shown[METHOD].to_numpy()} - {tuple(k) for k in overall[METHOD].to_numpy()})
    per_task = [
        _ranked(part, [str(task)], costs, resamples)[0].assign(task=task)
        for task, part in sorted(shown.groupby("task"), key=lambda item: natural_key(str(item[0])))
    ]
    if missing:
        names = ", ".join(" ".join(key) for key in missing)
        ranking_notes.append(f"without a run on any ranked task: {names}.")
    return Board(
        preset=presets[0],
        overall=overall,
        per_task=pd.concat(per_task, ignore_index=True),
        tasks=tasks,
        confusion=confusion(shown),
        cost_unit=cost_unit,
        runs=kept,
        notes=[*table_notes(kept), *said, *ranking_notes],
    )


def _find_yardstick(frame: pd.DataFrame) -> str | None:
    found = [id for id in sorted(map(str, frame["baseline_id"].unique())) if parse_id(id)[1].startswith("Yardstick")]
    return found[0] if found else None


def _common_tasks(frame: pd.DataFrame) -> list[str]:
    """Tasks that at least half of the methods ran, so that one run on a rare task does not unrank everybody."""
    methods = frame.groupby(METHOD).ngroups
    ran = frame[frame["counted"]].groupby("task").apply(lambda part: part.groupby(METHOD).ngroups)
    common = [str(task) for task, count in ran.items() if 2 * count >= methods]
    return sorted(common or [str(task) for task in frame["task"].unique()], key=natural_key)


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
    by_method = {tuple(key): part for key, part in frame.groupby(METHOD)}
    for row in rows:
        part = by_method[row["method"], row["steps"]]
        row["tasks"] = int(part[part["counted"]]["task"].nunique())
        medians = costs.reindex(part.index).groupby(part["task"]).median()
        complete = medians.notna().sum() == len(tasks)
        row["cost"] = float(np.exp(np.log(medians).mean())) if complete else None
        row |= {"rank_low": None, "rank_high": None, "tied": False}
    complete_rows = [row for row in rows if row["tasks"] == len(tasks)]
    said = []
    if len(complete_rows) < len(rows):
        said.append(f"{len(rows) - len(complete_rows)} methods did not run all {len(tasks)} ranked tasks: not ranked.")
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


def _order(row: dict[Any, Any]) -> tuple[Any, ...]:
    """Ranked methods first, by rank and then by error; within a tie the order says nothing."""
    error = row["test_error"]
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
    placed = [row for row in rows if row["cost"] is not None and row["test_error"] is not None]
    for row in rows:
        row["pareto"] = row in placed and not any(
            other["cost"] <= row["cost"]
            and other["test_error"] <= row["test_error"]
            and (other["cost"], other["test_error"]) != (row["cost"], row["test_error"])
            for other in placed
            if other["tasks"] >= row["tasks"]
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
