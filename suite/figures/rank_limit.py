"""Figure 1a: ``-2H/Lt`` rises to the bottleneck rank and the smallest cost of identity falls to it [JK24 figure 1a]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import DEPTH, EFFECTIVE_DEPTH, Figure, Runs
from leakybench.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    common_legend,
    depth_axis,
    panels,
    series,
)
from leakybench.figures.summary import seeds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MEASURES = {
    "minus_2H_over_Lt [rank]": "hamiltonian_rank",
    "stable_minus_2H_over_Lt_g0_1e-2 [rank]": "stable_hamiltonian_rank_1e-2",
    "stable_minus_2H_over_Lt_g0_1e-3 [rank]": "stable_hamiltonian_rank_1e-3",
    "stable_minus_2H_over_Lt_g0_1e-4 [rank]": "stable_hamiltonian_rank_1e-4",
    "coi_min_g0_1e-2 [rank]": "coi_min_1e-2",
    "coi_min_g0_1e-3 [rank]": "coi_min_1e-3",
    "coi_min_g0_1e-4 [rank]": "coi_min_1e-4",
    "cv_of_H_inside [share of mean]": "hamiltonian_cv",
    "criticality [share of |W|]": "criticality",
    "balancedness_violation [share of max |W|^2]": "balancedness",
    "time_scale_ratio_g0_1e-4 [1]": "time_scale_ratio_1e-4",
    "time_scale_ratio_g0_1e-6 [1]": "time_scale_ratio_1e-6",
}
"""Columns of the data, each with the name of its measure in the record."""

SHOWN = (
    ("minus_2H_over_Lt [rank]", r"$-2H/\tilde L$, from the momenta", (BLUE, "o", "-")),
    ("stable_minus_2H_over_Lt_g0_1e-3 [rank]", r"the same, stabilised, $g_0 = 10^{-3}$", (SKY, "^", "--")),
    ("coi_min_g0_1e-2 [rank]", r"smallest COI, $g_0 = 10^{-2}$", (ORANGE, "D", ":")),
    ("coi_min_g0_1e-3 [rank]", r"smallest COI, $g_0 = 10^{-3}$", (VERMILION, "s", "-")),
    ("coi_min_g0_1e-4 [rank]", r"smallest COI, $g_0 = 10^{-4}$", (PURPLE, "v", "-.")),
)
CLOSE = 5.0
"""Smallest effective depth in the right panel."""

GROWTH = "growth_rate [1]"


def growth(effective_depth: float, rank: float, coi: float) -> float:
    """The rate c at which A grows inside the bottleneck, from ``-2H/Lt = COI (1 - (c/Lt)^2)``; nan if A shrinks.

    ``dA = c A`` has the kinetic energy ``c^2 COI / (2 Lt)``, beside the potential energy ``-(Lt/2) COI``.
    """
    share = 1.0 - rank / coi
    return effective_depth * float(np.sqrt(share)) if share >= 0.0 else float("nan")


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run: medians of -2H/Lt over p in 0.35-0.75, and the smallest COI along the whole path."""
    rows = [
        {
            **run.keys,
            EFFECTIVE_DEPTH: run.setting("effective_depth"),
            DEPTH: run.setting("depth"),
            **{column: run.measure(name) for column, name in MEASURES.items()},
            GROWTH: growth(
                run.setting("effective_depth"), run.measure("hamiltonian_rank"), run.measure("coi_min_1e-4")
            ),
            "test_error [variance of the targets]": run.record.test_error,
            "bottleneck_rank [rank]": run.record.bottleneck_rank,
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Left panel: all effective depths, linear up to 10 and logarithmic beyond. Right panel: only the large ones."""
    canvas, axes = panels(2, height=1.35)
    for panel, rows in zip(axes, (summary, summary[summary[EFFECTIVE_DEPTH] >= CLOSE]), strict=True):
        for quantity, label, style in SHOWN:
            series(panel, rows, quantity, EFFECTIVE_DEPTH, label=label, style=style)
        label = rf"true rank $k^* = {studies.RANK}$"
        panel.axhline(studies.RANK, color=BLACK, linewidth=0.9, linestyle=":", label=label)
        depth_axis(panel, rows[EFFECTIVE_DEPTH], r"effective depth $\tilde L$")
        panel.set_ylabel("rank")
    axes[0].set_yscale("symlog", linthresh=10.0)
    axes[1].set_ylim(0, 2 * studies.RANK)
    common_legend(canvas, axes[:1], columns=3)
    canvas.suptitle(seeds_text(summary[summary["quantity"] == SHOWN[0][0]]), fontsize=8)
    return canvas


FIGURE = Figure(
    name="1a",
    caption="LowRank-k3-v0, Leaky ResNets of max(20, 2 Lt) layers, preset converged. -2H/Lt is the median over p in "
    "0.35-0.75, the COI the smallest along the path.",
    grids=studies.depth_study,
    collect=collect,
    draw=draw,
    by=(EFFECTIVE_DEPTH, DEPTH),
    values=(*MEASURES, GROWTH, "test_error [variance of the targets]", "bottleneck_rank [rank]"),
    tabled={
        "-2H/Lt": "minus_2H_over_Lt [rank]",
        "CV inside": "cv_of_H_inside [share of mean]",
        "min COI, g0 1e-2": "coi_min_g0_1e-2 [rank]",
        "g0 1e-3": "coi_min_g0_1e-3 [rank]",
        "g0 1e-4": "coi_min_g0_1e-4 [rank]",
        "growth c": GROWTH,
        "criticality": "criticality [share of |W|]",
        "time scales": "time_scale_ratio_g0_1e-6 [1]",
        "balancedness": "balancedness_violation [share of max |W|^2]",
    },
)
