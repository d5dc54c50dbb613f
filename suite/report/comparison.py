"""A comparison as text."""

from __future__ import annotations

import json
from typing import Any

from tabulate import tabulate

from leakybench.analysis.comparison import Comparison
from leakybench.report import text
from leakybench.report.table import layout_notes, markdown
from leakybench.stats.paired import BETTER, FEW, WORSE

FORMATS = ("terminal", "github", "json")


def render(comparison: Comparison, format: str = "terminal") -> str:
    """The comparison without a final newline; ``json`` holds the unrounded rows of :func:`leakybench.analysis.comparison.compare`."""
    rows = comparison.rows.to_dict("records")
    if format == "json":
        plain = [{str(key): value for key, value in row.items()} for row in rows]
        content = {"a": comparison.first, "b": comparison.second, "rows": plain, "notes": comparison.notes}
        return json.dumps(content, indent=1, allow_nan=False)
    cells = [_cells(row) for row in rows]
    title = f"A = {text.clean(comparison.first)}, B = {text.clean(comparison.second)}; a smaller test error is better"
    headers = [
        ("" if comparison.by == "overall" else comparison.by, ""), ("pairs", "(data sets)"),
        ("test error A", "/ var(y)"), ("test error B", "/ var(y)"),
        ("A - B", "mean (95%), / var(y)"), ("A / B", "geometric mean (95%)"),
        ("p", "" if comparison.by == "overall" else "Holm"),
        ("A smaller", "share of pairs (95%)"), ("true rank found A : B", "runs"), ("fit time A / B", "geometric mean"),
        ("verdict", "A is"),
    ]  # fmt: skip
    if format == "github":
        names = [f"{name} ({unit.strip('()')})" if unit else name for name, unit in headers]
        body = tabulate(
            [[markdown(c) for c in row] for row in cells], headers=names, tablefmt="github", disable_numparse=True
        )
        return f"{markdown(title)}\n\n{body}{layout_notes(comparison.notes, format)}"
    names = [f"{name}\n{unit}" if unit else name for name, unit in headers]
    body = tabulate(cells, headers=names, tablefmt="simple", disable_numparse=True)
    return f"{title}\n\n{body}{layout_notes(comparison.notes, format)}"


def _cells(row: dict[Any, Any]) -> list[str]:
    few = row["units"] < row["pairs"]
    return [
        text.clean(row["group"]),
        f"{row['pairs']} ({row['units']})" if few else str(row["pairs"]),
        text.error_text(row["error_a"]),
        text.error_text(row["error_b"]),
        text.signed_text(row["difference"], row["low"], row["high"]),
        text.error_text(row["ratio"], row["ratio_low"], row["ratio_high"]),
        text.MISSING if row["p_value"] is None else f"{row['p_value']:.2g}",
        text.error_text(row["improvement"], row["improvement_low"], row["improvement_high"]),
        _recovered(row),
        text.MISSING if row["time_ratio"] is None else f"{row['time_ratio']:.3g}",
        row["verdict"],
    ]


def _recovered(row: dict[Any, Any]) -> str:
    if not row["recovered_of"]:
        return text.MISSING
    shown = f"{row['recovered_a']}/{row['recovered_of']} : {row['recovered_b']}/{row['recovered_of']}"
    return shown if row["recovered_a"] == row["recovered_b"] else f"{shown} (McNemar p = {row['recovered_p']:.2g})"


def sentence(comparison: Comparison) -> str:
    """The overall answer in a line or two: error, then rank and time where they are known."""
    row = comparison.rows.iloc[-1]
    a, b = text.clean(comparison.first), text.clean(comparison.second)
    basis = f"{row['pairs']} pairs of runs" + (f" on {row['units']} data sets" if row["units"] < row["pairs"] else "")
    if row["verdict"] == FEW:
        return f"{a} against {b}: too few runs for a verdict ({basis})."
    size = text.signed_text(row["difference"], row["low"], row["high"])
    if row["ratio"] is not None:
        size += f", a factor of {text.error_text(row['ratio'], row['ratio_low'], row['ratio_high'])}"
    word = {BETTER: f"{a} is better than {b}", WORSE: f"{a} is worse than {b}"}.get(
        row["verdict"], f"no difference between {a} and {b} is shown"
    )
    said = [f"{word}: test error {size}, p = {row['p_value']:.2g}; {basis}."]
    if row["recovered_of"]:
        found = f"{row['recovered_a']} runs of {a} and {row['recovered_b']} of {b}, of {row['recovered_of']} each"
        said.append(f"The true rank was found in {found}.")
    if row["time_ratio"] is not None:
        said.append(f"A fit of {a} takes {row['time_ratio']:.3g} times as long.")
    return " ".join(said)
