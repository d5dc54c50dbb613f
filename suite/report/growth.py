"""The table of growth exponents, below that of the ladders."""

from __future__ import annotations

from collections.abc import Sequence

from leakybench.analysis.growth import RATES, Growth
from leakybench.report import text
from leakybench.report.cells import Column
from leakybench.report.layout import layout_table


def growth_table(growths: Sequence[Growth], format: str) -> str:
    """The table as text, without a final newline.

    Args:
        growths: of ``leakybench.analysis.growth.growths``.
        format: ``terminal``, ``github`` or ``latex``.
    """
    return layout_table(_columns(growths), growths, format)


def exponent_text(growth: Growth) -> str:
    """``1.05 (0.82 to 1.28)``; ``-`` with fewer than two thresholds within their ladders."""
    if growth.slope is None:
        return text.MISSING
    return f"{growth.slope.exponent:.2f} ({growth.slope.low:.2f} to {growth.slope.high:.2f})"


def growth_notes(growths: Sequence[Growth]) -> list[str]:
    """What an exponent is, what is left out, and the rates to hold it against."""
    if not growths:
        return []
    settings = sorted({growth.setting for growth in growths})
    listed = ", ".join(settings)
    remarks = [
        f"exponent: slope of log threshold on log of {listed}, by least squares weighted by the intervals; in brackets "
        "its 95% interval, which cannot tell whether there is a power law."
    ]
    if left_out := sum(growth.left_out for growth in growths):
        total = sum(len(growth.points) for growth in growths)
        remarks.append(f"{left_out} of {total} thresholds are not within their ladders and left out of the exponents.")
    if any(growth.parameters is not None for growth in growths):
        remarks.append("parameters: the exponent of k(d_in + d_out - k) over the same values.")
    rates = [rate for rate in RATES if rate.setting in settings]
    return remarks + [
        f"known rate in {rate.setting}: exponent {rate.exponent:g}, {rate.statement}, {rate.source}." for rate in rates
    ]


def _columns(growths: Sequence[Growth]) -> list[Column[Growth]]:
    columns: list[Column[Growth]] = [
        Column(name="task", text=lambda row: text.clean(row.task), key=lambda row: text.natural_text(row.task)),
        Column(name="baseline", text=lambda row: text.clean(row.method), key=lambda row: text.natural_text(row.method)),
        Column(name="steps", text=lambda row: text.clean(row.steps), key=lambda row: row.steps),
        Column(name="grows with", text=lambda row: text.clean(row.setting), key=lambda row: row.setting),
        Column(name="threshold", text=lambda row: str(row.goal), key=lambda row: str(row.goal)),
        Column(
            name="exponent",
            unit="(95%)",
            text=exponent_text,
            key=lambda row: None if row.slope is None else row.slope.exponent,
            right=True,
        ),
        Column(
            name="values",
            unit="within",
            text=lambda row: f"{len(row.used)} of {len(row.points)}",
            key=lambda row: len(row.used),
            right=True,
        ),
    ]
    if any(growth.parameters is not None for growth in growths):
        columns.append(
            Column(
                name="parameters",
                unit="exponent",
                text=lambda row: text.MISSING if row.parameters is None else f"{row.parameters:.2f}",
                key=lambda row: row.parameters,
                right=True,
            )
        )
    return columns
