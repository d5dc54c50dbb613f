"""Methods as they are and tuned on held-out training rows, with what the searches cost; not in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import EFFECTIVE_DEPTH, Figure, Runs, Stored
from leakybench.figures.style import BLACK, COLOURS, MARKERS, common_legend, mark, panels
from leakybench.figures.summary import paired_differences, seeds_text, summarise_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

ERROR, SECONDS, DEPTHS = "test_error [variance of the targets]", "search [s]", f"chosen {EFFECTIVE_DEPTH}"
HELD_OUT = "held_out [variance of the targets]"
DEFAULT, TUNED = "default", "tuned"
DIFFERENCE = f"{TUNED} - {DEFAULT}"
PLACE = ["task", "baseline"]


def _search(run: Stored) -> dict[str, float]:
    found = run.record.training.get("tuning") or {}
    nan = float("nan")
    chosen = found.get("settings", {})
    # a search that keeps the default chooses the default's effective depth
    depth = chosen.get("effective_depth", run.default("effective_depth", nan)) if found else nan
    counts = found.get("counts", {})
    return {
        SECONDS: found.get("seconds", nan),
        HELD_OUT: found.get("held_out", nan),
        "held_out_default [variance of the targets]": found.get("held_out_default", nan),
        DEPTHS: float(depth),
        **{f"trials {state} [1]": counts.get(state, nan) for state in ("complete", "pruned", "failed")},
    }


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run."""
    rows = [
        {
            **run.keys,
            "task": run.record.run.task,
            "baseline": run.record.run.baseline,
            "kind": TUNED if "tune" in run.record.run.baseline_overrides else DEFAULT,
            ERROR: run.record.test_error,
            "fit_time [s]": run.record.wall_clock.get("fit"),
            **_search(run),
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def differences(data: pd.DataFrame) -> pd.DataFrame:
    """Errors of the two kinds and their difference, paired by seed; seconds and chosen depths of the searches."""
    tables = [
        summarise_points(data[data["kind"] == kind], PLACE, [ERROR]).assign(quantity=kind) for kind in (DEFAULT, TUNED)
    ]
    tables.append(paired_differences(data, ERROR, first=TUNED, second=DEFAULT, rule="kind", by=PLACE))
    tables.append(summarise_points(data[data["kind"] == TUNED], PLACE, [SECONDS, DEPTHS]))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Paired differences of each method on each task."""
    tasks, methods = list(dict.fromkeys(data["task"])), list(dict.fromkeys(data["baseline"]))
    canvas, (axes,) = panels(1, width=2.2, height=1.4)
    rows = summary[summary["quantity"] == DIFFERENCE]
    for number, method in enumerate(methods):
        for place, task in enumerate(tasks):
            for _, row in rows[(rows["task"] == task) & (rows["baseline"] == method)].iterrows():
                mark(axes, place + 0.8 * ((number + 0.5) / len(methods) - 0.5), row, number=number)
        axes.plot([], [], color=COLOURS[number % 6], marker=MARKERS[number % 6], label=method)
    axes.axhline(0.0, color=BLACK, linewidth=0.9)
    axes.set_xticks(range(len(tasks)), [task.removesuffix("-v0") for task in tasks], rotation=15, ha="right")
    axes.set_ylabel("test error, tuned minus default")
    common_legend(canvas, [axes], columns=3)
    canvas.suptitle(f"{seeds_text(rows)}; below 0: tuning helps", fontsize=8)
    return canvas


FIGURE = Figure(
    name="tuned",
    caption=f"{studies.TUNED_SAMPLES} samples, preset standard, {studies.TUNED_TRIALS} trials on held-out quarters of "
    "the training rows. Differences are paired by seed; the chosen effective depth is the mean over seeds.",
    grids=studies.tuned_study,
    collect=collect,
    draw=draw,
    by=("task", "baseline"),
    values=(),
    extra=differences,
    tabled={
        DEFAULT: DEFAULT,
        TUNED: TUNED,
        DIFFERENCE: DIFFERENCE,
        "search [s]": SECONDS,
        "chosen Lt": DEPTHS,
    },
)
