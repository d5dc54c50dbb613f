"""Both sides of the stable decomposition theorem on trained networks [JK24 section 2]; not in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import DEPTH, EFFECTIVE_DEPTH, Figure, Runs
from leakybench.figures.style import BLUE, GREEN, VERMILION, common_legend, depth_axis, panels, series
from leakybench.figures.summary import seeds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STABILISERS = ("1e-4", "1e-6", "1e-8")
PARTS = {"whole": "", "inside": "_inside"}
TITLES = {"whole": "whole path", "inside": r"inside, $p \in [0.35, 0.75]$"}
GAP, LOW, HIGH = "gap [rank]", "lower_bound [rank]", "upper_bound [rank]"
HOLDS, SHARE = "first_inequality_holds [share of runs]", "second_inequality_holds [share of layers]"
SHOWN_G0 = "1e-6"


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run, g0 and part of the path: the gap -2H/Lt - min COI, its bounds, and whether they hold."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        for g0 in STABILISERS:
            for part, suffix in PARTS.items():
                name = f"theorem_gap{{}}{suffix}_{g0}"
                holds = run.record.measures.get(name.format("_holds"))
                rows.append(
                    {
                        **run.keys,
                        EFFECTIVE_DEPTH: run.setting("effective_depth"),
                        DEPTH: run.setting("depth"),
                        "g0": g0,
                        "part": part,
                        GAP: run.measure(name.format("")),
                        LOW: run.measure(name.format("_low")),
                        HIGH: run.measure(name.format("_high")),
                        HOLDS: float(holds) if isinstance(holds, bool) else float("nan"),
                        SHARE: run.measure(f"theorem_excess_share{suffix}_{g0}"),
                        "criticality [share of |W|]": run.measure("criticality"),
                    }
                )
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Left and middle panel: the gap and its bounds, on the whole path and inside. Right panel: the second inequality.

    The y axes of the gap are linear up to 1 and logarithmic beyond.
    """
    canvas, axes = panels(3, width=0.95, height=1.35)
    rows = summary[summary["g0"] == SHOWN_G0]
    for panel, part in zip(axes, PARTS, strict=False):
        here = rows[rows["part"] == part]
        series(panel, here, HIGH, EFFECTIVE_DEPTH, label=r"upper bound $\gamma c$", style=(VERMILION, "v", "--"))
        label = r"$-2H/\tilde L - \min_p |A_p|^2_{K + \gamma I}$"
        series(panel, here, GAP, EFFECTIVE_DEPTH, label=label, style=(BLUE, "o", "-"))
        label = r"lower bound $-(\ell/\tilde L + \sqrt{\gamma c})^2$"
        series(panel, here, LOW, EFFECTIVE_DEPTH, label=label, style=(GREEN, "^", "-."))
        panel.axhline(0.0, color="black", linewidth=0.6)
        panel.set_yscale("symlog", linthresh=1.0)
        panel.set_title(TITLES[part], fontsize=9)
        panel.set_ylabel("rank")
        depth_axis(panel, summary[EFFECTIVE_DEPTH], r"effective depth $\tilde L$")
    held = data[(data["g0"] == SHOWN_G0) & data[HOLDS].notna()].groupby("part")[HOLDS]
    counts = ", ".join(f"{part}: {int(values.sum())} of {len(values)} runs" for part, values in held)
    for number, g0 in enumerate(STABILISERS):
        label = rf"$g_0 = 10^{{{int(g0[2:])}}}$"
        whole = summary[(summary["g0"] == g0) & (summary["part"] == "whole")]
        series(axes[2], whole, SHARE, EFFECTIVE_DEPTH, number=number + 3, label=label)
    axes[2].set_ylim(0, 1.05)
    axes[2].set_title("second inequality, whole path", fontsize=9)
    axes[2].set_ylabel("share of the layers at which it holds")
    depth_axis(axes[2], summary[EFFECTIVE_DEPTH], r"effective depth $\tilde L$")
    if axes[2].get_legend_handles_labels()[0]:
        axes[2].legend(loc="lower left")
    common_legend(canvas, axes[:2])
    canvas.suptitle(
        rf"left and middle at $g_0 = 10^{{{int(SHOWN_G0[2:])}}}$; {seeds_text(rows)}; first inequality holds, {counts}",
        fontsize=8,
    )
    return canvas


FIGURE = Figure(
    name="theorem",
    caption="LowRank-k3-v0, preset converged. One gamma for the path, g0 times the largest |S_l|^2; c = max |B|^2 and "
    "the length of the path, or of its part.",
    grids=studies.depth_study,
    collect=collect,
    draw=draw,
    by=(EFFECTIVE_DEPTH, DEPTH, "g0", "part"),
    values=(GAP, LOW, HIGH, HOLDS, SHARE),
    tabled={
        "lower bound": LOW,
        "-2H/Lt - min COI": GAP,
        "upper bound": HIGH,
        "first holds": HOLDS,
        "second holds": SHARE,
    },
    table_of={"g0": (SHOWN_G0,), EFFECTIVE_DEPTH: (3, 7, 10, 15, 20)},
)
