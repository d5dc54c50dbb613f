"""A comparison as text."""

from __future__ import annotations

import json
from typing import Any

from tabulate import tabulate

from suite.compare import Comparison
from suite.report import text
from suite.report.table import layout_notes, markdown
from suite.stats.paired import BETTER, FEW, WORSE

FORMATS = ("terminal", "github", "json")


def render(comparison: Comparison, format: str = "terminal") -> str:
    """The comparison without a final newline; ``json`` holds the unrounded rows of :func:`suite.compare.compare`."""
    rows = comparison.rows.to_dict("records")
    if format == "json":
        plain = [{str(key): value for key, value in row.items()} for row in rows]
        content = {"a": comparison.first, "b": comparison.second, "rows": plain, "notes": comparison.notes}
        return json.dumps(content, indent=1, allow_nan=False)
    cells = [_cells(row) for row in rows]
    title = f"A = {text.clean(comparison.first)}, B = {text.clean(comparison.second)}"
    headers = [
        ("group", ""), ("pairs", "number"), ("error A", "/ var(y)"), ("error B", "/ var(y)"),
        ("A - B", "mean (95%), / var(y)"), ("A / B", "geometric mean (95%)"), ("p", "Holm"),
        ("A smaller", "share of pairs"),
        ("recovered A : B", "runs (McNemar p)"), ("time A / B", "geometric mean"), ("A is", "verdict"),
    ]  # fmt: skip
    if format == "github":
        names = [f"{name} ({unit})" if unit else name for name, unit in headers]
        body = tabulate(
            [[markdown(c) for c in row] for row in cells], headers=names, tablefmt="github", disable_numparse=True
        )
        return f"{markdown(title)}\n\n{body}{layout_notes(comparison.notes, format)}"
    names = [f"{name}\n{unit}" if unit else name for name, unit in headers]
    body = tabulate(cells, headers=names, tablefmt="simple", disable_numparse=True)
    return f"{title}\n\n{body}{layout_notes(comparison.notes, format)}"


def _cells(row: dict[Any, Any]) -> list[str]:
    recovered = text.MISSING
    if row["recovered_of"]:
        recovered = f"{row['recovered_a']}/{row['recovered_of']} : {row['recovered_b']}/{row['recovered_of']}"
        recovered += f" (p = {row['recovered_p']:.2g})"
    return [
        text.clean(row["group"]),
        str(row["pairs"]),
        text.error_text(row["error_a"]),
        text.error_text(row["error_b"]),
        text.signed_text(row["difference"], row["low"], row["high"]),
        text.error_text(row["ratio"], row["ratio_low"], row["ratio_high"]),
        text.MISSING if row["p_value"] is None else f"{row['p_value']:.2g}",
        text.MISSING if row["improvement"] is None else f"{row['improvement']:.2f}",
        recovered,
        text.MISSING if row["time_ratio"] is None else f"{row['time_ratio']:.3g}",
        row["verdict"],
    ]


def sentence(comparison: Comparison) -> str:
    """The overall verdict in one line."""
    row = comparison.rows.iloc[-1]
    a, b = text.clean(comparison.first), text.clean(comparison.second)
    if row["verdict"] == FEW:
        return f"{a} against {b}: too few runs for a verdict ({row['pairs']} pairs)."
    size = text.signed_text(row["difference"], row["low"], row["high"])
    word = {BETTER: f"{a} is better than {b}", WORSE: f"{a} is worse than {b}"}.get(
        row["verdict"], f"no difference between {a} and {b} is shown"
    )
    return f"{word}: test error {size}, p = {row['p_value']:.2g}, {row['pairs']} pairs."
