"""The table of ``leakybench table``: one row a task and baseline, in five formats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
from tabulate import tabulate

from leakybench.analysis.summary import (
    GROUPINGS,
    letter,
    notes,
    plain,
    summarise,
)
from leakybench.errors import UsageError
from leakybench.report import text

FORMATS = ("terminal", "github", "latex", "csv", "json")

HEADERS: dict[str, tuple[str, str]] = {
    "task": ("task", ""),
    "method": ("baseline", ""),
    "steps": ("steps", ""),
    "preset": ("preset", ""),
    "error": ("test error", "mean (95%), / var(y)"),
    "rank": ("rank", "mode (range)"),
    "true_rank": ("true", "rank"),
    "recovered": ("recovered", "runs"),
    "criticality": ("criticality", "median, rel."),
    "fit": ("fit", "median, s"),
    "threads": ("threads", "number"),
    "machine": ("machine", ""),
    "runs": ("runs", "number"),
    "status": ("status", "runs"),
}
"""Header and unit of each column; the machine and the preset are shown where there are several."""


def render(frame: pd.DataFrame, format: str = "terminal", *, by: str = "cell") -> str:
    """The table as text, without a final newline.

    Args:
        frame: runs, of :func:`leakybench.analysis.scores.score_frame`.
        format: one of ``FORMATS``. ``csv`` and ``json`` hold the numbers of :func:`leakybench.analysis.summary.summarise`,
            unrounded; ``csv`` alone has no notes, since a reader of it would take them for rows.
        by: one of ``leakybench.analysis.summary.GROUPINGS``.

    Raises:
        UsageError: an unknown format or grouping.
    """
    if format not in FORMATS:
        raise UsageError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    rows = summarise(frame, by)
    remarks = notes(frame)
    if format == "json":
        return json.dumps({"by": by, "rows": plain(rows), "notes": remarks}, indent=1, allow_nan=False)
    if format == "csv":
        return _csv(rows)
    machines = sorted(frame["machine"].unique())
    names, cells = _cells(rows, by, machines)
    return _layout(names, cells, remarks, format)


def _csv(rows: pd.DataFrame) -> str:
    flat = pd.DataFrame(plain(rows))
    for name in flat.columns:
        flat[name] = flat[name].map(
            lambda value: ";".join(f"{k}:{v}" for k, v in value.items()) if isinstance(value, dict)
            else ";".join(map(str, value)) if isinstance(value, list) else value
        )  # fmt: skip
    return str(flat.to_csv(index=False, lineterminator="\n")).rstrip("\n")


def _cells(rows: pd.DataFrame, by: str, machines: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    names = [name for name in HEADERS if name not in GROUPINGS["cell"] or name in GROUPINGS[by]]
    if len(machines) < 2:
        names.remove("machine")
    if rows.empty or rows["preset"].nunique() < 2:
        names.remove("preset")
    if rows.empty or rows["criticality"].isna().all():
        names.remove("criticality")
    letters = {machine: letter(index) for index, machine in enumerate(machines)}
    return names, [[_cell(name, row, letters) for name in names] for row in rows.to_dict("records")]


def _cell(name: str, row: dict[Any, Any], letters: dict[str, str]) -> str:
    if name == "error":
        shown = text.error_text(row["test_error"], row["test_error_low"], row["test_error_high"])
        return shown + "*" * bool(row["imputed"])
    if name == "rank":
        return text.rank_text(row["rank"], row["rank_min"], row["rank_max"])
    if name == "recovered":
        return text.MISSING if row["recovered"] is None else f"{row['recovered']}/{row['recovered_of']}"
    if name == "criticality":
        return text.error_text(row["criticality"])
    if name == "fit":
        return text.seconds_text(row["fit_seconds"])
    if name == "threads":
        return ", ".join(map(str, row["threads"])) or text.MISSING
    if name == "machine":
        return ", ".join(letters[machine] for machine in row["machine"]) or text.MISSING
    if name == "status":
        return text.count_text(row["status"])
    value = row[name]
    return text.MISSING if value is None else text.clean(value)


def _layout(names: list[str], cells: list[list[str]], remarks: list[str], format: str) -> str:
    right = ("rank", "true_rank", "recovered", "fit", "threads", "runs", "criticality")
    align = ["right" if name in right else "left" for name in names]
    if format == "terminal":
        headers = [
            f"{HEADERS[name][0]}\n{HEADERS[name][1]}" if HEADERS[name][1] else HEADERS[name][0] for name in names
        ]
        kind = "simple"
    else:
        headers = [f"{title} ({unit})" if unit else title for title, unit in (HEADERS[name] for name in names)]
        kind = {"github": "github", "latex": "latex_booktabs"}[format]
    if format == "github":
        cells = [[markdown(cell) for cell in row] for row in cells]
    table = tabulate(cells, headers=headers, tablefmt=kind, colalign=align if cells else None, disable_numparse=True)
    return table + layout_notes(remarks, format)


def layout_notes(remarks: Sequence[str], format: str) -> str:
    """What follows a table: each remark on a line, as a comment in LaTeX; empty without remarks."""
    if not remarks:
        return ""
    if format == "latex":
        return "\n" + "\n".join(f"% {remark}" for remark in remarks)
    if format == "github":
        return "\n\n" + "\n".join(f"- {markdown(remark)}" for remark in remarks)
    return "\n\n" + "\n".join(f"note: {remark}" for remark in remarks)


def markdown(cell: str) -> str:
    """Text that Markdown and the HTML within it leave as it is."""
    for mark in "\\`*_{}[]<>|#":
        if mark == "*" and cell.endswith("*") and cell.count("*") == 1:
            continue  # the mark of an imputed mean
        cell = cell.replace(mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return cell
