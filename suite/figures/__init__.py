"""The figures of [JK24], with seeds and intervals, and six that the paper lacks. One file a figure.

Each figure goes through four steps that can be repeated alone: runs (an ordinary sweep into a store), data (one row a
run or a layer, written as CSV), summary (means and intervals, written as CSV), drawing (from the two CSV files alone).
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
}
"""Name of a figure: the module here that makes it, and what it shows. The first seven are those of [JK24]."""


def names_of(text: str | None) -> list[str]:
    """The figures that ``--only`` asks for, in order; all of them for None.

    Raises:
        UsageError: a name that no figure has.
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


def load(name: str) -> Figure:
    """The figure ``name``, its module imported."""
    figure: Figure = importlib.import_module(f"leakybench.figures.{MODULES[name][0]}").FIGURE
    return figure
