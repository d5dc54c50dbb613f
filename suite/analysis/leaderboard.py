"""The leaderboard: methods ranked over tasks, with intervals, ties shown as ties, and costs in one unit."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.efficiency import Efficiency
from leakybench.analysis.overall import MIN_SEEDS, POLICY_TASKS, Order, other_orders, shared_rank_intervals
from leakybench.analysis.scope import describe_scope
from leakybench.analysis.scores import CAP, POLICY, keep_intact, latest
from leakybench.analysis.summary import RunStatistics, convergence_notes, mean_score, run_statistics
from leakybench.analysis.summary import notes as table_notes
from leakybench.errors import UsageError
from leakybench.specs import natural_key, parse_id

METHOD = ["method", "steps"]


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """A method in a table of the leaderboard.

    Attributes:
        method: label of the baseline without its step rule.
        steps: step rule, ``-`` for a baseline without layers.
        preset: preset of all runs.
        statistics: statistics of its runs on the tasks of the table.
        tasks: number of the table's tasks on which it has a run that counts.
        cost: geometric mean over tasks of the median fit time, in units of ``Board.cost_unit``; None where a task has
            no timed run, or where the runs come from several devices.
        rank_low: lower end of the interval that holds all true ranks at once; None for a method that is not ranked.
        rank_high: upper end of that interval.
        tied: whether another method has the same ``rank_low``.
        score: mean over tasks of min(test error, 1), or the plain mean test error in a table of one task; None where it
            did not run all tasks.
        score_low: lower end of the 95% interval of the score, at least 0.
        score_high: upper end of that interval.
        seeds: seeds of its runs, sorted.
        commits: commits of the code that made its runs, sorted.
        created: first and last day on which its runs were made; empty where unknown.
        pareto: whether no other method of the same device is both better and cheaper.
        task: the task of a table of one task, None in the tables over several.
        samples: sample efficiency over the families of ladders, None without ladders and in tables of one task.
    """

    method: str
    steps: str
    preset: str
    statistics: RunStatistics
    tasks: int
    cost: float | None
    rank_low: int | None = None
    rank_high: int | None = None
    tied: bool = False
    score: float | None
    score_low: float | None
    score_high: float | None
    seeds: list[int]
    commits: list[str]
    created: list[str]
    pareto: bool = False
    task: str | None = None
    samples: Efficiency | None = None

    @property
    def device(self) -> str:
        """The device of its runs that ended ok; several, joined, give no cost."""
        return " and ".join(self.statistics.device)

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON values, statistics and row on one level; ``task`` and ``samples`` where it has them."""
        content: dict[str, Any] = {}
        for name, value in dataclasses.asdict(self).items():
            content |= self.statistics.to_dict() if name == "statistics" else {name: value}
        return {name: value for name, value in content.items() if value is not None or name not in ("task", "samples")}


@dataclass(frozen=True, kw_only=True)
class Board:
    """A leaderboard of one preset.

    Attributes:
        preset: preset of all runs.
        overall: a row for each method over ``tasks``, best first.
        per_task: a row for each task and method, task by task, best first within a task.
        common: a row for each method over ``common_tasks``; empty where all methods ran all ranked tasks, or where no
            task was run by all methods.
        tasks: tasks of the overall ranking: those that at least half of the methods ran.
        common_tasks: tasks that every method ran.
        confusion: number of ok runs by true and measured rank, ``{true: {measured: runs}}``, see ``confusion``.
        cost_unit: unit of ``cost``: fits of the yardstick, or seconds on the one machine; empty where costs cannot be
            compared.
        scope: what the board shows and what it does not, in two sentences.
        orders: order of the methods under other overall scores; empty for a single task or method.
        runs: score frame of all runs.
        notes: what a reader must know beside the numbers.
    """

    preset: str
    overall: list[BoardRow]
    per_task: list[BoardRow]
    common: list[BoardRow]
    tasks: list[str]
    common_tasks: list[str]
    confusion: dict[int, dict[str, int]]
    cost_unit: str
    scope: str
    orders: list[Order]
    runs: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    @property
    def cost_devices(self) -> list[str]:
        """Devices of the costs, sorted. Each is a scale of its own: costs of two are never set against each other."""
        rows = (*self.overall, *self.per_task, *self.common)
        return sorted({row.device for row in rows if row.cost is not None})


