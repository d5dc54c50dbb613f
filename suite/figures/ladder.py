"""Curves of ladders: a metric of all methods along a setting, and below it where each method reaches the threshold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakybench.analysis.labels import DEEPEST, effective_depth, split_label
from leakybench.analysis.ladders import Goal, Ladder, Threshold, is_easier, threshold
from leakybench.figures.style import BLACK, GREY, MARKERS, SETTINGS
from leakybench.report.ladder import mean_values
from leakybench.report.text import clean, shorten
from leakybench.specs import natural_key, parse_id

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

ACROSS = 3
"""Largest number of panels side by side."""
PANEL = (3.5, 2.3)
"""Width and height of the curves of a panel, inches."""
LINE = 0.145
"""Height of a method below the curves, inches."""
LONGEST = 34
"""Largest number of characters of a method's name."""
AXIS_NAMES = {"n_train": "training samples N"}
METRIC_NAMES = {
    "error": "test error (/ var(y))",
    "alignment": "code alignment",
    "recovery": "share of runs that recover k",
}
REACHED = {
    "error": "{reached} the error is at most {level:g}",
    "alignment": "{reached} the alignment is at least {level:g}",
    "recovery": "{reached} a share {level:g} of the runs recovers k",
}
TICK_GAP = 0.14
"""Least distance of two ticks, as a share of the axis."""
Method = tuple[str, str]
"""Label of a baseline without its step rule, and the step rule."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a method is drawn.

    Attributes:
        name: name beside its threshold.
        colour: colour of line and marker.
        marker: shape of its marker.
        line: line style.
    """

    name: str
    colour: Any
    marker: str
    line: Any


