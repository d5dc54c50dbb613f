"""Controls of the samples that effective depth saves: weights, layers and training, changed one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leakybench.analysis.labels import effective_depth
from leakybench.figures import studies
from leakybench.figures.figure import EFFECTIVE_DEPTH, Figure, Runs, Stored
from leakybench.figures.style import COLOURS, MARKERS, common_legend, panels, series
from leakybench.figures.summary import paired_differences, seeds_text
from leakybench.settings import complete

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

ERROR, OBJECTIVE, ALIGNMENT = (
    "test_error [variance of the targets]", "objective [variance of the targets]", "code_alignment [share]",
)  # fmt: skip
AS_IT_IS, STARTED, CONVERGED = "as it is", f"from Lt = {studies.START_DEPTH}", "converged"
DIFFERENCE = "change of the error"
OBJECTIVE_DIFFERENCE = "change of the objective"
PAIRS = {STARTED: AS_IT_IS, f"{STARTED}, {CONVERGED}": CONVERGED}
"""Runs of one objective: a start at a larger effective depth, and the usual one."""


def kind_of(run: Stored) -> str:
    """What differs from the network as it is, in words."""
    overrides, preset = run.record.run.baseline_overrides, run.record.run.preset
    depth = effective_depth(run.record.run.baseline_label)
    names: list[str] = []
    if overrides.get("start_depth") is not None:
        names.append(STARTED)
    if "initial" in overrides:
        names.append(f"{overrides['initial']} weights")
    if "gain" in overrides:
        names.append(f"gain {overrides['gain']:g}")
    if (layers := overrides.get("depth")) is not None:
        names.append("L = 2 Lt" if layers == 2 * (depth or 0) else f"L = {layers}")
    if preset != "standard":
        names.append("the paper's protocol" if preset == "paper" else preset)
    return ", ".join(names) or AS_IT_IS


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        record = run.record
        rows.append(
            {
                **run.keys,
                "task": record.run.task,
                "kind": kind_of(run),
                EFFECTIVE_DEPTH: effective_depth(record.run.baseline_label),
                "n_train [samples]": complete(*_task(run)).get("n_train"),
                ERROR: record.test_error,
                OBJECTIVE: record.training.get("objective", float("nan")),
                ALIGNMENT: record.code_alignment,
                "fit_time [s]": record.wall_clock.get("fit"),
            }
        )
    return pd.DataFrame(rows)


def _task(run: Stored) -> tuple[Any, dict[str, Any]]:
    from leakybench.registry import tasks

    return tasks.spec(run.record.run.task), dict(run.record.run.task_overrides)


def differences(data: pd.DataFrame) -> pd.DataFrame:
    """Change of the error by each control, and of the objective by a start at a larger depth; paired by seed."""
    tables = []
    kinds = list(dict.fromkeys(data["kind"]))
    for kind in kinds:
        tables.append(_difference(data, ERROR, kind, AS_IT_IS, DIFFERENCE))
        if kind in PAIRS:
            tables.append(_difference(data, OBJECTIVE, kind, PAIRS[kind], OBJECTIVE_DIFFERENCE))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def _difference(data: pd.DataFrame, value: str, kind: str, base: str, name: str) -> pd.DataFrame:
    if kind == base:
        return pd.DataFrame()
    by = ["task", EFFECTIVE_DEPTH]
    table = paired_differences(data, value, first=kind, second=base, rule="kind", by=by)
    return table.assign(kind=kind, quantity=name)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """A panel for each task: the error over the effective depth, a line for each control."""
    tasks, kinds = list(dict.fromkeys(data["task"])), list(dict.fromkeys(data["kind"]))
    canvas, axes = panels(len(tasks), width=1.25, height=1.5, sharey=True)
    known = sorted(depth for depth in data[EFFECTIVE_DEPTH].unique() if np.isfinite(depth))
    places = {depth: float(place) for place, depth in enumerate([*known, np.inf])}
    placed = summary.assign(place=summary[EFFECTIVE_DEPTH].map(places))
    for panel, task in zip(axes, tasks, strict=True):
        for number, kind in enumerate(kinds):
            rows = placed[(placed["task"] == task) & (placed["kind"] == kind)]
            look = (COLOURS[number % 6], MARKERS[number % 6], "-" if number < 6 else ":")
            shift = 0.5 * (number / max(len(kinds) - 1, 1) - 0.5)
            series(panel, rows, ERROR, "place", label=kind, style=look, shift=shift)
        panel.set_xticks(range(len(places)), [f"{d:g}" if np.isfinite(d) else "fully\nconnected" for d in places])
        panel.set_xlabel("effective depth Lt (0: ResNet)")
        counts = "/".join(
            f"{int(count)}" for count in sorted(data.loc[data["task"] == task, "n_train [samples]"].unique())
        )
        panel.set_title(f"{task}, {counts} samples", fontsize=8)
        panel.set_ylim(0, None)
    axes[0].set_ylabel("test error (share of the variance)")
    common_legend(canvas, axes, columns=4)
    canvas.suptitle(seeds_text(summary[summary["quantity"] == ERROR]), fontsize=8)
    return canvas


FIGURE = Figure(
    name="controls",
    caption="Staircase-k3-v0 with 300 samples and Curved-k2-v0 with 100: networks of each effective depth, with one "
    "thing changed at a time. Changes are paired by seed with the network as it is; those of the objective with the "
    "usual start of the same preset.",
    grids=studies.controls_study,
    collect=collect,
    draw=draw,
    by=("task", "kind", EFFECTIVE_DEPTH),
    values=(ERROR, OBJECTIVE, ALIGNMENT, "fit_time [s]"),
    extra=differences,
    tabled={
        "test error": ERROR,
        DIFFERENCE: DIFFERENCE,
        "code alignment": ALIGNMENT,
        OBJECTIVE_DIFFERENCE: OBJECTIVE_DIFFERENCE,
    },
)
