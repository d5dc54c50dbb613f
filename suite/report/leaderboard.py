"""A leaderboard as text: terminal, Markdown, JSON."""

from __future__ import annotations

from itertools import groupby

from leakybench.analysis.leaderboard import Board, BoardRow
from leakybench.report import text
from leakybench.report.columns import board_columns, order_columns
from leakybench.report.layout import layout_cells, layout_notes, layout_table

FORMATS = ("terminal", "github", "json", "html")


def sections(board: Board) -> list[tuple[str, int, list[BoardRow]]]:
    """Title, number of tasks and rows of each table: overall, over the tasks that all methods ran, and for each
    task."""
    tables = [(f"All {len(board.tasks)} ranked tasks", len(board.tasks), board.overall)]
    if board.common:
        count = len(board.common_tasks)
        title = f"The {count} tasks that every method ran" if count > 1 else "The task that every method ran"
        tables.append((title, count, board.common))
    return tables + [(str(task), 1, list(rows)) for task, rows in groupby(board.per_task, key=lambda row: row.task)]


def render(board: Board, format: str = "terminal", *, per_task: bool = True) -> str:
    """Render a leaderboard as text, without a final newline; ``leakybench.report.page`` makes the ``html``.

    Args:
        board: of ``leakybench.analysis.leaderboard.leaderboard``.
        format: one of ``FORMATS`` but ``html``.
        per_task: also show a table for each task; JSON always holds them.
    """
    if format == "json":
        return _json(board)
    tables = sections(board)
    if not per_task:
        tables = tables[: 1 + bool(board.common)]
    parts = [
        f"{_heading(title, format)}\n\n"
        + layout_table(board_columns(rows, count, board.cost_unit, board.cost_devices), rows, format)
        for title, count, rows in tables
    ]
    opening = [_heading(f"Leaderboard, preset {board.preset}", format, 2), text.escape(board.scope, format)]
    parts = [*opening, *parts]
    if board.orders:
        table = layout_table(order_columns(), board.orders, format)
        parts.append(f"{_heading('Order under other scores', format)}\n\n{table}")
    if board.confusion:
        parts.append(_rank_confusion(board.confusion, format))
    remarks = [
        "place counts the methods shown to be better, plus one; '=' marks a tie, the interval holds all ranks at once.",
        "P: no other method is both better and cheaper.",
        *(f"{order.name}: {order.definition}." for order in board.orders),
        *board.notes,
    ]
    body = "\n\n".join(parts)
    return body + layout_notes([*text.doubt_notes(body), *remarks], format)


def _json(board: Board) -> str:
    content = {
        "preset": board.preset,
        "scope": board.scope,
        "tasks": board.tasks,
        "cost_unit": board.cost_unit,
        "overall": [row.to_dict() for row in board.overall],
        "common_tasks": board.common_tasks,
        "common": [row.to_dict() for row in board.common],
        "per_task": [row.to_dict() for row in board.per_task],
        "orders": [order.to_dict() for order in board.orders],
        "confusion": board.confusion,
        "notes": board.notes,
    }
    return text.to_json(content, indent=1)


def _heading(title: str, format: str, level: int = 3) -> str:
    return f"{'#' * level} " * (format == "github") + text.escape(title, format)


def _rank_confusion(counts: dict[int, dict[str, int]], format: str) -> str:
    measured = next(iter(counts.values()))
    headers = [text.escape("true \\ measured rank", format), *measured]
    cells = [[str(true), *map(str, row.values())] for true, row in counts.items()]
    return f"{_heading('Rank confusion (ok runs)', format)}\n\n{layout_cells(headers, cells, format)}"
