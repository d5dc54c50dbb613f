"""Figure 2b: weight spectra under adaptive step-sizes [JK24 figure 2b], beside those under uniform ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leakybench.analysis.scores import steps_of
from leakybench.figures import studies
from leakybench.figures.figure import POSITION, Figure, Runs
from leakybench.figures.spectra import VALUE, draw_spectrum, spectrum_rows
from leakybench.figures.style import BLACK, RULES, common_legend, panels, series
from leakybench.figures.summary import seeds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

SHOWN_RULES = ("adaptive", "uniform")
STEP_SIZE = "step_size_times_L [1]"


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run, layer and singular value of W_l/Lt.

    The column ``kind`` holds the step rule, and p is the middle of the layer's step.
    """
    rows: list[dict[str, Any]] = []
    for run in runs:
        if not run.ok or "weight_spectra" not in run.arrays:
            continue
        p, steps = run.arrays["positions"], run.arrays["step_sizes"]
        rule = steps_of(run.record.run.baseline, run.record.run.baseline_overrides)
        spectra = run.arrays["weight_spectra"] / run.setting("effective_depth")
        values = spectrum_rows(run, rule, spectra, 0.5 * (p[1:] + p[:-1]))
        rows += [{**row, STEP_SIZE: float(steps[row["layer"]] * len(steps))} for row in values]
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Three panels: spectra under both rules, with a tick at each layer, and the step-sizes."""
    canvas, axes = panels(3, height=1.2, width=0.9)
    axes[1].sharey(axes[0])
    for panel, rule in zip(axes, SHOWN_RULES, strict=False):
        rows = summary[summary["kind"] == rule]
        draw_spectrum(panel, rows[rows["quantity"] == VALUE], f"{rule} steps")
        places = np.sort(rows[POSITION].unique())
        panel.plot(places, np.full(len(places), 0.02), "|", color=BLACK, transform=panel.get_xaxis_transform())
        steps = rows[rows["index"] == 1]
        series(axes[2], steps, STEP_SIZE, POSITION, style=(RULES[rule][0], "", RULES[rule][2]), label=rule, band=True)
    axes[0].set_ylabel(r"singular value of $W_p / \tilde L$")
    common_legend(canvas, axes[:2], title="number of the singular value")
    axes[2].set_xlim(0, 1)
    axes[2].set_ylim(0, None)
    axes[2].set_xlabel("place on the depth axis $p$")
    axes[2].set_ylabel(r"step-size $\rho_l L$")
    axes[2].set_title("step-sizes", fontsize=9)
    if axes[2].get_legend_handles_labels()[0]:
        axes[2].legend(loc="lower center")
    canvas.suptitle(
        rf"$\tilde L = {studies.STEPS_DEPTH}$, $L = {studies.SPECTRA_LAYERS}$, {seeds_text(summary)}; "
        "ticks at the bottom: layers",
        fontsize=8,
    )
    return canvas


FIGURE = Figure(
    name="2b",
    caption="NestedRank-6-3-v0, Lt = 3, L = 18, preset standard: geometric means over seeds, at the mean position of "
    "each layer, without the bias.",
    grids=studies.weights_study,
    collect=collect,
    draw=draw,
    by=("kind", "layer", "index"),
    along=POSITION,
    values=(VALUE, STEP_SIZE),
)
