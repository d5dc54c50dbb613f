"""A leaderboard as text: terminal, Markdown, JSON."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from tabulate import tabulate

from leakybench.analysis.leaderboard import Board
from leakybench.analysis.summary import plain
from leakybench.report import text
from leakybench.report.table import layout_notes, markdown

FORMATS = ("terminal", "github", "json", "html")


def rank_range(row: dict[Any, Any]) -> str:
    """``1`` alone, ``1=`` for a tie, with the interval where it is wider: ``1= (1-3)``; ``-`` for a method not
    ranked."""
    if row["rank_low"] is None:
        return text.MISSING
    shown = f"{row['rank_low']}{'=' if row['tied'] else ''}"
    return shown if row["rank_low"] == row["rank_high"] else f"{shown} ({row['rank_low']}-{row['rank_high']})"


def recovered_text(row: dict[Any, Any]) -> str:
    """``14/15 (0.70-0.99)``: runs with the true rank, and the 95% interval of their share."""
    if row["recovered"] is None:
        return text.MISSING
    return f"{row['recovered']}/{row['recovered_of']} ({row['recovered_low']:.2f}-{row['recovered_high']:.2f})"


def columns(board: Board, *, tasks: int = 1) -> list[tuple[str, str]]:
    """Header and unit of each column, for a table over that many tasks."""
    error = ("test error", "mean (95%), / var(y)") if tasks == 1 else ("score", "min(test error, 1), mean (95%)")
    return [
        ("place", "rank (95%)"), ("baseline", ""), ("steps", ""), error,
        ("rank recovered", "runs, share (95%)"), ("cost", board.cost_unit or "not comparable"),
        ("criticality", "median, rel."), ("tasks", f"of {tasks}"), ("status", "runs"),
    ]  # fmt: skip


def cells(row: dict[Any, Any]) -> list[str]:
    """One row as text, in the order of :func:`columns`."""
    error = text.error_text(row["score"], row["score_low"], row["score_high"])
    return [
        rank_range(row),
        text.clean(row["method"]),
        text.clean(row["steps"]),
        error + "*" * bool(row["imputed"] and row["score"] is not None),
        recovered_text(row),
        text.seconds_text(row["cost"]) + (" P" if row["pareto"] else ""),
        text.error_text(row["criticality"]),
        str(row["tasks"]),
        text.count_text(row["status"]),
    ]


def sections(board: Board) -> list[tuple[str, int, pd.DataFrame]]:
    """Title, number of tasks and rows of each table: overall, over what all methods ran, and a task each."""
    found = [(f"All {len(board.tasks)} ranked tasks", len(board.tasks), board.overall)]
    if not board.common.empty:
        count = len(board.common_tasks)
        title = f"The {count} tasks that every method ran" if count > 1 else "The task that every method ran"
        found.append((title, count, board.common))
    return found + [(str(task), 1, part) for task, part in board.per_task.groupby("task", sort=False)]


def render(board: Board, format: str = "terminal", *, per_task: bool = True) -> str:
    """The board as text, without a final newline; ``html`` is made by :mod:`leakybench.report.page`.

    Args:
        per_task: also a table for each task; JSON holds them always.
    """
    if format == "json":
        content = {
            "preset": board.preset,
            "tasks": board.tasks,
            "cost_unit": board.cost_unit,
            "overall": plain(board.overall),
            "common_tasks": board.common_tasks,
            "common": plain(board.common),
            "per_task": plain(board.per_task),
            "confusion": {
                str(true): {str(name): int(count) for name, count in row.items()}
                for true, row in board.confusion.to_dict("index").items()
            },
            "notes": board.notes,
        }
        return json.dumps(content, indent=1, allow_nan=False)
    parts = [
        _section(title, rows, columns(board, tasks=count), format)
        for title, count, rows in sections(board)
        if per_task or rows is board.overall or rows is board.common
    ]
    parts[0] = f"{_heading(f'Leaderboard, preset {board.preset}', format, 2)}\n\n{parts[0]}"
    if not board.confusion.empty:
        parts.append(_confusion(board.confusion, format))
    remarks = [
        "place counts the methods shown to be better, plus one; '=' marks a tie, the interval holds all ranks at once.",
        "P: no other method is both better and cheaper.",
        *board.notes,
    ]
    return "\n\n".join(parts) + layout_notes(remarks, format)


def _heading(title: str, format: str, level: int = 3) -> str:
    return f"{'#' * level} {markdown(title)}" if format == "github" else text.clean(title)


def _section(title: str, rows: pd.DataFrame, heads: list[tuple[str, str]], format: str) -> str:
    body = [cells(row) for row in rows.to_dict("records")]
    if format == "github":
        names = [f"{name} ({unit})" if unit else name for name, unit in heads]
        body = [[markdown(cell) for cell in row] for row in body]
    else:
        names = [f"{name}\n{unit}" if unit else name for name, unit in heads]
    kind = "github" if format == "github" else "simple"
    return f"{_heading(title, format)}\n\n" + tabulate(body, headers=names, tablefmt=kind, disable_numparse=True)


def _confusion(table: pd.DataFrame, format: str) -> str:
    heads = ["true \\ measured rank", *table.columns]
    body = [
        [str(true), *(str(count) for count in row)] for true, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    title = _heading("Rank confusion (ok runs)", format)
    kind = "github" if format == "github" else "simple"
    names = [markdown(h) for h in heads] if format == "github" else heads
    return f"{title}\n\n" + tabulate(body, headers=names, tablefmt=kind, disable_numparse=True)
