"""Layout of a table as text, for a terminal, Markdown or LaTeX; the cells come from ``leakybench.report.columns``."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from leakybench.report.cells import Column, Row

TABULATE_NAMES = {"terminal": "simple", "github": "github", "latex": "latex_booktabs"}
"""Name in ``tabulate`` of each format."""


def layout_table(columns: Sequence[Column[Row]], rows: Sequence[Row], format: str) -> str:
    """The table as text, without a final newline.

    A terminal shows the unit below the header, the other formats beside it in brackets.
    """
    if format == "terminal":
        headers = [f"{column.name}\n{column.unit}" if column.unit else column.name for column in columns]
    else:
        headers = [_one_line(column.name, column.unit) for column in columns]
    cells = [[column.text(row) for column in columns] for row in rows]
    aligned = bool(rows) and any(column.right for column in columns)
    alignment = ["right" if column.right else "left" for column in columns] if aligned else None
    return layout_cells(headers, cells, format, alignment)


def layout_cells(
    headers: Sequence[str], cells: Sequence[Sequence[str]], format: str, alignment: Sequence[str] | None = None
) -> str:
    """A table of texts, without a final newline; Markdown leaves the texts of the cells as they are."""
    if format == "github":
        cells = [[markdown(cell) for cell in row] for row in cells]
    return tabulate(cells, headers=headers, tablefmt=TABULATE_NAMES[format], colalign=alignment, disable_numparse=True)


def layout_notes(notes: Sequence[str], format: str) -> str:
    """The text after a table: one note a line, as a comment in LaTeX; empty without notes."""
    if not notes:
        return ""
    if format == "latex":
        return "\n" + "\n".join(f"% {note}" for note in notes)
    if format == "github":
        return "\n\n" + "\n".join(f"- {markdown(note)}" for note in notes)
    return "\n\n" + "\n".join(f"note: {note}" for note in notes)


def markdown(cell: str) -> str:
    """Escape a text so that Markdown and the HTML within it show it unchanged."""
    for mark in "\\`*_{}[]<>|#":
        if mark == "*" and cell.endswith("*") and cell.count("*") == 1:
            continue  # the mark of an imputed mean
        cell = cell.replace(mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return cell


def _one_line(name: str, unit: str) -> str:
    if not unit:
        return name
    return f"{name} {unit}" if unit.startswith("(") else f"{name} ({unit})"