def draw(ladders: Sequence[Ladder], goals: Sequence[Goal]) -> Canvas:
    """Draw the curves of all methods along the axis, with 95% intervals, and their thresholds in a strip below.

    One task has a panel for each goal that was measured, several tasks have a panel each, of the first goal.

    Args:
        ladders: of one axis.
        goals: thresholds; at least one.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    tasks = sorted({ladder.task for ladder in ladders}, key=natural_key)
    shown = [(task, goal) for task in tasks for goal in (goals if len(tasks) == 1 else goals[:1])]
    shown = [(task, goal) for task, goal in shown if _measured(ladders, task, goal)] or shown[:1]
    looks = method_looks(ladders)
    across, down = min(ACROSS, max(len(shown), 1)), max(1, math.ceil(len(shown) / ACROSS))
    strip = LINE * (len(looks) + 1)
    with matplotlib.rc_context(SETTINGS):
        size = (PANEL[0] * across + 1.7, down * (PANEL[1] + strip + 0.75) + 0.1)
        canvas = Canvas(figsize=size, layout="constrained")
        grid = canvas.subplots(2 * down, across, squeeze=False, height_ratios=[PANEL[1], strip] * down, sharex=False)
        for index in range(across * down):
            row, column = divmod(index, across)
            curves, marks = grid[2 * row][column], grid[2 * row + 1][column]
            if index >= len(shown):
                curves.set_axis_off()
                marks.set_axis_off()
                continue
            task, goal = shown[index]
            mine = [ladder for ladder in ladders if ladder.task == task]
            title = task if len(tasks) > 1 or len(shown) == 1 else f"{task}: {goal.metric}"
            curves.set_title(shorten(clean(title), 48))
            _draw_curves(curves, mine, goal, looks)
            _draw_thresholds(marks, mine, goal, looks, named=column == 0)
            marks.set_xlim(curves.get_xlim())
    return canvas


def method_looks(ladders: Sequence[Ladder]) -> dict[Method, Look]:
    """Return how each method is drawn, in order of effective depth and then by name.

    Networks have colours from light to dark by effective depth, the fully-connected one is black; other methods are
    grey, and told apart by their markers.
    """
    methods = {(ladder.method, ladder.steps) for ladder in ladders}
    depths = {method: effective_depth(method[0]) for method in methods}
    levels = sorted({depth for depth in depths.values() if depth is not None and depth < DEEPEST})
    order = sorted(
        methods,
        key=lambda method: (
            depths[method] is None, depths[method] or 0.0, natural_key(method[0]), method[1],
        ),
    )  # fmt: skip
    rules = len({steps for _, steps in methods if steps != "-"}) > 1
    looks, others, repeated = {}, 0, dict[float, int]()
    for method in order:
        depth = depths[method]
        name = method_name(method[0]) + (f" {method[1]}" if rules and method[1] != "-" else "")
        if depth is None:
            dashes = (0, (3, 1.5 + others % 5))
            looks[method] = Look(name=name, colour=GREY, marker=MARKERS[1:][others % 5], line=dashes)
            others += 1
            continue
        colour = BLACK if depth == DEEPEST else depth_colour(levels.index(depth), len(levels))
        variant = repeated.get(depth, 0)
        repeated[depth] = variant + 1
        line = ("-", "--", ":", "-.")[variant % 4]
        looks[method] = Look(name=name, colour=colour, marker="o^sD"[variant % 4], line=line)
    return looks


def depth_colour(index: int, count: int) -> Any:
    """The colour of an effective depth: from light to dark, so that it is read without a legend."""
    import matplotlib

    return matplotlib.colormaps["viridis_r"](0.18 + 0.77 * (index / max(count - 1, 1)))


def method_name(label: str) -> str:
    """A short name: ``LeakyResNet, Lt = 3``; versions are left out, other settings stay."""
    id, overrides = split_label(label)
    name, depth = parse_id(id)[1], effective_depth(label)
    rest = [f"{key} = {value}" for key, value in overrides.items() if key != "effective_depth"]
    if depth is not None and depth < DEEPEST:
        rest = [f"Lt = {depth:g}", *rest]
    return shorten(clean(", ".join([name, *rest])), LONGEST)


def _measured(ladders: Sequence[Ladder], task: str, goal: Goal) -> bool:
    return any(goal.metric in rung.samples for ladder in ladders if ladder.task == task for rung in ladder.rungs)


def _draw_curves(axes: Axes, ladders: Sequence[Ladder], goal: Goal, looks: dict[Method, Look]) -> None:
    """Means with intervals, and a line at the level."""
    log = _set_axis(axes, ladders)
    axes.axhline(goal.level, color=BLACK, linewidth=0.8, alpha=0.6)
    shifts = dict(zip(looks, np.linspace(-1.0, 1.0, len(looks)) if len(looks) > 1 else [0.0], strict=True))
    for ladder in ladders:
        look = looks[ladder.method, ladder.steps]
        rungs = [rung for rung in ladder.rungs if goal.metric in rung.samples]
        if not rungs:
            continue
        values = [mean_values(rung.samples[goal.metric], binary=goal.binary) for rung in rungs]
        mean = np.array([value["mean"] for value in values])
        # a single run has no interval: no bar
        low, high = (np.array([value[end] if value[end] is not None else np.nan for value in values], dtype=float)
                     for end in ("low", "high"))  # fmt: skip
        place = np.array([rung.value for rung in rungs])
        shift = 0.045 * shifts[ladder.method, ladder.steps]
        place = place * 2.0**shift if log else place + shift * np.ptp(place) / 10
        axes.plot(place, mean, color=look.colour, linestyle=look.line, marker=look.marker, markersize=3, linewidth=1.2)
        axes.vlines(place, low, high, color=look.colour, linewidth=0.7, alpha=0.55)
    axes.set_ylim(-0.03, 1.08)
    axes.set_ylabel(METRIC_NAMES[goal.metric])
    axes.tick_params(labelbottom=False)


def _draw_thresholds(
    axes: Axes, ladders: Sequence[Ladder], goal: Goal, looks: dict[Method, Look], *, named: bool
) -> None:
    """A line for each method with its threshold and the interval; a triangle where it lies outside the ladder."""
    _set_axis(axes, ladders)
    known = {(ladder.method, ladder.steps): ladder for ladder in ladders}
    for line, (method, look) in enumerate(looks.items()):
        if method in known:
            ends = known[method].rungs[0].value, known[method].rungs[-1].value
            _draw_threshold(axes, line, threshold(known[method], goal), ends, look)
    axes.set_ylim(len(looks) - 0.4, -0.6)
    axes.set_yticks(range(len(looks)), [look.name if named else "" for look in looks.values()], fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    if named:
        for tick, look in zip(axes.get_yticklabels(), looks.values(), strict=True):
            tick.set_color(look.colour if look.colour != GREY else "#555555")
    axis = ladders[0].axis
    reached = "from which on" if is_easier(axis) else "up to which"
    meaning = REACHED[goal.metric].format(reached=f"{clean(axis)} {reached}", level=goal.level)
    axes.set_title(f"{meaning} (95%)", fontsize=7.5, loc="left")
    axes.set_xlabel(axis_name(axis))


def _draw_threshold(axes: Axes, line: int, found: Threshold, ends: tuple[float, float], look: Look) -> None:
    if found.side == "unmeasured":
        return
    if found.side in ("below", "above"):
        at, marker = (ends[0], "<") if found.side == "below" else (ends[1], ">")
        axes.plot([at], [line], marker=marker, markersize=4.5, color=look.colour, fillstyle="none", linestyle="none")
        return
    low, high = (ends[0] if found.low is None else found.low), (ends[1] if found.high is None else found.high)
    axes.hlines(line, low, high, color=look.colour, linewidth=1.4)
    for missing, at, marker in ((found.low, ends[0], "<"), (found.high, ends[1], ">")):
        if missing is None:
            axes.plot([at], [line], marker=marker, markersize=4, color=look.colour, linestyle="none")
    if found.value is not None:
        axes.plot([found.value], [line], marker=look.marker, markersize=4, color=look.colour, linestyle="none")


def _set_axis(axes: Axes, ladders: Sequence[Ladder]) -> bool:
    """Ticks at the values that most ladders have; logarithmic where all are positive, which is returned."""
    values = [rung.value for ladder in ladders for rung in ladder.rungs]
    first, last = min(values), max(values)
    log = first > 0
    ticks = rung_ticks(ladders, log=log)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(first / 1.15, last * 1.15)
    else:
        axes.set_xlim(first - 0.04 * (last - first), last + 0.04 * (last - first))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    return log


def rung_ticks(ladders: Sequence[Ladder], *, log: bool) -> list[float]:
    """The values of an axis, those of most ladders first, without those that would stand too close to another."""
    counts = Counter(rung.value for ladder in ladders for rung in ladder.rungs)
    places = {value: math.log2(value) if log else value for value in counts}
    gap = TICK_GAP * (max(places.values()) - min(places.values()))
    kept: list[float] = []
    for value in sorted(counts, key=lambda value: (-counts[value], value)):
        if all(abs(places[value] - places[other]) >= gap for other in kept):
            kept.append(value)
    return sorted(kept)


def plain_ticks(axes: Axes) -> None:
    """Label a logarithmic y axis by plain numbers: 1, 2 and 5 times powers of ten."""
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    axes.tick_params(axis="y", which="minor", labelsize=7)


def axis_name(axis: str) -> str:
    """Name of a setting as the title of an axis."""
    return clean(AXIS_NAMES.get(axis, axis))
