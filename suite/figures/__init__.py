"""The figures of [JK24], with seeds and intervals, and nine figures that the paper lacks; one file per figure.

Each figure is made in four steps, each of which can be repeated on its own: runs (an ordinary sweep into a store), data
(one row per run or layer, written as CSV), summary (means and intervals, written as CSV), and drawing (from the two CSV
files alone).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from leakybench.errors import UsageError

if TYPE_CHECKING:
    from leakybench.figures.figure import Figure

MODULES: dict[str, tuple[str, str]] = {
    "1a": ("rank_limit", "-2H/Lt and the smallest cost of identity against the effective depth"),
    "1b": ("spectra", "spectra of representations and weights along the path"),
    "1c": ("energies", "kinetic energy, cost of identity, cross term and Hamiltonian along the path"),
    "2a": ("step_rules", "test error against the number of layers for the three step rules"),
    "2b": ("weight_spectra", "weight spectra under adaptive and uniform steps"),
    "2c": ("paths", "paths of representations in two dimensions"),
    "3": ("bounded", "path length and momenta against the effective depth"),
    "theorem": ("theorem", "both sides of the stable decomposition theorem"),
    "cross-term": ("cross_term", "size of the cross term in the Lagrangian"),
    "layers": ("layers", "the theorem and H against the number of layers alone"),
    "adaptive": ("adaptive", "adaptive against uniform steps at equal depth and at equal time"),
    "depth-grid": ("depth_grid", "test error over effective depth and number of layers"),
    "rank": ("rank", "every estimator of the rank against the true rank"),
    "controls": ("controls", "what else could explain that effective depth saves samples"),
    "few-samples": ("few_samples", "step rules at few samples"),
    "tuned": ("tuned", "methods as they are and tuned"),
}
"""For each figure name, the module that makes it and what it shows. The first seven figures are those of [JK24]."""


def names_of(text: str | None) -> list[str]:
    """Parse the figure names of ``--only`` and put them into the order of ``MODULES``; None selects all of them.

    Raises:
        UsageError: no figure has one of the names, or there is no name.
    """
    if text is None:
        return list(MODULES)
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in MODULES:
            raise UsageError(f"there is no figure {name[:40]!r}; the figures are: {', '.join(MODULES)}")
    if not wanted:
        raise UsageError(f"--only needs the names of figures: {', '.join(MODULES)}")
    return [name for name in MODULES if name in wanted]


def load_figure(name: str) -> Figure:
    """Import the module of a figure and return the figure."""
    figure: Figure = importlib.import_module(f"leakybench.figures.{MODULES[name][0]}").FIGURE
    return figure
