"""Thresholds of networks against their effective depth: how many samples depth saves, a line for each task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from leakybench.analysis.labels import DEEPEST, effective_depth, without
from leakybench.analysis.ladders import Goal, Ladder, Threshold, threshold
from leakybench.errors import UsageError
from leakybench.figures.ladder import axis_name, plain_ticks, rung_ticks
from leakybench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SETTINGS, SKY, VERMILION, common_legend
from leakybench.report.text import clean, shorten
from leakybench.specs import natural_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SIZE = (5.2, 3.9)
"""Width and height of a panel, inches."""
COLUMNS = 3
"""Entries of the legend beside each other below a panel: ids of tasks have up to some twenty letters."""
BROWN = "#7A3E12"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, BROWN)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GAP = 0.2
"""Space between the largest effective depth and the fully-connected network, as a share of that depth."""
SPREAD = 0.3
"""Distance of the lines of two tasks at one effective depth, so that their intervals stand side by side."""
NAMES = {"error": "error at most {level:g}", "alignment": "alignment at least {level:g}",
         "recovery": "a share {level:g} of the runs recovers k"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Line:
    """The networks of one task by effective depth.

    Attributes:
        name: task, and settings of the networks that are not the default ones.
        ladders: by effective depth; ``DEEPEST`` for the fully-connected network.
    """

    name: str
    ladders: dict[float, Ladder]


def draw_depths(ladders: Sequence[Ladder], goals: Sequence[Goal], *, in_parameters: bool = False) -> Canvas:
    """Draw the threshold of each network against its effective depth, a panel for each goal.

    Thresholds beyond the last value of a ladder are arrows at it; those before the first value are arrows down.

    Args:
        ladders: of one axis; those of baselines without an effective depth are left out.
        goals: thresholds, a panel each.
        in_parameters: divide thresholds by the number of linear parameters of the task's map; tasks without one are
            left out.

    Raises:
        UsageError: no network with an effective depth, or with ``in_parameters`` none with a known rank.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    lines = depth_lines(ladder for ladder in ladders if ladder.parameters or not in_parameters)
    if not lines:
        raise UsageError("the figure over effective depth needs ladders of ResNet, LeakyResNet or FullyConnected")
    finite = sorted({depth for line in lines for depth in line.ladders if depth < DEEPEST})
    places = {depth: depth for depth in finite}
    places[DEEPEST] = (finite[-1] if finite else 0.0) + GAP * max(finite[-1] if finite else 1.0, 1.0)
    with matplotlib.rc_context(SETTINGS):
        canvas = Canvas(figsize=(SIZE[0] * len(goals), SIZE[1] + 0.04 * len(lines)), layout="constrained")
        panels = canvas.subplots(1, len(goals), squeeze=False, sharey=True)[0]
        for axes, goal in zip(panels, goals, strict=True):
            for index, line in enumerate(lines):
                shift = SPREAD * (index - (len(lines) - 1) / 2) / max(len(lines) - 1, 1) * 2
                _draw_line(
                    axes,
                    line,
                    goal,
                    places,
                    (COLOURS[index % 8], MARKERS[index % 8]),
                    shift,
                    in_parameters=in_parameters,
                )
            _finish(axes, lines, goal, places, in_parameters=in_parameters)
        name = axis_name(ladders[0].axis)
        panels[0].set_ylabel(f"{name} / k(d_in + d_out - k)" if in_parameters else name)
        panels[0].plot([], [], color=GREY, marker="^", fillstyle="none", linestyle="none", label="outside the ladder")
        common_legend(canvas, panels, columns=min(COLUMNS * len(goals), len(lines) + 1))
    return canvas


def depth_lines(ladders: Iterable[Ladder]) -> list[Line]:
    """Group the ladders of networks by task; networks with other settings or step rules than most have lines of their
    own."""
    grouped: dict[tuple[str, str], dict[float, Ladder]] = {}
    for ladder in ladders:
        depth = effective_depth(ladder.method)
        if depth is not None:
            rest = without(ladder.method, "effective_depth").partition("[")[2].removesuffix("]")
            variant = ", ".join(part for part in (rest, ladder.steps if ladder.steps != "uniform" else "") if part)
            grouped.setdefault((ladder.task, variant), {})[depth] = ladder
    order = sorted(grouped, key=lambda key: (natural_key(key[0]), natural_key(key[1])))
    return [
        Line(name=shorten(clean(f"{task}, {variant}" if variant else task), 48), ladders=grouped[task, variant])
        for task, variant in order
    ]


def _draw_line(
    axes: Axes,
    line: Line,
    goal: Goal,
    places: dict[float, float],
    look: tuple[Any, str],
    shift: float,
    *,
    in_parameters: bool,
) -> None:
    """Thresholds with intervals, joined over effective depths; the fully-connected network stands apart."""
    colour, marker = look
    joined: list[tuple[float, float, bool]] = []
    for depth, ladder in sorted(line.ladders.items()):
        unit = float(ladder.parameters or 1) if in_parameters else 1.0
        found, ends = threshold(ladder, goal), (ladder.rungs[0].value / unit, ladder.rungs[-1].value / unit)
        at = places[depth] + shift
        drawn = _draw_point(axes, at, found, ends, unit, colour, marker)
        if drawn is not None and depth < DEEPEST:
            joined.append((at, drawn, found.value is not None))
    for (x, y, known), (next_x, next_y, next_known) in pairwise(joined):
        inside = known and next_known
        axes.plot([x, next_x], [y, next_y], color=colour, linewidth=1.2, alpha=0.7, linestyle="-" if inside else ":")
    axes.plot([], [], color=colour, marker=marker, label=line.name)


def _draw_point(
    axes: Axes, at: float, found: Threshold, ends: tuple[float, float], unit: float, colour: Any, marker: str
) -> float | None:
    """Draw a threshold; return its height, that of the end of the ladder where it lies outside."""
    first, last = ends
    if found.side == "unmeasured":
        return None
    low = first if found.low is None else found.low / unit
    high = last if found.high is None else found.high / unit
    axes.vlines(at, low, high, color=colour, linewidth=1.2, alpha=0.7)
    for missing, height, arrow in ((found.low, first, "v"), (found.high, last, "^")):
        if missing is None:
            size = 3.5 if found.side == "open" else 5.5
            axes.plot([at], [height], marker=arrow, markersize=size, color=colour, fillstyle="none", linestyle="none")
    if found.value is not None:
        axes.plot([at], [found.value / unit], marker=marker, markersize=4.5, color=colour, linestyle="none")
        return found.value / unit
    return {"above": last, "below": first}.get(found.side)


def _finish(axes: Axes, lines: Sequence[Line], goal: Goal, places: dict[float, float], *, in_parameters: bool) -> None:
    known = sorted({depth for line in lines for depth in line.ladders})
    axes.set_xticks(
        [places[depth] for depth in known],
        ["fully\nconnected" if depth == DEEPEST else f"{depth:g}" for depth in known],
    )
    axes.set_xlabel("effective depth Lt (0: ResNet)")
    axes.set_title(NAMES[goal.metric].format(level=goal.level))
    listed = [ladder for line in lines for ladder in line.ladders.values()]
    log = all(rung.value > 0 for ladder in listed for rung in ladder.rungs)
    if log:
        axes.set_yscale("log")
    if in_parameters:
        plain_ticks(axes)
    else:
        ticks = rung_ticks(listed, log=log)
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
