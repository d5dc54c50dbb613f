"""Thresholds against another setting of the task, on logarithmic axes, with the exponents of their growth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leakybench.analysis.growth import RATES, Growth, growths
from leakybench.analysis.ladders import Goal, Ladder
from leakybench.errors import UsageError
from leakybench.figures.ladder import Look, axis_name, method_looks, plain_ticks
from leakybench.figures.style import GREY, SETTINGS
from leakybench.report.growth import exponent_text
from leakybench.report.text import clean, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

ACROSS = 3
"""Largest number of panels side by side."""
SIZE = (3.9, 3.0)
"""Width and height of a panel without its legend, inches."""
LINE = 0.17
"""Height of a line of the legend, inches."""


def draw_growths(ladders: Sequence[Ladder], setting: str, goal: Goal) -> Canvas:
    """Draw the thresholds of each method against a setting, a panel for each task, with the fitted power laws.

    Known rates, and the number of linear parameters, are guide lines of their slope; their height has no meaning.
    Thresholds that do not lie within their ladders are triangles, and not part of a fit.

    Args:
        ladders: of one axis.
        setting: setting that takes several values.
        goal: threshold.

    Raises:
        UsageError: no two ladders differ in the setting alone.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    listed = growths(ladders, setting, [goal])
    if not listed:
        raise UsageError(f"growth with {setting[:60]!r} needs ladders that differ in it alone: give it several values")
    tasks = list(dict.fromkeys(growth.task for growth in listed))
    looks = method_looks(ladders)
    most = max(sum(growth.task == task for growth in listed) for task in tasks)
    across, down = min(ACROSS, len(tasks)), -(-len(tasks) // ACROSS)
    with matplotlib.rc_context(SETTINGS):
        height = SIZE[1] + LINE * (most + 2)
        canvas = Canvas(figsize=(SIZE[0] * across, height * down), layout="constrained")
        panels = canvas.subplots(down, across, squeeze=False).ravel()
        for axes in panels[len(tasks) :]:
            axes.set_axis_off()
        values = [rung.value for ladder in ladders for rung in ladder.rungs]
        for axes, task in zip(panels, tasks, strict=False):
            mine = [growth for growth in listed if growth.task == task]
            axes.set_xscale("log")
            axes.set_yscale("log")
            for index, growth in enumerate(mine):
                shift = 1.0 + 0.02 * (index - (len(mine) - 1) / 2)
                _draw_growth(axes, growth, looks[growth.method, growth.steps], (min(values), max(values)), shift)
            _draw_guides(axes, mine, setting)
            _finish(axes, mine, setting)
            axes.set_title(f"{shorten(clean(task), 40)}: {goal}")
    return canvas


def _draw_growth(axes: Axes, growth: Growth, look: Look, ends: tuple[float, float], shift: float) -> None:
    label = f"{look.name}: {exponent_text(growth)}"
    axes.plot([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=label)
    for value, found in growth.points:
        at = value * shift
        if found.side in ("above", "below"):
            height, arrow = (found.low, "^") if found.side == "above" else (found.high, "v")
            axes.plot([at], [height or np.nan], marker=arrow, color=look.colour, fillstyle="none", linestyle="none")
            continue
        if found.value is None:
            continue
        low, high = ends[0] if found.low is None else found.low, ends[1] if found.high is None else found.high
        axes.vlines(at, low, high, color=look.colour, linewidth=1.0, alpha=0.7)
        style = "full" if found.deviation is not None else "none"
        axes.plot([at], [found.value], marker=look.marker, color=look.colour, linestyle="none", fillstyle=style)
    if growth.slope is not None:
        x, thresholds, deviations = np.array(growth.used).T
        level = np.average(np.log(thresholds) - growth.slope.exponent * np.log(x), weights=1 / deviations**2)
        axes.plot(x * shift, np.exp(level) * x**growth.slope.exponent, color=look.colour, linestyle=look.line)


def _draw_guides(axes: Axes, listed: Sequence[Growth], setting: str) -> None:
    """Lines of the known slopes through the middle of the panel."""
    x = np.array(sorted({value for growth in listed for value, _ in growth.points if value > 0}))
    heights = [height for growth in listed for _, height, _ in growth.used]
    if not heights or len(x) < 2:
        return
    middle = float(np.exp(np.mean(np.log(heights)))), float(np.exp(np.mean(np.log(x))))
    guides = [(rate.exponent, f"known rate: {rate.exponent:g}", ":") for rate in RATES if rate.setting == setting]
    parameters = next((growth.parameters for growth in listed if growth.parameters is not None), None)
    if parameters is not None:
        guides.append((parameters, f"linear parameters: {parameters:.2f}", "-."))
    for exponent, label, line in guides:
        axes.plot(x, middle[0] * (x / middle[1]) ** exponent, color=GREY, linestyle=line, linewidth=1.0, label=label)


def _finish(axes: Axes, listed: Sequence[Growth], setting: str) -> None:
    from matplotlib.ticker import NullLocator

    ticks = sorted({value for growth in listed for value, _ in growth.points})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    plain_ticks(axes)
    axes.set_xlabel(clean(setting))
    axes.set_ylabel(axis_name(listed[0].axis))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=5, title="exponent (95%)", fontsize=7)
