"""Figure 2a: test error against the number of layers for the three step rules [JK24 figure 2a]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from leakybench.analysis.scores import steps_of
from leakybench.figures import studies
from leakybench.figures.figure import DEPTH, Figure, Runs
from leakybench.figures.style import BLACK, RULES, common_legend, panels, series
from leakybench.figures.summary import paired_differences, seeds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

ERROR = "test_error [variance of the targets]"
RIVALS = ("irregular", "adaptive")


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run."""
    rows = [
        {
            **run.keys,
            "steps": steps_of(run.record.run.baseline, run.record.run.baseline_overrides),
            DEPTH: run.setting("depth"),
            ERROR: run.record.test_error,
            "train_error [variance of the targets]": run.record.train_error,
            "bottleneck_rank [rank]": run.record.bottleneck_rank,
            "fit_time [s]": run.record.wall_clock.get("fit"),
            # the fit times of runs that were trained side by side are not those of an idle machine
            "workers": run.record.provenance.get("workers"),
            # each evaluation passes through every layer: this cost does not depend on the load of the machine
            "cost [layer evaluations]": run.setting("depth") * run.record.training.get("evaluations", float("nan")),
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def differences_from_uniform(data: pd.DataFrame) -> pd.DataFrame:
    """Errors of each rule minus uniform at equal depth, paired by seed."""
    tables = [
        paired_differences(data, ERROR, first=rule, second="uniform", rule="steps", by=[DEPTH]) for rule in RIVALS
    ]
    return pd.concat(tables, ignore_index=True)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Left panel: errors. Right panel: paired differences from uniform steps."""
    canvas, (left, right) = panels(2, height=1.35)
    for rule, shift in zip(RULES, (-0.2, 0.0, 0.2), strict=True):
        rows = summary[summary["steps"] == rule]
        series(left, rows, ERROR, DEPTH, style=RULES[rule], label=rule, shift=shift)
    for rule, shift in zip(RIVALS, (-0.1, 0.1), strict=True):
        label = f"{rule} - uniform"
        series(right, summary, label, DEPTH, style=RULES[rule], shift=shift)
    right.axhline(0.0, color=BLACK, linewidth=0.9)
    left.set_ylim(0, None)
    left.set_ylabel("test error (share of the variance)")
    right.set_ylabel("minus that of uniform steps, same seed")
    for axes in (left, right):
        axes.set_xticks(sorted(int(depth) for depth in data[DEPTH].unique()))
        axes.set_xlabel("number of layers $L$")
    common_legend(canvas, [left])
    canvas.suptitle(rf"$\tilde L = {studies.STEPS_DEPTH}$, {seeds_text(summary)}; below 0: better", fontsize=8)
    return canvas


FIGURE = Figure(
    name="2a",
    caption="NestedRank-6-3-v0 (dimensions 30-6-3-30), Leaky ResNets with Lt = 3, preset standard. Right: paired by "
    "seed; the seed also draws the task.",
    grids=studies.steps_study,
    collect=collect,
    draw=draw,
    by=("steps", DEPTH),
    values=(ERROR, "train_error [variance of the targets]", "bottleneck_rank [rank]", "fit_time [s]",
            "cost [layer evaluations]"),
    extra=differences_from_uniform,
    tabled={"test error": ERROR, **{f"{rule} - uniform": f"{rule} - uniform" for rule in RIVALS}},
)  # fmt: skip
