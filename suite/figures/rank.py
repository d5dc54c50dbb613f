"""The share of networks on which each estimator of the rank is right, on tasks of known rank; not in the paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import Figure, Runs
from leakybench.figures.style import BLACK, PANEL
from leakybench.figures.summary import COLUMNS
from leakybench.stats import proportion_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

DEFAULT = "test_function_jacobian"
ESTIMATORS = {
    DEFAULT: "Jacobian of f, held-out (the default)",
    "function_jacobian": "Jacobian of f, training",
    "path_jacobian": "Jacobian of the path",
    "weight_spectrum": "weights, less one",
    "plain_spectrum": "A, less one",
    "centred_spectrum": "A, centred",
    "test_centred_spectrum": "A, centred, held-out",
    "coi_1e-1": "COI, g0 1e-1",
    "coi_1e-2": "COI, g0 1e-2",
    "coi_1e-3": "COI, g0 1e-3",
    "coi_1e-4": "COI, g0 1e-4",
    "stable_hamiltonian": "-2H/Lt, energies",
    "hamiltonian": "-2H/Lt, momenta",
}
"""For each estimator in the evidence of a record, the quantity that it uses."""

TRUE, MEASURED, GAP = "true_rank [rank]", "measured_rank [rank]", "gap [ratio]"
DIMENSION, NOISE, ERROR = "dimension [inputs]", "noise [rms of the targets]", "test_error [variance of the targets]"
NOT_OK = "not_ok [share of runs]"
MAIN = "k to 5, d 20 to 50"
"""The slice of the full grid: true rank 1, 2, 3, 5 in 20, 30 and 50 dimensions, without noise."""

BINS = ("none", "1", "2", "3", "4", "5", "6", "7-9", "10", "more")
"""Bins of the measured rank in the drawing."""


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run and estimator.

    The measured rank is missing if the run is not ok or the estimator has no answer.
    """
    rows: list[dict[str, Any]] = []
    for run in runs:
        settings, answers = run.record.run.task_overrides, run.record.rank_evidence.get("estimators", {})
        for estimator in ESTIMATORS:
            evidence = answers.get(estimator, {})
            rows.append(
                {
                    **run.keys,
                    "estimator": estimator,
                    TRUE: run.record.true_rank,
                    DIMENSION: settings.get("d", studies.DIMENSION),
                    NOISE: settings.get("noise", 0.0),
                    MEASURED: evidence.get("rank"),
                    GAP: evidence.get("gap"),
                    ERROR: run.record.test_error,
                }
            )
    # without the cast, a column in which no estimator has an answer would hold objects
    return pd.DataFrame(rows).astype({MEASURED: float, GAP: float}) if rows else pd.DataFrame()


