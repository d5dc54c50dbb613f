"""Adaptive against uniform steps, at equal depth and at equal cost; not in the paper.

Fit times are comparable only if one run at a time was trained on an otherwise idle machine:

    leakybench figures --only 2a,adaptive --workers 1

The column ``workers`` of the data and the title of the figure give the number of workers that trained side by side; 0
and 1 mean that no other run was trained at the same time. The other cost, layer evaluations, does not depend on the
machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import DEPTH, Figure
from leakybench.figures.step_rules import ERROR, collect
from leakybench.figures.style import BLACK, BLUE, GREEN, RULES, VERMILION, legend_below, panels, series
from leakybench.figures.summary import COLUMNS, paired_differences, seeds_text
from leakybench.stats import paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

COSTS = {"fit time": "fit_time [s]", "layer evaluations": "cost [layer evaluations]"}
EQUAL_DEPTH = "adaptive - uniform"


def at_equal_cost(data: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Adaptive at each depth minus uniform at the same cost, paired by seed.

    The cost of a rule at a depth is the median over its seeds, so that one slow run has no effect. For each seed, the
    error of uniform steps at that cost is interpolated between their depths, linearly in the logarithm of the cost. A
    depth whose cost lies outside the range of uniform steps is left out.
    """
    costs = data.groupby(["steps", DEPTH])[cost].median()
    errors = data.pivot_table(index="seed", columns=["steps", DEPTH], values=ERROR)
    rows: list[list[object]] = []
    if not {"uniform", "adaptive"} <= set(data["steps"]):
        return pd.DataFrame(rows, columns=[DEPTH, *COLUMNS])
    uniform = costs["uniform"].dropna().sort_values()
    for depth, price in costs["adaptive"].dropna().items():
        if not uniform.iloc[0] <= price <= uniform.iloc[-1]:
            continue
        pairs = []
        for _, row in errors.iterrows():
            line = row["uniform"].reindex(uniform.index).to_numpy(dtype=float)
            there = np.interp(np.log(price), np.log(uniform.to_numpy(dtype=float)), line)
            pairs.append(float(row["adaptive"][depth]) - there)
        usable = np.array([value for value in pairs if np.isfinite(value)])
        if len(usable):
            result = paired([usable])
            rows.append([depth, _equal_cost_name(cost), result.effect, result.low, result.high, len(usable)])
    return pd.DataFrame(rows, columns=[DEPTH, *COLUMNS])


def _equal_cost_name(cost: str) -> str:
    return f"{EQUAL_DEPTH} at equal {cost}"


def differences_at_equal_cost(data: pd.DataFrame) -> pd.DataFrame:
    """Paired differences at equal depth, at equal fit time and at equal layer evaluations."""
    equal = paired_differences(data, ERROR, first="adaptive", second="uniform", rule="steps", by=[DEPTH])
    tables = [equal, *(at_equal_cost(data, cost) for cost in COSTS.values())]
    return pd.concat([table for table in tables if len(table)] or [equal], ignore_index=True)


def workers_text(data: pd.DataFrame) -> str:
    """The number of workers that trained side by side while the fit times were taken, as text."""
    counts = sorted({max(int(count), 1) for count in data["workers"].dropna()})
    if not counts:
        return "workers unknown"
    return " or ".join(map(str, counts)) + (" worker" if counts == [1] else " workers")


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Left panel: error against cost. Right panel: paired differences."""
    canvas, (left, right) = panels(2, height=1.45)
    cost = COSTS["layer evaluations"]
    means = summary.pivot_table(index=["steps", DEPTH], columns="quantity", values="mean [of quantity]")
    for rule in ("uniform", "adaptive"):
        if rule not in means.index:
            continue
        rows = summary[(summary["steps"] == rule) & (summary["quantity"] == ERROR)]
        prices = data[data["steps"] == rule].groupby(DEPTH)[cost].median()
        placed = rows.assign(price=rows[DEPTH].map(prices) / 1000.0)
        series(left, placed, ERROR, "price", style=RULES[rule], label=rule)
        for _, row in placed.iterrows():
            place = (row["price"], row["mean [of quantity]"])
            up = 7 if rule == "uniform" else -13
            left.annotate(f"{row[DEPTH]:g}", place, xytext=(4, up), textcoords="offset points", fontsize=7)
    left.set_ylim(0, None)
    left.set_xlabel("cost (1000 layer evaluations); numbers: layers")
    left.set_ylabel("test error (share of the variance)")
    for quantity, label, style, shift in (
        (EQUAL_DEPTH, "equal depth", (BLUE, "o", "-"), -0.25),
        (_equal_cost_name(COSTS["fit time"]), "equal fit time", (VERMILION, "s", "--"), 0.0),
        (_equal_cost_name(COSTS["layer evaluations"]), "equal layer evaluations", (GREEN, "^", "-."), 0.25),
    ):
        series(right, summary, quantity, DEPTH, style=style, label=label, shift=shift)
    right.axhline(0.0, color=BLACK, linewidth=0.9)
    right.set_xticks(sorted(int(depth) for depth in data.loc[data["steps"] == "adaptive", DEPTH].unique()))
    right.set_xlabel("layers $L$ of the adaptive network")
    right.set_ylabel("adaptive - uniform, same seed")
    for axes in (left, right):
        legend_below(axes)
    canvas.suptitle(
        rf"$\tilde L = {studies.STEPS_DEPTH}$, {seeds_text(summary)}; right, below 0: adaptive is better; "
        f"fit times with {workers_text(data)}",
        fontsize=8,
    )
    return canvas


FIGURE = Figure(
    name="adaptive",
    caption="NestedRank-6-3-v0, Lt = 3, preset standard. Uniform steps at equal cost are interpolated between their "
    "depths; a layer evaluation is one layer of one evaluation of the objective and its gradient. Fit times must "
    "be taken with one worker on an otherwise idle machine.",
    grids=studies.cost_study,
    collect=collect,
    draw=draw,
    by=("steps", DEPTH),
    values=(ERROR, *COSTS.values()),
    extra=differences_at_equal_cost,
    tabled={
        "equal depth": EQUAL_DEPTH,
        "equal fit time": _equal_cost_name(COSTS["fit time"]),
        "equal layer evaluations": _equal_cost_name(COSTS["layer evaluations"]),
    },
)
