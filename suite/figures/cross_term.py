"""The size of the cross term, which [JK24 section 1.4] calls minor; not in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import DEPTH, EFFECTIVE_DEPTH, Figure, Runs
from leakybench.figures.style import BLACK, BLUE, ORANGE, PURPLE, common_legend, depth_axis, panels, series
from leakybench.figures.summary import seeds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STABILISERS = ("1e-1", "1e-2", "1e-3", "1e-4")
PARTS = {"whole": "", "inside": "_inside"}
TITLES = {"whole": "whole path", "inside": r"inside, $p \in [0.35, 0.75]$"}
KINETIC, CROSS, POTENTIAL = (f"{name} [share of Lagrangian]" for name in ("kinetic", "cross", "potential"))
SHOWN_G0 = "1e-3"


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run, g0 and part of the path: the three terms integrated over p, as shares of their sum."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        for g0 in STABILISERS:
            for part, suffix in PARTS.items():
                kinetic, cross = (run.measure(f"{name}_share{suffix}_{g0}") for name in ("kinetic", "cross"))
                rows.append(
                    {
                        **run.keys,
                        EFFECTIVE_DEPTH: run.setting("effective_depth"),
                        DEPTH: run.setting("depth"),
                        "g0": g0,
                        "part": part,
                        KINETIC: kinetic,
                        CROSS: cross,
                        POTENTIAL: 1.0 - kinetic - cross,
                    }
                )
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Shares on the whole path and inside the bottleneck."""
    canvas, axes = panels(2, height=1.25, sharey=True)
    rows = summary[summary["g0"] == SHOWN_G0]
    for panel, part in zip(axes, PARTS, strict=True):
        here = rows[rows["part"] == part]
        for quantity, label, style in (
            (POTENTIAL, r"potential, $\frac{\tilde L}{2} |A|^2$", (BLUE, "o", "-")),
            (KINETIC, r"kinetic, $\frac{1}{2 \tilde L} |\dot A|^2$", (ORANGE, "s", "--")),
            (CROSS, r"cross term, $\langle \dot A, A \rangle$", (PURPLE, "^", "-.")),
        ):
            series(panel, here, quantity, EFFECTIVE_DEPTH, label=label, style=style)
        panel.axhline(0.0, color=BLACK, linewidth=0.6)
        panel.set_title(TITLES[part], fontsize=9)
        depth_axis(panel, summary[EFFECTIVE_DEPTH], r"effective depth $\tilde L$")
    axes[0].set_ylabel("share of the Lagrangian")
    common_legend(canvas, axes)
    canvas.suptitle(rf"$g_0 = 10^{{{int(SHOWN_G0[2:])}}}$, {seeds_text(rows)}", fontsize=8)
    return canvas


FIGURE = Figure(
    name="cross-term",
    caption="LowRank-k3-v0, preset converged. Integrals over p of the three terms of the Lagrangian, as shares of it.",
    grids=studies.depth_study,
    collect=collect,
    draw=draw,
    by=(EFFECTIVE_DEPTH, DEPTH, "g0", "part"),
    values=(KINETIC, CROSS, POTENTIAL),
    tabled={"potential": POTENTIAL, "kinetic": KINETIC, "cross term": CROSS},
    table_of={"g0": (SHOWN_G0,), EFFECTIVE_DEPTH: (3, 7, 20)},
)