def slices(data: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The parts of the study over which a share is taken, with their names.

    Ranks and dimensions are compared without noise, dimensions only at the ranks of the full grid. Noise levels are
    compared in 30 dimensions, at the seeds that all of them have.
    """
    clean = data[data[NOISE] == 0.0]
    full = clean[clean[TRUE].isin(studies.RANKS)]
    yield MAIN, full[full[DIMENSION].isin(studies.DIMENSIONS)]
    for rank, rows in clean.groupby(TRUE):
        yield f"k = {rank:g}", rows
    for dimension, rows in full.groupby(DIMENSION):
        yield f"d = {dimension:g}", rows
    noisy = data[(data[DIMENSION] == studies.DIMENSION) & data["seed"].isin(data.loc[data[NOISE] > 0.0, "seed"])]
    for noise, rows in noisy.groupby(NOISE):
        yield f"noise = {noise:g}", rows
    yield "all", data


def right(estimator: str) -> str:
    """Name of the quantity in the summary that holds the share of runs on which an estimator is right."""
    return f"{estimator}_right [share of runs]"


def shares(data: pd.DataFrame) -> pd.DataFrame:
    """Share of the ok runs in which each estimator is right, and share of the runs that are not ok, for each slice.

    The intervals are Wilson's. An estimator without an answer is not right.
    """
    rows: list[list[object]] = []
    for name, part in slices(data):
        runs = part[part["estimator"] == DEFAULT]
        if len(runs):
            rows.append([name, *_share_row(NOT_OK, runs["status"] != "ok")])
        ok = part[part["status"] == "ok"]
        for estimator, answers in ok.groupby("estimator", sort=False):
            rows.append([name, *_share_row(right(str(estimator)), answers[MEASURED] == answers[TRUE])])
    return pd.DataFrame(rows, columns=["slice", *COLUMNS])


def _share_row(quantity: str, hits: pd.Series) -> list[object]:
    share = proportion_interval(int(hits.sum()), len(hits))
    return [quantity, share.estimate, share.low, share.high, len(hits)]


def rank_counts(data: pd.DataFrame) -> pd.DataFrame:
    """Number of runs by estimator, true rank and measured rank, over all dimensions and noise levels."""
    ok = data[data["status"] == "ok"]
    keys = ["estimator", TRUE, MEASURED]
    counts = ok.groupby(keys, dropna=False, sort=False).size().rename("runs").reset_index()
    order = {name: place for place, name in enumerate(ESTIMATORS)}
    return counts.sort_values(keys, key=lambda column: column.map(order) if column.name == "estimator" else column)


def _bin(rank: float) -> str:
    if not np.isfinite(rank) or rank < 1:
        return BINS[0]
    if rank > 10:
        return BINS[-1]
    return "7-9" if 7 <= rank <= 9 else f"{rank:g}"


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """One panel per estimator: true rank on x, measured rank on y, and the number of runs in each cell."""
    from matplotlib.figure import Figure as Canvas

    columns = 5
    lines = -(-len(ESTIMATORS) // columns)
    canvas = Canvas(figsize=(0.72 * PANEL[0] * columns, 0.95 * PANEL[1] * lines), layout="constrained")
    panels = list(np.ravel(canvas.subplots(lines, columns, sharex=True, sharey=True)))
    counts, truths = rank_counts(data), sorted(data[TRUE].unique())
    for number, (panel, estimator) in enumerate(zip(panels, ESTIMATORS, strict=False)):
        _draw_counts(panel, counts[counts["estimator"] == estimator], truths)
        panel.set_title(f"{ESTIMATORS[estimator]}\n{_right_text(summary, estimator)}", fontsize=8)
        # the last row of panels is not full: above its gap, the panel of the row before is the lowest of its column
        panel.tick_params(labelbottom=number + columns >= len(ESTIMATORS))
        if number + columns >= len(ESTIMATORS):
            panel.set_xlabel("true rank")
        if number % columns == 0:
            panel.set_ylabel("measured rank")
    for panel in panels[len(ESTIMATORS) :]:
        panel.set_visible(False)
    runs = data.drop_duplicates("run_id")
    failed = int((runs["status"] != "ok").sum())
    text = f"{len(runs)} runs" + (f", {failed} not ok and left out" if failed else "")
    canvas.suptitle(f"{text}; outlined: right; under each name the share right of all runs", fontsize=8)
    return canvas


def _right_text(summary: pd.DataFrame, estimator: str) -> str:
    rows = summary[(summary["slice"] == "all") & (summary["quantity"] == right(estimator))]
    if rows.empty:
        return "no run"
    share, low, high = (float(rows[f"{name} [of quantity]"].iloc[0]) for name in ("mean", "low", "high"))
    return f"{share:.0%} ({low:.0%} to {high:.0%})"


def _draw_counts(axes: Axes, counts: pd.DataFrame, truths: list[float]) -> None:
    shades = np.zeros((len(BINS), len(truths)))
    for truth, measured, runs in counts[[TRUE, MEASURED, "runs"]].itertuples(index=False):
        shades[BINS.index(_bin(measured)), truths.index(truth)] += runs
    whole = np.maximum(shades.sum(axis=0), 1.0)
    axes.grid(False)
    axes.imshow(shades / whole, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", origin="lower")
    for (line, column), runs in np.ndenumerate(shades):
        if runs:
            colour = "white" if runs > 0.6 * whole[column] else "black"
            axes.text(column, line, f"{runs:g}", ha="center", va="center", fontsize=7.5, color=colour)
    for column, truth in enumerate(truths):
        line = BINS.index(_bin(truth))
        outline = ([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5])
        axes.plot(
            *(np.add(ends, place) for ends, place in zip(outline, (column, line), strict=True)), color=BLACK, lw=1
        )
    axes.set_xticks(range(len(truths)), [f"{truth:g}" for truth in truths])
    axes.set_yticks(range(len(BINS)), BINS)


FIGURE = Figure(
    name="rank",
    caption="LowRank tasks, Lt = 7, 12 layers, preset converged: true rank 1, 2, 3, 5 in 20, 30 and 50 dimensions; "
    "in addition rank 10, noise of 0.1 and 0.3 on the targets, and 100 dimensions.",
    grids=studies.rank_study,
    collect=collect,
    draw=draw,
    by=("slice",),
    values=(),
    extra=shares,
    further={"confusion": rank_counts},
    tabled={
        "default": right(DEFAULT),
        "training": right("function_jacobian"),
        "path": right("path_jacobian"),
        "weights": right("weight_spectrum"),
        "A - 1": right("plain_spectrum"),
        "A centred": right("centred_spectrum"),
        "COI, g0 1e-2": right("coi_1e-2"),
        "COI, g0 1e-3": right("coi_1e-3"),
        "-2H/Lt": right("hamiltonian"),
    },
    counted="runs",
)
