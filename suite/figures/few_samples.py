"""Step rules at few samples, where they change the error most; not in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from leakybench.analysis.scores import steps_of
from leakybench.figures import studies
from leakybench.figures.figure import DEPTH, Figure, Runs
from leakybench.figures.style import BLACK, COLOURS, MARKERS, common_legend, mark, panels
from leakybench.figures.summary import paired_differences, seeds_text, summarise_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

ERROR, SAMPLES = "test_error [variance of the targets]", "n_train [samples]"
PLACE = ["task", SAMPLES, DEPTH]
UNIFORM = "uniform"
RIVALS = tuple(rule for rule in studies.FEW_RULES if rule != UNIFORM)
MOVING, HELD = "adaptive", ("early", "settled")
"""A rule that moves the layers all along, and those that hold them still in the main phase."""
PAIRS = (*((rule, UNIFORM) for rule in RIVALS), *((rule, MOVING) for rule in HELD))


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run."""
    rows = [
        {
            **run.keys,
            "task": run.record.run.task,
            SAMPLES: run.record.run.task_overrides.get("n_train"),
            DEPTH: run.setting("depth"),
            "steps": steps_of(run.record.run.baseline, run.record.run.baseline_overrides),
            ERROR: run.record.test_error,
            "objective [variance of the targets]": run.record.training.get("objective", float("nan")),
            "fit_time [s]": run.record.wall_clock.get("fit"),
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def differences(data: pd.DataFrame) -> pd.DataFrame:
    """The error of uniform steps, and the differences of ``PAIRS``, paired by seed."""
    uniform = summarise_points(data[data["steps"] == UNIFORM], PLACE, [ERROR]).assign(quantity=UNIFORM)
    tables = [
        paired_differences(data, ERROR, first=first, second=second, rule="steps", by=PLACE) for first, second in PAIRS
    ]
    return pd.concat([uniform, *(table for table in tables if len(table))], ignore_index=True)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """A panel for each task: differences from uniform steps at each number of samples and layers."""
    tasks = list(dict.fromkeys(data["task"]))
    canvas, axes = panels(len(tasks), width=1.2, height=1.2, sharey=True)
    for panel, task in zip(axes, tasks, strict=True):
        rows = summary[summary["task"] == task]
        points = sorted({(samples, depth) for samples, depth in zip(rows[SAMPLES], rows[DEPTH], strict=True)})
        for number, rule in enumerate(RIVALS):
            for place, (samples, depth) in enumerate(points):
                here = (rows[SAMPLES] == samples) & (rows[DEPTH] == depth)
                found = rows[here & (rows["quantity"] == f"{rule} - {UNIFORM}")]
                for _, row in found.iterrows():
                    mark(panel, place + 0.16 * (number - (len(RIVALS) - 1) / 2), row, number=number)
            panel.plot([], [], color=COLOURS[number], marker=MARKERS[number], label=rule)
        panel.axhline(0.0, color=BLACK, linewidth=0.9)
        panel.set_xticks(range(len(points)), [f"N = {samples:g}\nL = {depth:g}" for samples, depth in points])
        panel.set_title(task, fontsize=8)
    axes[0].set_ylabel("test error minus that of uniform steps")
    common_legend(canvas, axes, columns=len(RIVALS))
    canvas.suptitle(rf"$\tilde L = {studies.FEW_LEAK}$, {seeds_text(summary)}; below 0: better", fontsize=8)
    return canvas


FIGURE = Figure(
    name="few-samples",
    caption="Leaky ResNets with Lt = 7, preset standard. The column uniform is the test error of uniform steps, the "
    "others are differences, paired by seed; below 0 the first rule is better.",
    grids=studies.few_samples_study,
    collect=collect,
    draw=draw,
    by=("task", SAMPLES, DEPTH),
    values=(),
    extra=differences,
    tabled={UNIFORM: UNIFORM, **{f"{first} - {second}": f"{first} - {second}" for first, second in PAIRS}},
)
