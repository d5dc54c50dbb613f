"""The effect of coarse layers on the theorem and on H: only the number of layers varies; not in the paper.

The second inequality bounds the excess ``|dA| - Lt sqrt(|A|^2 + 2H/Lt)`` of each layer by a multiple of
``sqrt(gamma)``. On networks it fails first at the first layer, whose step is long relative to the distance from the
input to the bottleneck: its excess hardly depends on gamma, and decreases with L.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leakybench.figures import studies, theorem
from leakybench.figures.figure import DEPTH, EFFECTIVE_DEPTH, Figure, Runs, Stored
from leakybench.figures.style import BLACK, COLOURS, common_legend, depth_axis, panels, series
from leakybench.figures.summary import seeds_text
from leakybench.figures.theorem import GAP, HOLDS, SHARE

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

FAILING, EXTENT = "second_inequality_fails [layers]", "second_inequality_fails [share of the path]"
HAMILTONIAN, SPREAD = "minus_2H_over_Lt [rank]", "cv_of_H_inside [share of mean]"
CRITICALITY = "criticality [share of |W|]"
FIRST, BOUND = "excess_of_the_first_layer_g0_1e-4 [sqrt(rank)]", "second_inequality_upper_bound [sqrt(rank)]"
FIRST_G0 = 1e-4
"""The smallest g0 among the profiles in a record. On trained networks the excess of the first layer at 1e-8 is within
5% of that at this g0."""
SHOWN_G0 = "1e-8"
"""A g0 at which the bounds are so narrow that a coarse layer violates them."""


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run and g0, for the whole path; H does not depend on g0 and is repeated at each."""
    data = theorem.collect(runs)
    if data.empty:
        return data
    data = data[data["part"] == "whole"].drop(columns="part")
    data[EXTENT] = 1.0 - data[SHARE]
    # uniform steps: a share of the layers is a share of the path
    data[FAILING] = np.round(data[EXTENT] * data[DEPTH])
    # the upper bound of the first inequality is gamma c
    data[BOUND] = 2.0 * data[EFFECTIVE_DEPTH] * np.sqrt(data[theorem.HIGH])
    for column, name in ((HAMILTONIAN, "hamiltonian_rank"), (SPREAD, "hamiltonian_cv")):
        data[column] = data["run_id"].map({run.record.run_id: run.measure(name) for run in runs})
    data[FIRST] = data["run_id"].map({run.record.run_id: first_excess(run) for run in runs})
    return data.sort_values([EFFECTIVE_DEPTH, DEPTH], kind="stable", ignore_index=True)


def first_excess(run: Stored) -> float:
    """Excess ``|dA| - Lt sqrt(max(|A|^2 + 2H/Lt, 0))`` of the first layer, H from the momenta; nan without profiles."""
    arrays = run.arrays
    if not run.ok or not {"g0", "speed", "coi"} <= arrays.keys():
        return float("nan")
    row, depth = int(np.argmin(np.abs(arrays["g0"] - FIRST_G0))), float(run.setting("effective_depth"))
    inside = float(arrays["coi"][row, 0]) - run.measure("hamiltonian_rank")
    return float(arrays["speed"][row, 0]) - depth * float(np.sqrt(max(inside, 0.0)))


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Three panels against the number of layers.

    The excess of the first layer and its bound, the share of the path where the second inequality fails, and the
    variation of H.
    """
    canvas, axes = panels(3, width=0.9, height=1.25)
    rows = summary[summary["g0"] == SHOWN_G0]
    for number, depth in enumerate(sorted(rows[EFFECTIVE_DEPTH].unique())):
        here = rows[rows[EFFECTIVE_DEPTH] == depth]
        for panel, quantity in zip(axes, (FIRST, EXTENT, SPREAD), strict=True):
            series(panel, here, quantity, DEPTH, number=number, label=rf"$\tilde L = {depth:g}$")
        bound = rf"its bound at $g_0 = 10^{{{int(SHOWN_G0[2:])}}}$, $\tilde L = {depth:g}$"
        series(axes[0], here, BOUND, DEPTH, style=(COLOURS[number], "", ":"), label=bound)
    layers = np.array(sorted(rows[DEPTH].unique()), dtype=float)
    axes[0].set_ylim(0, None)
    axes[0].set_title("first layer", fontsize=9)
    axes[0].set_ylabel(r"$|\dot A| - \tilde L \sqrt{|A|^2 + 2H/\tilde L}$")
    axes[1].plot(layers, 1.0 / layers, color=BLACK, linewidth=0.9, linestyle="--", label="one layer, $1/L$")
    axes[1].set_ylim(0, None)
    axes[1].set_title(rf"second inequality, $g_0 = 10^{{{int(SHOWN_G0[2:])}}}$", fontsize=9)
    axes[1].set_ylabel("share of the path where it fails")
    axes[2].set_ylim(0, None)
    axes[2].set_title(r"variation of $H$, $p \in [0.35, 0.75]$", fontsize=9)
    axes[2].set_ylabel("standard deviation (share of the mean)")
    for panel in axes:
        depth_axis(panel, layers, "number of layers $L$")
    common_legend(canvas, axes, columns=5)
    canvas.suptitle(seeds_text(rows), fontsize=8)
    return canvas


FIGURE = Figure(
    name="layers",
    caption="LowRank-k3-v0, preset converged, effective depths 3 and 7: the theorem's second inequality, and H, as the "
    "layers get finer.",
    grids=studies.layers_study,
    collect=collect,
    draw=draw,
    by=(EFFECTIVE_DEPTH, DEPTH, "g0"),
    values=(FIRST, BOUND, EXTENT, FAILING, HOLDS, GAP, HAMILTONIAN, SPREAD, CRITICALITY),
    tabled={
        "excess, first layer": FIRST,
        "upper bound": BOUND,
        "second fails, layers": FAILING,
        "share of the path": EXTENT,
        "-2H/Lt": HAMILTONIAN,
        "CV inside": SPREAD,
        "criticality": CRITICALITY,
    },
    table_of={"g0": ("1e-6", "1e-8")},
)
