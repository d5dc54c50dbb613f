"""A leaderboard as text: terminal, Markdown, JSON."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from tabulate import tabulate

from suite.leaderboard import Board
from suite.report import text
from suite.report.summary import plain
from suite.report.table import layout_notes, markdown

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


def columns(board: Board) -> list[tuple[str, str]]:
    """Header and unit of each column."""
    return [
        ("place", "rank (95%)"), ("baseline", ""), ("steps", ""), ("test error", "mean (95%), / var(y)"),
        ("rank recovered", "runs, share (95%)"), ("cost", board.cost_unit or "not comparable"),
        ("criticality", "median, rel."), ("tasks", "number"), ("status", "runs"),
    ]  # fmt: skip


def cells(row: dict[Any, Any]) -> list[str]:
    """One row as text, in the order of :func:`columns`."""
    error = text.error_text(row["test_error"], row["test_error_low"], row["test_error_high"])
    return [
        rank_range(row),
        text.clean(row["method"]),
        text.clean(row["steps"]),
        error + "*" * bool(row["imputed"]),
        recovered_text(row),
        text.seconds_text(row["cost"]) + (" P" if row["pareto"] else ""),
        text.error_text(row["criticality"]),
        str(row["tasks"]),
        text.count_text(row["status"]),
    ]


def render(board: Board, format: str = "terminal", *, per_task: bool = True) -> str:
    """The board as text, without a final newline; ``html`` is made by :mod:`suite.report.page`."""
    if format == "json":
        content = {
            "preset": board.preset,
            "tasks": board.tasks,
            "cost_unit": board.cost_unit,
            "overall": plain(board.overall),
            "per_task": plain(board.per_task),
            "confusion": {
                str(true): {str(name): int(count) for name, count in row.items()}
                for true, row in board.confusion.to_dict("index").items()
            },
            "notes": board.notes,
        }
        return json.dumps(content, indent=1, allow_nan=False)
    parts = [_section(f"Overall, {len(board.tasks)} tasks, preset {board.preset}", board.overall, board, format)]
    if per_task:
        parts += [_section(str(task), part, board, format) for task, part in board.per_task.groupby("task", sort=False)]
    if not board.confusion.empty:
        parts.append(_confusion(board.confusion, format))
    remarks = [
        "place counts the methods shown to be better, plus one; '=' marks a tie, the interval holds all ranks at once.",
        "P: no other method is both better and cheaper.",
        *board.notes,
    ]
    return "\n\n".join(parts) + layout_notes(remarks, format)


def _section(title: str, rows: pd.DataFrame, board: Board, format: str) -> str:
    body = [cells(row) for row in rows.to_dict("records")]
    if format == "github":
        heads = [f"{name} ({unit})" if unit else name for name, unit in columns(board)]
        escaped = [[markdown(cell) for cell in row] for row in body]
        return f"### {markdown(title)}\n\n" + tabulate(escaped, headers=heads, tablefmt="github", disable_numparse=True)
    heads = [f"{name}\n{unit}" if unit else name for name, unit in columns(board)]
    return f"{text.clean(title)}\n\n" + tabulate(body, headers=heads, tablefmt="simple", disable_numparse=True)


def _confusion(table: pd.DataFrame, format: str) -> str:
    heads = ["true \\ measured rank", *table.columns]
    body = [
        [str(true), *(str(count) for count in row)] for true, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    title = "Rank confusion (ok runs)"
    if format == "github":
        grid = tabulate(body, headers=[markdown(h) for h in heads], tablefmt="github", disable_numparse=True)
        return f"### {title}\n\n{grid}"
    return f"{title}\n\n" + tabulate(body, headers=heads, tablefmt="simple", disable_numparse=True)
