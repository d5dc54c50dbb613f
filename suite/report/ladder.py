"""The table of ladders: where each method reaches a threshold on each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.growth import growths, varying_settings
from leakybench.analysis.ladders import Goal, Ladder, Threshold, is_easier, threshold
from leakybench.errors import UsageError
from leakybench.report import text
from leakybench.report.cells import Column, SortKey
from leakybench.report.growth import growth_notes, growth_table
from leakybench.report.layout import layout_notes, layout_table
from leakybench.stats.intervals import interval, proportion_interval

FORMATS = ("terminal", "github", "latex", "csv", "json")
Row = tuple[Ladder, list[Threshold]]
"""A ladder and its thresholds, one a goal."""

MEANINGS = {
    "error": "the mean test error, at most 1 a run, is {level:g}",
    "alignment": "the mean code alignment is {level:g}",
    "recovery": "a share {level:g} of the runs recovers the rank",
}


def render(
    ladders: Sequence[Ladder], goals: Sequence[Goal], format: str = "terminal", *, notes: Sequence[str] = ()
) -> str:
    """Render ladders as a table, without a final newline; below it growth exponents, where ladders differ in another
    setting of their task alone.

    Args:
        ladders: of one axis.
        goals: thresholds, a column each.
        format: one of ``FORMATS``. ``csv`` and ``json`` hold unrounded numbers, ``json`` also the values of the axis
            with their means and intervals.
        notes: further sentences under the table.

    Raises:
        UsageError: an unknown format.
    """
    if format not in FORMATS:
        raise UsageError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    rows = [(ladder, [threshold(ladder, goal) for goal in goals]) for ladder in ladders]
    if format == "csv":
        return _csv(rows)
    grown = [growth for name in varying_settings(ladders) for growth in growths(ladders, name, goals)]
    remarks = [*notes, *threshold_notes(rows, goals)]
    if any(ladder.parameters for ladder in ladders):
        remarks.append("linear parameters: k(d_in + d_out - k), those of a linear map of the task's rank k.")
    remarks += growth_notes(grown)
    if format == "json":
        content = {
            "ladders": [row_values(row) for row in rows],
            "growth": [growth.to_dict() for growth in grown],
            "notes": remarks,
        }
        return text.to_json(content, indent=1)
    tables = [layout_table(_columns(rows, goals), rows, format)]
    tables += [growth_table(grown, format)] if grown else []
    return "\n\n".join(tables) + layout_notes(remarks, format)


def threshold_text(found: Threshold, ends: tuple[float, float]) -> str:
    """``230 (190 to 280)``; ``< 25`` and ``> 3200`` outside the ladder; ``240 (160 to > 3200)`` where one end is open.

    Args:
        found: the threshold.
        ends: first and last value of the ladder.
    """
    if found.side == "unmeasured":
        return text.MISSING
    if found.side == "below":
        return f"< {ends[0]:g}"
    if found.side == "above":
        return f"> {ends[1]:g}"
    low = f"< {ends[0]:g}" if found.low is None else _number(found.low)
    high = f"> {ends[1]:g}" if found.high is None else _number(found.high)
    return f"{'?' if found.value is None else _number(found.value)} ({low} to {high})"


def _number(value: float) -> str:
    """Three significant digits, without an exponent up to a million."""
    return f"{float(f'{value:.3g}'):g}"


def outside(ladder: Ladder, found: Threshold) -> float | None:
    """The threshold as a number to sort by, beyond the end of its ladder where it lies outside."""
    ends = {"below": ladder.rungs[0].value / 2, "above": ladder.rungs[-1].value * 2}
    return ends.get(found.side, found.value)


def row_values(row: Row) -> dict[str, Any]:
    """A ladder with its thresholds as plain JSON values."""
    ladder, found = row
    return {
        "task": ladder.task,
        "method": ladder.method,
        "steps": ladder.steps,
        "preset": ladder.preset,
        "axis": ladder.axis,
        "linear_parameters": ladder.parameters,
        "runs": ladder.runs,
        "seconds": ladder.seconds,
        "thresholds": [each.to_dict() for each in found],
        "rungs": [
            {
                "value": rung.value,
                "status": dict(rung.status),
                **{metric: mean_values(values, binary=metric == "recovery") for metric, values in rung.samples.items()},
            }
            for rung in ladder.rungs
        ],
    }


def mean_values(values: np.ndarray, *, binary: bool) -> dict[str, Any]:
    """Mean, ends of its 95% interval and number of runs at a value of the axis."""
    if binary:
        share = proportion_interval(int(values.sum()), len(values))
        return {"mean": float(values.mean()), "low": share.low, "high": share.high, "runs": len(values)}
    found = interval(values, "mean")
    ends = {"low": found.low, "high": found.high} if found.known else {"low": None, "high": None}
    return {"mean": found.estimate, **ends, "runs": len(values)}


def _columns(rows: Sequence[Row], goals: Sequence[Goal]) -> list[Column[Row]]:
    axis = rows[0][0].axis if rows else "n_train"
    columns: list[Column[Row]] = [
        Column(name="task", text=lambda row: text.clean(row[0].task), key=lambda row: text.natural_text(row[0].task)),
        Column(
            name="baseline",
            text=lambda row: text.clean(row[0].method),
            key=lambda row: text.natural_text(row[0].method),
        ),
        Column(name="steps", text=lambda row: text.clean(row[0].steps), key=lambda row: row[0].steps),
    ]
    columns += [_goal_column(index, goal, axis) for index, goal in enumerate(goals)]
    if any(row[0].parameters for row in rows):
        index = next((number for number, goal in enumerate(goals) if goal.metric == "error"), 0)
        columns.append(_parameters_column(index, goals[index]))
    columns += [
        Column(name="runs", text=lambda row: str(row[0].runs), key=lambda row: row[0].runs, right=True),
        Column(name="seeds", unit="a value", text=_seeds, key=lambda row: row[0].runs, right=True),
        Column(
            name="time", unit="s", text=lambda row: text.seconds_text(row[0].seconds), key=lambda row: row[0].seconds,
            right=True,
        ),
    ]  # fmt: skip
    return columns


def _goal_column(index: int, goal: Goal, axis: str) -> Column[Row]:
    def cell(row: Row) -> str:
        return threshold_text(row[1][index], (row[0].rungs[0].value, row[0].rungs[-1].value))

    def key(row: Row) -> SortKey:
        return outside(row[0], row[1][index])

    return Column(name=str(goal), unit=f"{axis}, 95%", text=cell, key=key, right=True)


def _parameters_column(index: int, goal: Goal) -> Column[Row]:
    """The threshold in units of the linear parameters of a map of the task's rank."""

    def cell(row: Row) -> str:
        ladder, found = row[0], row[1][index]
        if not ladder.parameters:
            return text.MISSING
        if found.side in ("below", "above"):
            end, mark = (ladder.rungs[0], "<") if found.side == "below" else (ladder.rungs[-1], ">")
            return f"{mark} {_number(end.value / ladder.parameters)}"
        return text.MISSING if found.value is None else _number(found.value / ladder.parameters)

    def key(row: Row) -> SortKey:
        value = row[1][index].value
        return None if value is None or not row[0].parameters else value / row[0].parameters

    return Column(name=str(goal), unit="/ linear parameters", text=cell, key=key, right=True)