def leaderboard(
    frame: pd.DataFrame, *, yardstick: str | None = None, resamples: int = 2000, include_changed: bool = False
) -> Board:
    """Rank the methods of a score frame.

    Args:
        frame: runs of one preset, of ``leakybench.analysis.scores.score_frame``.
        yardstick: id of the baseline whose fit is the unit of cost; None takes one whose name begins with
            ``Yardstick``.
        resamples: number of bootstrap resamples behind the rank intervals.
        include_changed: whether runs count whose records were changed after they were written.

    Raises:
        UsageError: no runs, or several presets.
    """
    frame, left_out = keep_intact(frame, include_changed=include_changed)
    runs, _ = latest(frame)
    if runs.empty:
        raise UsageError("a leaderboard needs at least one run")
    presets = sorted(map(str, runs["preset"].unique()))
    if len(presets) > 1:
        raise UsageError(f"a leaderboard is of one preset, got {', '.join(presets)}: choose with --preset")
    unit = yardstick or find_yardstick(runs)
    costs, cost_unit, cost_note = _costs(runs, unit)
    shown = runs[runs["baseline_id"] != unit] if unit else runs
    if shown.empty:
        shown = runs
    tasks = _ranked_tasks(shown)
    overall, ranking_notes = _ranked(shown[shown["task"].isin(tasks)], tasks, costs, resamples)
    per_task = [
        dataclasses.replace(row, task=str(task))
        for task, part in sorted(shown.groupby("task"), key=lambda item: natural_key(str(item[0])))
        for row in _ranked(part, [str(task)], costs, resamples)[0]
    ]
    common_tasks = _shared_tasks(shown[shown["task"].isin(tasks)])
    common: list[BoardRow] = []
    if any(row.tasks < len(tasks) for row in overall) and common_tasks:
        common, _ = _ranked(shown[shown["task"].isin(common_tasks)], common_tasks, costs, resamples)
        ranking_notes.append(f"all methods are ranked over the {len(common_tasks)} tasks that all of them ran.")
    ranking_notes += [*_notes_of_absence(shown, overall, tasks), *_notes_of_places(overall, per_task)]
    ranking_notes += convergence_notes(row.statistics for row in (*overall, *per_task))
    remarks = table_notes(runs)
    policies = [f"{POLICY_TASKS}."] * (len(tasks) > 1) + [f"{POLICY}."] * all(POLICY not in note for note in remarks)
    board = Board(
        preset=presets[0],
        overall=overall,
        per_task=per_task,
        common=common,
        tasks=tasks,
        common_tasks=common_tasks,
        confusion=confusion(shown),
        cost_unit=cost_unit,
        scope=describe_scope(shown, len(overall), tasks, presets[0]),
        orders=other_orders(_mean_errors(shown, overall, tasks)),
        runs=runs,
        notes=[*left_out, *remarks, *policies, cost_note, *ranking_notes],
    )
    if len(board.cost_devices) > 1:
        board.notes.append("costs of different devices are never ranked together: each device has a column of its own.")
    return board


def find_yardstick(frame: pd.DataFrame) -> str | None:
    """Return the id of the baseline whose name begins with ``Yardstick``; None without one."""
    ids = sorted(map(str, frame["baseline_id"].unique()))
    return next((id for id in ids if parse_id(id)[1].startswith("Yardstick")), None)


def _ranked_tasks(frame: pd.DataFrame) -> list[str]:
    """Tasks that at least half of the methods ran, so that one run on a rare task does not unrank everybody."""
    methods = frame.groupby(METHOD).ngroups
    ran = {task: part.groupby(METHOD).ngroups for task, part in frame[frame["counted"]].groupby("task")}
    common = [str(task) for task, count in ran.items() if 2 * count >= methods]
    return sorted(common or [str(task) for task in frame["task"].unique()], key=natural_key)


def _shared_tasks(frame: pd.DataFrame) -> list[str]:
    """Tasks on which every method has a run that counts."""
    ran = [set(part.loc[part["counted"], "task"].astype(str)) for _, part in frame.groupby(METHOD)]
    return sorted(set.intersection(*ran), key=natural_key)


