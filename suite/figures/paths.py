"""Figure 2c: the paths of representations in two dimensions, one point per layer [JK24 figure 2c]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leakybench.analysis.scores import steps_of
from leakybench.figures import studies
from leakybench.figures.figure import POSITION, Figure, Runs
from leakybench.figures.style import BLACK, GREY, RULES, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

FIRST, SECOND, SHARE = "first [|A|/sqrt(N)]", "second [|A|/sqrt(N)]", "shown [share of variance]"


def project_paths(paths: Sequence[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """Project several paths onto their two common principal directions; a point is a whole representation.

    Args:
        paths: arrays (L + 1, n, w), where L may differ from path to path.

    Returns:
        The coordinates of each path over sqrt(n), (L + 1, 2), and the share of the variance of all points that lies in
        this plane.
    """
    points = np.concatenate([path.reshape(len(path), -1) for path in paths])
    points = (points - points.mean(axis=0)) / np.sqrt(paths[0].shape[1])
    # there are as many points as layers, in a space of n w dimensions: the Gram matrix is the smaller one
    values, vectors = np.linalg.eigh(points @ points.T)
    best = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0.0))
    best *= np.where(best[0] > 0.0, -1.0, 1.0)  # the sign is free: let the path start at the lower left
    share = float(values[::-1][:2].sum() / values.sum())
    return np.split(best, np.cumsum([len(path) for path in paths])[:-1]), share


def collect(runs: Runs) -> pd.DataFrame:
    """One row per layer. Records hold no representations, so each network is trained again from the same seed."""
    import leakybench

    paths, traced = [], []
    for run in runs:
        if not run.ok:
            continue
        spec = run.record.run
        train = leakybench.make(spec.task, seed=spec.seed, **spec.task_overrides).train
        baseline = leakybench.make_baseline(spec.baseline, **spec.baseline_overrides)
        model = baseline.fit(train, seed=spec.seed, preset=spec.preset)
        if isinstance(model, leakybench.baseline.TraceableModel):
            paths.append(model.representations(train.inputs))
            traced.append(run)
    if not paths:
        return pd.DataFrame()
    places, share = project_paths([path.activations for path in paths])
    return pd.DataFrame(
        [
            {
                **run.keys,
                "steps": steps_of(run.record.run.baseline, run.record.run.baseline_overrides),
                "layer": layer,
                POSITION: float(path.positions[layer]),
                FIRST: float(place[layer, 0]),
                SECOND: float(place[layer, 1]),
                SHARE: share,
            }
            for run, path, place in zip(traced, paths, places, strict=True)
            for layer in range(len(place))
        ]
    )


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """One panel per step rule, on common axes."""
    names = [rule for rule in RULES if rule in set(data["steps"])]
    canvas, axes = panels(len(names), width=0.85, height=1.1, sharex=True, sharey=True)
    for panel, rule in zip(axes, names, strict=True):
        rows = data[data["steps"] == rule].sort_values("layer")
        for other in names:
            rest = data[data["steps"] == other].sort_values("layer")
            panel.plot(rest[FIRST], rest[SECOND], color=GREY, linewidth=0.6, alpha=0.5)
        panel.plot(rows[FIRST], rows[SECOND], color=RULES[rule][0], marker=RULES[rule][1], linewidth=1.0)
        for row, text in ((rows.iloc[0], "input"), (rows.iloc[-1], "output")):
            place = (row[FIRST], row[SECOND])
            panel.annotate(text, place, xytext=(4, -11), textcoords="offset points", fontsize=8, color=BLACK)
        panel.set_title(f"{rule} steps", fontsize=9)
        panel.set_xlabel(r"first direction ($|A| / \sqrt{N}$)")
        panel.margins(0.12)
    axes[0].set_ylabel("second direction")
    canvas.suptitle(
        rf"$\tilde L = {studies.STEPS_DEPTH}$, $L = {studies.SPECTRA_LAYERS}$, seed {data['seed'].iloc[0]}; the two "
        f"directions show {100 * data[SHARE].iloc[0]:.0f}% of the variance; grey: the other rules",
        fontsize=8,
    )
    return canvas


FIGURE = Figure(
    name="2c",
    caption="NestedRank-6-3-v0, Lt = 3, L = 18, preset standard, one seed: common principal directions of the three "
    "paths; each point is a representation of all training inputs.",
    grids=studies.paths_study,
    collect=collect,
    draw=draw,
    by=("steps",),
    values=(SHARE,),
    costly=True,
)
