"""Layout of a table as text, for a terminal, Markdown or LaTeX; the cells come from ``leakybench.report.columns``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

from leakybench.report.cells import Column, Row

TABULATE_NAMES = {"terminal": "simple", "github": "github", "latex": "latex_booktabs"}
"""Name in ``tabulate`` of each format."""
MIN_WIDTH = 10
"""Smallest width to which the unit of a column is broken in a terminal."""


def layout_table(columns: Sequence[Column[Row]], rows: Sequence[Row], format: str) -> str:
    """The table as text, without a final newline.

    A terminal shows the unit below the header, in lines no wider than the column, the other formats beside it in
    brackets.
    """
    cells = [[column.text(row) for column in columns] for row in rows]
    if format == "terminal":
        widths = [max(map(len, texts)) for texts in zip(*cells, strict=True)] or [0] * len(columns)
        headers = [_stacked(column.name, column.unit, width) for column, width in zip(columns, widths, strict=True)]
    else:
        headers = [_one_line(column.name, column.unit) for column in columns]
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


def _stacked(name: str, unit: str, width: int) -> str:
    """The name above the unit, which is broken between words to the width of the name or the cells."""
    lines = textwrap.wrap(unit, max(width, len(name), MIN_WIDTH), break_long_words=False, break_on_hyphens=False)
    return "\n".join([name, *lines])


def _one_line(name: str, unit: str) -> str:
    if not unit:
        return name
    return f"{name} {unit}" if unit.startswith("(") else f"{name} ({unit})"