def _notes_of_absence(shown: pd.DataFrame, overall: Sequence[BoardRow], tasks: Sequence[str]) -> list[str]:
    """Sentences about the methods and the tasks that the overall ranking leaves out."""
    sentences = []
    missing = {tuple(key) for key in shown[METHOD].to_numpy()} - {(row.method, row.steps) for row in overall}
    if missing:
        names = ", ".join(" ".join(key) for key in sorted(missing))
        sentences.append(f"without a run on any ranked task: {names}.")
    if rare := sorted({str(task) for task in shown["task"]} - set(tasks), key=natural_key):
        sentences.append(f"not ranked over, since fewer than half of the methods ran them: {', '.join(rare)}.")
    return sentences


def _notes_of_places(overall: Sequence[BoardRow], per_task: Sequence[BoardRow]) -> list[str]:
    """A sentence about the tasks without places, where the overall table has them."""
    placed = {row.task for row in per_task if row.rank_low is not None}
    without = sorted({str(row.task) for row in per_task} - placed, key=natural_key)
    if not without or all(row.rank_low is None for row in overall):
        return []
    return [f"no places on {', '.join(without)}: fewer than {MIN_SEEDS} seeds that all its methods have."]


def _costs(frame: pd.DataFrame, yardstick: str | None) -> tuple[pd.Series, str, str]:
    """Cost of each ok run by index (nan where it has none), the unit of cost, and a sentence that defines it."""
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
            f"cost is fit time over the median fit of {yardstick} on the same machine, threads and task.",
        )
    places = ok[["machine", "threads"]].astype(str).drop_duplicates()
    if len(places) == 1:
        return (
            none.fillna(ok["fit_seconds"]),
            "seconds",
            "cost is the median fit time on the one machine, in seconds.",
        )
    return none, "", "runs come from several machines or thread counts without a yardstick: costs are not compared."


def _ranked(
    frame: pd.DataFrame, tasks: Sequence[str], costs: pd.Series, resamples: int
) -> tuple[list[BoardRow], list[str]]:
    """One row for each method, best first, for the given tasks; and what a reader must know of the ranking."""
    sentences = []
    capped = frame
    if len(tasks) > 1:
        capped = frame.assign(score=frame["score"].clip(upper=CAP))
        above = frame[frame["counted"] & (frame["score"] > 1.05 * CAP)]
        if len(above):
            counts = Counter(map(str, above["task"]))
            listed = ", ".join(f"{task} {counts[task]}" for task in sorted(counts, key=natural_key))
            sentences.append(f"{len(above)} runs have a test error above 1.05 and count as 1 in a score ({listed}).")
    parts = {(str(method), str(steps)): part for (method, steps), part in capped.groupby(METHOD)}
    groups = sorted(frame.groupby(METHOD), key=lambda item: [natural_key(str(part)) for part in item[0]])
    rows = [
        _unranked_row(run_statistics(part), parts[str(method), str(steps)], len(tasks), costs)
        for (method, steps), part in groups
    ]
    rows, ranking_notes = _with_ranks(rows, parts, tasks, resamples)
    rows = [dataclasses.replace(row, pareto=_on_front(row, rows)) for row in rows]
    return sorted(rows, key=_best_first), sentences + ranking_notes


def _unranked_row(statistics: RunStatistics, part: pd.DataFrame, tasks: int, costs: pd.Series) -> BoardRow:
    """The row of a method before methods are compared.

    Args:
        statistics: of its runs, by their plain test errors.
        part: its runs, scores capped where several tasks share the table.
        tasks: number of tasks of the table.
        costs: cost of each run by index.
    """
    counted = part[part["counted"]]
    ran = int(counted["task"].nunique())
    score, score_low, score_high = mean_score(counted) if ran == tasks else (None, None, None)
    medians = costs.reindex(part.index).groupby(part["task"]).median()
    # a cost is a number of one device: a mean over several would count how often each was used
    complete = medians.notna().sum() == tasks and len(statistics.device) == 1
    days = sorted(str(created)[:10] for created in part["created"] if created)
    first = part.iloc[0]
    return BoardRow(
        method=str(first["method"]),
        steps=str(first["steps"]),
        preset=str(first["preset"]),
        statistics=statistics,
        tasks=ran,
        cost=float(np.exp(np.log(medians).mean())) if complete else None,
        score=score,
        score_low=score_low,
        score_high=score_high,
        seeds=sorted(int(seed) for seed in part["seed"].unique()),
        commits=sorted({str(commit) for commit in part["commit"] if commit}),
        created=[days[0], days[-1]] if days else [],
    )


