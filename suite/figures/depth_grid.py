"""Test error when effective depth and number of layers vary together; not in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import DEPTH, EFFECTIVE_DEPTH, Figure, Runs
from leakybench.figures.style import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

ERROR, RANK = "test_error [variance of the targets]", "bottleneck_rank [rank]"


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run."""
    rows = [
        {
            **run.keys,
            EFFECTIVE_DEPTH: run.setting("effective_depth"),
            DEPTH: run.setting("depth"),
            ERROR: run.record.test_error,
            RANK: run.record.bottleneck_rank,
            "fit_time [s]": run.record.wall_clock.get("fit"),
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """A shaded table; each cell gives the mean, half the 95% interval, and the bottleneck ranks of its runs."""
    rows = summary[summary["quantity"] == ERROR]
    columns, lines = sorted(rows[DEPTH].unique()), sorted(rows[EFFECTIVE_DEPTH].unique())
    shades = np.full((len(lines), len(columns)), np.nan)
    canvas, (axes,) = panels(1, width=1.6, height=1.35)
    axes.grid(False)
    least_error, top = float(rows["mean [of quantity]"].min()), float(rows["mean [of quantity]"].max())
    bottom = least_error - 0.3 * max(top - least_error, 0.1 * top)
    for _, row in rows.iterrows():
        i, j = lines.index(row[EFFECTIVE_DEPTH]), columns.index(row[DEPTH])
        mean, half = row["mean [of quantity]"], row["high [of quantity]"] - row["mean [of quantity]"]
        shades[i, j] = mean
        cell = data[(data[EFFECTIVE_DEPTH] == row[EFFECTIVE_DEPTH]) & (data[DEPTH] == row[DEPTH])]
        ranks = sorted(int(rank) for rank in cell[RANK].dropna())
        text = f"{mean:.3f}" + (f" ± {half:.3f}" if np.isfinite(half) else "") + f"\nranks {', '.join(map(str, ranks))}"
        failed = int((cell["status"] != "ok").sum())
        text += f"\n{failed} not ok" if failed else ""
        axes.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=7.5,
            color="black" if mean < bottom + 0.6 * (top - bottom) else "white",
        )
    image = axes.imshow(np.ma.masked_invalid(shades), cmap="Blues", vmin=bottom, vmax=top, aspect="auto")
    axes.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
    axes.set_yticks(range(len(lines)), [f"{value:g}" for value in lines])
    axes.set_xlabel("number of layers $L$")
    axes.set_ylabel(r"effective depth $\tilde L$")
    canvas.colorbar(image, ax=axes, label="test error (share of the variance)")
    least, most = int(rows["runs"].min()), int(rows["runs"].max())
    seeds = f"{most}" if least == most else f"{least} to {most}"
    seeds += " seed" if most == 1 else " seeds"
    axes.set_title(f"mean ± half the 95% interval, {seeds}; empty: needs $L > \\tilde L$", fontsize=8)
    return canvas


FIGURE = Figure(
    name="depth-grid",
    caption="LowRank-k3-v0, uniform steps, preset standard; under each error the bottleneck ranks of the runs.",
    grids=studies.grid_study,
    collect=collect,
    draw=draw,
    by=(EFFECTIVE_DEPTH, DEPTH),
    values=(ERROR, RANK, "fit_time [s]"),
    tabled={"test error": ERROR, "rank": RANK},
)