def _seeds(row: Row) -> str:
    counts = [rung.runs for rung in row[0].rungs]
    return f"{min(counts)}-{max(counts)}" if min(counts) < max(counts) else str(counts[0])


def threshold_notes(rows: Sequence[Row], goals: Sequence[Goal]) -> list[str]:
    """What the numbers of a table are, and how many thresholds lie outside or are open."""
    if not rows:
        return ["no ladder has runs."]
    axis = rows[0][0].axis
    reached = "from which on" if is_easier(axis) else "up to which"
    meanings = "; ".join(f"{goal}: {MEANINGS[goal.metric].format(level=goal.level)}" for goal in goals)
    remarks = [
        f"thresholds are the values of {axis} {reached} a method reaches a level: {meanings}. In brackets the 95% "
        "interval; '<' and '>': outside the values that were run."
    ]
    sides = [found.side for _, listed in rows for found in listed]
    if outside := [side for side in sides if side in ("below", "above")]:
        remarks.append(
            f"outside the ladder: {len(outside)} of {len(sides)} thresholds, {outside.count('below')} before its first "
            f"value and {outside.count('above')} behind its last."
        )
    if undecided := sides.count("open"):
        remarks.append(
            f"open: {undecided} of {len(sides)} thresholds, whose runs do not exclude one end of the ladder, or both."
        )
    failed: dict[str, int] = {}
    for ladder, _ in rows:
        for rung in ladder.rungs:
            for status, count in rung.status.items():
                failed[status] = failed.get(status, 0) + count
    total = sum(failed.values())
    failed.pop("ok", None)
    if failed:
        remarks.append(f"{sum(failed.values())} of {total} runs did not end ok ({text.count_text(failed)}).")
    return remarks


def _csv(rows: Sequence[Row]) -> str:
    lines = []
    for ladder, found in rows:
        line: dict[str, Any] = {
            "task": text.csv_text(ladder.task),
            "method": text.csv_text(ladder.method),
            "steps": text.csv_text(ladder.steps),
            "preset": ladder.preset,
            "axis": ladder.axis,
            "linear_parameters": ladder.parameters,
            "runs": ladder.runs,
            "seconds": ladder.seconds,
        }
        for each in found:
            name = str(each.goal)
            line |= {f"{name} {part}": getattr(each, part) for part in ("value", "low", "high", "side")}
        lines.append(line)
    return str(pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")).rstrip("\n")
