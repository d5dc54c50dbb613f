"""Figure 1b: singular values of the representations and of the weights along the path [JK24 figure 1b]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leakybench.figures import studies
from leakybench.figures.figure import POSITION, Figure, Runs, Stored
from leakybench.figures.style import BLUE, GREY, ORANGE, common_legend, panels, series
from leakybench.figures.summary import seeds_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

KINDS = {
    "representation": ("spectra_centred", r"representations $A_p$, centred"),
    "weight": ("weight_spectra", r"weights $W_p / \tilde L$"),
}
SHOWN = 8
"""Number of singular values of each spectrum that are drawn; the data hold all those of the records."""
VALUE = "log10_singular_value [1]"
FLOOR = 1e-6


def spectrum_rows(run: Stored, kind: str, values: np.ndarray, places: np.ndarray) -> Iterator[dict[str, Any]]:
    """Rows of one kind of spectrum along the path, from values (layers, m) at positions ``places`` (layers,)."""
    for layer, (place, row) in enumerate(zip(places, values, strict=True)):
        for index, value in enumerate(row, start=1):
            yield {
                **run.keys,
                "kind": kind,
                "layer": layer,
                "index": index,
                POSITION: float(place),
                "singular_value [1]": float(value),
                # a spectrum of exact rank ends in zeros, which have no logarithm
                VALUE: float(np.log10(max(value, FLOOR))),
            }


def collect(runs: Runs) -> pd.DataFrame:
    """One row per run, layer and singular value.

    Those of representations are divided by the first one of A_0, those of weights by Lt. The position of A_l is p_l,
    that of W_l is the middle of its step.
    """
    rows: list[dict[str, Any]] = []
    for run in runs:
        if not run.ok or "spectra_centred" not in run.arrays:
            continue
        p = run.arrays["positions"]
        spectra = run.arrays["spectra_centred"]
        rows += spectrum_rows(run, "representation", spectra / max(spectra[0, 0], FLOOR), p)
        middles = 0.5 * (p[1:] + p[:-1])
        rows += spectrum_rows(run, "weight", run.arrays["weight_spectra"] / run.setting("effective_depth"), middles)
    return pd.DataFrame(rows)


def draw_spectrum(axes: Axes, summary: pd.DataFrame, title: str) -> None:
    """The first singular values of one spectrum against p, geometric means with intervals on a logarithmic axis."""
    rank = studies.RANK
    ends = [f"{name} [of quantity]" for name in ("mean", "low", "high")]
    for index in range(1, SHOWN + 1):
        rows = summary[summary["index"] == index]
        colour, label = (BLUE, f"1 to {rank}") if index <= rank else (ORANGE, f"{rank + 1}")
        if index > rank + 1:
            colour, label = GREY, f"{rank + 2} to {SHOWN}"
        line = "-" if index <= rank else "--" if index == rank + 1 else ":"
        first = index in (1, rank + 1, rank + 2)
        shown = rows.copy()
        shown[ends] = 10.0 ** shown[ends]
        series(axes, shown, VALUE, POSITION, style=(colour, "", line), label=label if first else "", band=True)
    axes.set_yscale("log")
    axes.set_xlim(0, 1)
    axes.set_xlabel("place on the depth axis $p$")
    axes.set_title(title, fontsize=9)


def draw(data: pd.DataFrame, summary: pd.DataFrame) -> Canvas:
    """Two panels: representations and weights."""
    canvas, axes = panels(2, height=1.15)
    for panel, (kind, (_, title)) in zip(axes, KINDS.items(), strict=True):
        draw_spectrum(panel, summary[summary["kind"] == kind], title)
        panel.set_ylabel("singular value" + (" / largest of the input" if kind == "representation" else ""))
    common_legend(canvas, axes, title="number of the singular value")
    canvas.suptitle(rf"$\tilde L = {studies.PROFILE_DEPTH}$, {seeds_text(summary)}", fontsize=8)
    return canvas


FIGURE = Figure(
    name="1b",
    caption="LowRank-k3-v0, Lt = 7, L = 20, preset converged: geometric means over seeds. The bias is left out of the "
    "weights.",
    grids=studies.profile_study,
    collect=collect,
    draw=draw,
    by=("kind", "layer", "index"),
    along=POSITION,
    values=(VALUE,),
)
