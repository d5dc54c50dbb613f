"""Figure 3: the quantities that the theorems assume to stay bounded as the effective depth grows [JK24 figure 3]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import DEPTH, EFFECTIVE_DEPTH, Figure, Runs
from leakybench.figures.style import common_legend, depth_axis, panels, series
from leakybench.figures.summary import seeds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

LENGTHS = {f"path_length_g0_{g0} [sqrt(rank)]": f"path_length_{g0}" for g0 in ("1e-1", "1e-2", "1e-3", "1e-4")}
MOMENTUM, FEATURES = "max_|B| [1/|A|]", "max_|B^T S| [sqrt(rank)]"


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run: the length of its path at each g0, and the largest momenta along it."""
    rows = [
        {
            **run.keys,
            EFFECTIVE_DEPTH: run.setting("effective_depth"),
            DEPTH: run.setting("depth"),
            **{column: run.measure(name) for column, name in LENGTHS.items()},
            MOMENTUM: np.sqrt(run.measure("momentum_max")),
            FEATURES: np.sqrt(run.measure("momentum_features_max")),
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Three panels, one per quantity, each axis starting at zero."""
    canvas, axes = panels(3, width=0.9, height=1.2)
    for number, quantity in enumerate(LENGTHS):
        exponent = int(quantity.split("1e")[1].split(" ")[0])
        label = rf"$g_0 = 10^{{{exponent}}}$"
        series(axes[0], summary, quantity, EFFECTIVE_DEPTH, number=number, label=label)
    series(axes[1], summary, MOMENTUM, EFFECTIVE_DEPTH, number=0)
    series(axes[2], summary, FEATURES, EFFECTIVE_DEPTH, number=1)
    for panel, title, unit in zip(
        axes,
        ("path length", r"largest $|B_p|$", r"largest $|B_p^T S_p|$"),
        (r"$\int |\dot A_p|_{K + \gamma I}\, dp$", r"$\max_p |B_p|$  ($1/|A|$)", r"$\max_p |B_p^T S_p|$"),
        strict=True,
    ):
        panel.set_title(title, fontsize=9)
        panel.set_ylabel(unit)
        panel.set_ylim(0, None)
        depth_axis(panel, summary[EFFECTIVE_DEPTH], r"effective depth $\tilde L$")
    common_legend(canvas, axes[:1], columns=4)
    canvas.suptitle(seeds_text(summary), fontsize=8)
    return canvas


FIGURE = Figure(
    name="3",
    caption="LowRank-k3-v0, Leaky ResNets of max(20, 2 Lt) layers, preset converged. Norms with gamma = g0 |S|^2.",
    grids=studies.depth_study,
    collect=collect,
    draw=draw,
    by=(EFFECTIVE_DEPTH, DEPTH),
    values=(*LENGTHS, MOMENTUM, FEATURES),
    tabled={
        "path length, g0 1e-2": "path_length_g0_1e-2 [sqrt(rank)]",
        "g0 1e-4": "path_length_g0_1e-4 [sqrt(rank)]",
        "max |B|": MOMENTUM,
        "max |B^T S|": FEATURES,
    },
)
