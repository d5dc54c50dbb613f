"""Style of the figures: colours for colour-blind readers [Okabe and Ito 2008], always with a marker or line style."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leakybench.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888",
)  # fmt: skip
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
RULES = {"uniform": (BLUE, "o", "-"), "irregular": (GREEN, "^", "--"), "adaptive": (VERMILION, "s", "-.")}

SETTINGS: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2.0,
    "svg.hashsalt": "leakybench",  # equal data give equal files
}
FORMATS = ("svg", "png")
PANEL = (3.7, 2.9)
"""Width and height of one panel, inches."""


def require_matplotlib() -> None:
    """Raise ``UsageError`` with an installation hint if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("figures need matplotlib: pip install '.[figures]' in the checkout of leakybench") from None


def panels(count: int, *, width: float = 1.0, height: float = 1.0, **settings: Any) -> tuple[Canvas, list[Axes]]:
    """Create a figure with ``count`` axes side by side.

    ``width`` and ``height`` scale a panel; ``settings`` are passed to matplotlib's ``subplots``.
    """
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(PANEL[0] * width * count, PANEL[1] * height), layout="constrained")
    axes = np.atleast_1d(canvas.subplots(1, count, **settings))
    return canvas, list(axes)


def series(
    axes: Axes,
    summary: pd.DataFrame,
    quantity: str,
    x: str,
    *,
    number: int = 0,
    label: str = "",
    style: tuple[Any, Any, Any] | None = None,
    shift: float = 0.0,
    band: bool = False,
) -> None:
    """Draw one line of a summary with its intervals, as bars or as a band.

    Args:
        axes: axes to draw on.
        summary: a summary from ``leakybench.figures.summary``.
        quantity: the quantity to draw.
        x: column of the x axis.
        number: index of colour, marker and line style.
        label: label in the legend.
        style: colour, marker and line style, instead of ``number``.
        shift: offset added to x, so that the bars of two lines do not overlap.
        band: shade the interval instead of drawing bars; for lines of many points.
    """
    rows = summary[summary["quantity"] == quantity].sort_values(x)
    if rows.empty:
        return
    colour, marker, line = style or (COLOURS[number % 6], MARKERS[number % 6], LINES[number % 6])
    place = rows[x].to_numpy(dtype=float) + shift
    mean, low, high = (rows[f"{name} [of quantity]"].to_numpy(dtype=float) for name in ("mean", "low", "high"))
    if band:
        axes.plot(place, mean, color=colour, linestyle=line, label=label or None)
        axes.fill_between(place, low, high, color=colour, alpha=0.18, linewidth=0)
        return
    # a single run has no interval: draw no bar instead of an infinite one
    below, above = (np.nan_to_num(np.abs(end - mean)) for end in (low, high))
    axes.errorbar(place, mean, yerr=[below, above], color=colour, marker=marker, linestyle=line, label=label or None)


def mark(axes: Axes, at: float, row: pd.Series, *, number: int) -> None:
    """Draw one row of a summary at ``at``: its mean with its interval, in the colour and marker of ``number``."""
    mean, low, high = (float(row[f"{name} [of quantity]"]) for name in ("mean", "low", "high"))
    colour = COLOURS[number % 6]
    axes.vlines(at, low, high, color=colour, linewidth=1.3)
    axes.plot([at], [mean], color=colour, marker=MARKERS[number % 6], linestyle="none")


def depth_axis(axes: Axes, values: Iterable[float], label: str) -> None:
    """Make the x axis logarithmic, with a tick at each of ``values``: numbers of layers or effective depths."""
    axes.set_xscale("log")
    ticks = sorted({float(value) for value in values})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(label)


def legend_below(axes: Axes, columns: int = 2) -> None:
    """Draw a legend under the axes, where it hides no data."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns, columnspacing=1.2)


def common_legend(canvas: Canvas, axes: Iterable[Axes], *, columns: int = 3, title: str = "") -> None:
    """Draw one legend under all panels for the lines of ``axes``, each label once."""
    named: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        canvas.legend(
            list(named.values()),
            list(named),
            loc="outside lower center",
            ncols=columns,
            columnspacing=1.5,
            title=title or None,
        )


def encode_figure(canvas: Canvas, kind: str) -> bytes:
    """Encode a figure as an SVG or PNG file, without a date."""
    import matplotlib

    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": "leakybench"} if kind == "svg" else {"Software": "leakybench"}
    with matplotlib.rc_context(SETTINGS):
        canvas.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()
