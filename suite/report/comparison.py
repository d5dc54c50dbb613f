"""The comparison of ``leakybench compare`` as text."""

from __future__ import annotations

import dataclasses

from leakybench.analysis.comparison import Comparison
from leakybench.report import text
from leakybench.report.columns import comparison_columns
from leakybench.report.layout import layout_notes, layout_table
from leakybench.stats.paired import BETTER, FEW, WORSE

FORMATS = ("terminal", "github", "json")


def render(comparison: Comparison, format: str = "terminal") -> str:
    """Render a comparison, without a final newline.

    Args:
        comparison: of ``leakybench.analysis.comparison.compare``.
        format: one of ``FORMATS``; ``json`` holds the unrounded rows.
    """
    if format == "json":
        rows = [dataclasses.asdict(row) for row in comparison.rows]
        content = {"a": comparison.first, "b": comparison.second, "rows": rows, "notes": comparison.notes}
        return text.to_json(content, indent=1)
    title = f"A = {comparison.first}, B = {comparison.second}; a smaller test error is better"
    body = layout_table(comparison_columns(comparison.by), comparison.rows, format)
    return f"{text.escape(title, format)}\n\n{body}{layout_notes([*text.doubt_notes(body), *comparison.notes], format)}"


def sentence(comparison: Comparison) -> str:
    """State the overall answer in a line or two: the error, then rank and time where they are known."""
    row = comparison.overall
    a, b = text.clean(comparison.first), text.clean(comparison.second)
    basis = f"{row.pairs} pairs of runs" + (f" on {row.units} data sets" if row.units < row.pairs else "")
    if row.verdict == FEW:
        return f"{a} against {b}: too few runs for a verdict ({basis})."
    size = text.signed_text(row.difference, row.low, row.high)
    if row.ratio is not None:
        size += f", a factor of {text.error_text(row.ratio, row.ratio_low, row.ratio_high)}"
    verdict = {BETTER: f"{a} is better than {b}", WORSE: f"{a} is worse than {b}"}.get(
        row.verdict, f"no difference between {a} and {b} is shown"
    )
    sentences = [f"{verdict}: test error {size}, p = {row.p_value:.2g}; {basis}."]
    if row.recovered_of:
        counts = f"{row.recovered_a} runs of {a} and {row.recovered_b} of {b}, of {row.recovered_of} each"
        sentences.append(f"The true rank was found in {counts}.")
    if row.time_ratio is not None:
        sentences.append(f"A fit of {a} takes {row.time_ratio:.3g} times as long.")
    return " ".join(sentences)