def _with_ranks(
    rows: list[BoardRow], parts: Mapping[tuple[str, str], pd.DataFrame], tasks: Sequence[str], resamples: int
) -> tuple[list[BoardRow], list[str]]:
    """The rows with rank intervals for the methods that ran all tasks, and what a reader must know of them."""
    sentences = []
    complete = [row for row in rows if row.tasks == len(tasks)]
    others = [row for row in rows if row.tasks != len(tasks)]
    if others:
        sentences.append(
            f"{len(others)} of {len(rows)} methods did not run all {len(tasks)} ranked tasks: not ranked over them."
        )
    enough = [row for row in complete if _fewest_seeds(parts[row.method, row.steps]) >= MIN_SEEDS]
    if enough and (short := len(complete) - len(enough)):
        sentences.append(f"{short} of {len(rows)} methods have fewer than {MIN_SEEDS} seeds on a task: not ranked.")
        others += [row for row in complete if row not in enough]
        complete = enough
    compared = [parts[row.method, row.steps] for row in complete]
    ranks, used = shared_rank_intervals(compared, tasks, resamples)
    if ranks is None:
        if complete:
            sentences.append(
                f"places need at least {MIN_SEEDS} seeds that all ranked methods have, on every task: none are given."
            )
        return rows, sentences
    if alone := sum(part["counted"].sum() for part in compared) - used:
        sentences.append(
            f"ranks compare the seeds that all ranked methods have; {alone} runs of other seeds are left out."
        )
    placed = [
        dataclasses.replace(row, rank_low=int(low), rank_high=int(high), tied=int(np.sum(ranks.best == low)) > 1)
        for row, low, high in zip(complete, ranks.best, ranks.worst, strict=True)
    ]
    return placed + others, sentences


def _fewest_seeds(part: pd.DataFrame) -> int:
    """Smallest number of seeds of a method on a task."""
    return int(part[part["counted"]].groupby("task")["seed"].nunique().min())


def _mean_errors(frame: pd.DataFrame, rows: Sequence[BoardRow], tasks: Sequence[str]) -> pd.DataFrame:
    """Mean of min(test error, 1) of each method that ran all tasks (rows) on each of the tasks (columns)."""
    complete = {(row.method, row.steps) for row in rows if row.score is not None}
    counted = frame[frame["counted"] & frame["task"].isin(tasks)]
    means = counted["score"].clip(upper=CAP).groupby([counted[name] for name in (*METHOD, "task")]).mean().unstack()
    return means[[tuple(key) in complete for key in means.index]]


def _best_first(row: BoardRow) -> tuple[Any, ...]:
    """Sort key: ranked methods first, by rank and then by score; the order within a tie has no meaning."""
    return (
        row.rank_low is None,
        -row.tasks,
        row.rank_low or 0,
        float("inf") if row.score is None else row.score,
        natural_key(row.method),
        row.steps,
    )


def _on_front(row: BoardRow, rows: Sequence[BoardRow]) -> bool:
    """Whether no other row of its device is at least as good and as cheap as this one, and better in one of the
    two."""
    if row.cost is None or row.score is None:
        return False
    return not any(
        other.cost <= row.cost and other.score <= row.score and (other.cost, other.score) != (row.cost, row.score)
        for other in rows
        if other.cost is not None and other.score is not None and other.device == row.device
    )


def confusion(frame: pd.DataFrame) -> dict[int, dict[str, int]]:
    """Count ok runs by true and measured rank; methods that never measure a rank are left out.

    Returns:
        ``{true rank: {measured rank: runs}}``, both in increasing order, ``none`` last; all true ranks have the same
        measured ranks.
    """
    measured = frame.groupby(METHOD)["bottleneck_rank"].transform(lambda ranks: ranks.notna().any()).astype(bool)
    judged = frame[(frame["status"] == "ok") & frame["true_rank"].notna() & measured]
    pairs = Counter(
        (int(true), None if pd.isna(rank) else int(rank))
        for true, rank in zip(judged["true_rank"], judged["bottleneck_rank"], strict=True)
    )
    columns = sorted({rank for _, rank in pairs}, key=lambda rank: (rank is None, rank or 0))
    return {
        true: {"none" if rank is None else str(rank): pairs[true, rank] for rank in columns}
        for true in sorted({true for true, _ in pairs})
    }
