"""Layout of a table as text, for a terminal, Markdown or LaTeX; the cells come from ``leakybench.report.columns``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

from leakybench.report import text
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
    cells = [[text.escape(text.shorten(column.text(row), text.LONGEST), format) for column in columns] for row in rows]
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
    """A table of texts, escaped by ``leakybench.report.text.escape`` for the format, without a final newline."""
    return tabulate(cells, headers=headers, tablefmt=TABULATE_NAMES[format], colalign=alignment, disable_numparse=True)


def layout_notes(notes: Sequence[str], format: str) -> str:
    """The text after a table: one note a line, as a comment in LaTeX; empty without notes."""
    if not notes:
        return ""
    lines = [text.escape(text.shorten(note, text.LONGEST_NOTE), format) for note in notes]
    blank, begin = {"latex": ("\n", "% "), "github": ("\n\n", "- "), "terminal": ("\n\n", "note: ")}[format]
    return blank + "\n".join(f"{begin}{line}" for line in lines)


def _stacked(name: str, unit: str, width: int) -> str:
    """The name above the unit, which is broken between words to the width of the name or the cells."""
    lines = textwrap.wrap(unit, max(width, len(name), MIN_WIDTH), break_long_words=False, break_on_hyphens=False)
    return "\n".join([name, *lines])


def _one_line(name: str, unit: str) -> str:
    if not unit:
        return name
    return f"{name} {unit}" if unit.startswith("(") else f"{name} ({unit})"
