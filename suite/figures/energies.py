"""Figure 1c: the energies of a trained path and its Hamiltonian, layer by layer [JK24 figure 1c]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import POSITION, Figure, Runs
from leakybench.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILION, legend_below, panels, series
from leakybench.figures.summary import seeds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

SHOWN_G0 = "1e-03"
COI, KINETIC, CROSS = "coi [rank]", "kinetic_times_2_over_Lt [rank]", "cross_times_2_over_Lt [rank]"
STABLE, EXACT = "stable_minus_2H_over_Lt [rank]", "minus_2H_over_Lt [rank]"


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run, g0 and layer, at the middle of the layer's step.

    All energies are multiplied by 2/Lt, so that they have the unit of a rank. ``minus_2H_over_Lt`` does not depend on
    g0 and is repeated at each.
    """
    rows: list[dict[str, Any]] = []
    for run in runs:
        arrays = run.arrays
        if not run.ok or "kinetic" not in arrays:
            continue
        unit = 2.0 / run.setting("effective_depth")
        middles = 0.5 * (arrays["positions"][1:] + arrays["positions"][:-1])
        for i, g0 in enumerate(arrays["g0"]):
            rows += [
                {
                    **run.keys,
                    "g0": f"{g0:.0e}",
                    "layer": layer + 1,
                    POSITION: float(p),
                    COI: float(arrays["coi"][i, layer]),
                    KINETIC: unit * float(arrays["kinetic"][i, layer]),
                    CROSS: unit * float(arrays["cross"][i, layer]),
                    STABLE: -unit * float(arrays["stable_hamiltonian"][i, layer]),
                    EXACT: -unit * float(arrays["hamiltonian"][layer]),
                }
                for layer, p in enumerate(middles)
            ]
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Left panel: energies at one g0. Right panel: -2H/Lt from the momenta, and stabilised at every g0."""
    canvas, (left, right) = panels(2, height=1.45)
    shown = summary[summary["g0"] == SHOWN_G0]
    for quantity, label, style in (
        (COI, r"COI $= -2V/\tilde L$ (potential)", (VERMILION, "", "-")),
        (KINETIC, r"$2T/\tilde L$ (kinetic)", (ORANGE, "", "--")),
        (CROSS, r"$2X/\tilde L$ (cross term)", (PURPLE, "", "-.")),
        (EXACT, r"$-2H/\tilde L$, from the momenta", (BLUE, "", "-")),
    ):
        series(left, shown, quantity, POSITION, style=style, label=label, band=True)
    left.set_title(r"energies at $g_0 = 10^{-3}$", fontsize=9)
    series(right, shown, EXACT, POSITION, style=(BLUE, "", "-"), label="from the momenta", band=True)
    for (g0, rows), line, colour in zip(
        summary.groupby("g0", sort=False), ("-", "--", "-.", ":"), (ORANGE, PURPLE, GREEN, VERMILION), strict=False
    ):
        label = rf"stabilised, $g_0 = 10^{{{int(str(g0)[-3:])}}}$"
        series(right, rows, STABLE, POSITION, style=(colour, "", line), label=label, band=True)
    right.set_title(r"$-2H/\tilde L$", fontsize=9)
    right.set_ylim(-1, 2 * studies.RANK)
    left.set_yscale("symlog", linthresh=1.0)
    for axes in (left, right):
        axes.axhline(studies.RANK, color=BLACK, linewidth=0.9, linestyle=":", label=rf"$k^* = {studies.RANK}$")
        axes.axvspan(0.35, 0.75, color=BLACK, alpha=0.05, linewidth=0)
        axes.set_xlim(0, 1)
        axes.set_xlabel("place on the depth axis $p$")
        axes.set_ylabel(r"rank (energy times $2/\tilde L$)")
        legend_below(axes)
    canvas.suptitle(rf"$\tilde L = {studies.PROFILE_DEPTH}$, {seeds_text(summary)}", fontsize=8)
    return canvas


FIGURE = Figure(
    name="1c",
    caption="LowRank-k3-v0, Lt = 7, L = 20, preset converged. Energies times 2/Lt. Grey: p in 0.35-0.75. The y axis "
    "on the left is linear up to 1 and logarithmic beyond.",
    grids=studies.profile_study,
    collect=collect,
    draw=draw,
    by=("g0", "layer"),
    along=POSITION,
    values=(COI, KINETIC, CROSS, STABLE, EXACT),
)
