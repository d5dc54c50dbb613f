"""The table of ``leakybench table``: one row for each task and baseline, in five formats."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from leakybench.analysis.scores import latest
from leakybench.analysis.summary import SummaryRow, convergence_notes, machine_letters, notes, summarise
from leakybench.errors import UsageError
from leakybench.report import text
from leakybench.report.columns import summary_columns
from leakybench.report.layout import layout_notes, layout_table

FORMATS = ("terminal", "github", "latex", "csv", "json")


def render(frame: pd.DataFrame, format: str = "terminal", *, by: str = "cell") -> str:
    """Render runs as the summary table, without a final newline.

    Args:
        frame: runs, of ``leakybench.analysis.scores.score_frame``.
        format: one of ``FORMATS``. ``csv`` and ``json`` hold the unrounded rows of
            ``leakybench.analysis.summary.summarise``; ``csv`` has no notes, since a reader of it would take them for
            rows.
        by: one of ``leakybench.analysis.summary.GROUPINGS``.

    Raises:
        UsageError: an unknown format or grouping.
    """
    if format not in FORMATS:
        raise UsageError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    rows = summarise(frame, by)
    if format == "csv":
        return _csv(rows)
    remarks = [*notes(frame), *convergence_notes(row.statistics for row in rows)]
    if format == "json":
        content = {"by": by, "rows": [row.to_dict() for row in rows], "notes": remarks}
        return text.to_json(content, indent=1)
    runs, _ = latest(frame)
    columns = summary_columns(rows, by, machine_letters(runs))
    body = layout_table(columns, rows, format)
    return body + layout_notes([*text.doubt_notes(body), *remarks], format)


def _csv(rows: Sequence[SummaryRow]) -> str:
    flat = pd.DataFrame([row.to_dict() for row in rows])
    for name in flat.columns:
        flat[name] = flat[name].map(_csv_value)
    return str(flat.to_csv(index=False, lineterminator="\n")).rstrip("\n")


def _csv_value(value: object) -> object:
    """Lists and counts as one text: ``1;2``, ``ok:4;collapsed:1``."""
    if isinstance(value, dict):
        value = ";".join(f"{key}:{number}" for key, number in value.items())
    return text.csv_text(";".join(map(str, value)) if isinstance(value, list) else value)
