"""The panel of a run on the page: its facts as text, and its curves along the depth as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from leakybench.analysis.frame import number_or_none
from leakybench.record import Record
from leakybench.report import text
from leakybench.store import intact

CURVES = {
    "spectra_centred": ("Singular values of A, centred", True),
    "weight_spectra": ("Singular values of W", True),
    "hamiltonian": ("Hamiltonian H", False),
    "stable_hamiltonian": ("Stable Hamiltonian", False),
    "coi": ("Cost of identity", True),
    "criticality": ("Criticality residual", True),
}
"""Arrays that a panel draws along the depth p: title, and whether the vertical axis is logarithmic."""
MAX_LINES = 6
"""Largest number of lines in one plot: the first singular values, or the values of g0."""
MEASURES = {
    "hamiltonian_rank": "rank by -2H/Lt", "hamiltonian_cv": "variation of H (relative)",
    "coi_min_1e-2": "least cost of identity, g0 = 0.01", "coi_min_1e-3": "least cost of identity, g0 = 0.001",
    "criticality": "criticality residual", "balancedness": "violation of balancedness",
}  # fmt: skip
"""Measures that a panel shows as numbers, with their labels."""


def run_panel(record: Record, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The panel of a run as JSON values.

    Args:
        record: the run.
        arrays: its arrays; those of ``CURVES`` that are missing are not drawn.

    Returns:
        ``facts``, pairs of name and text, and ``curves``, whose numbers have 3 significant digits.
    """
    run, origin = record.run, record.provenance
    facts = [
        ("run", record.run_id), ("task", run.task_label), ("baseline", run.baseline_label), ("seed", run.seed),
        ("preset", run.preset), ("status", record.status), ("message", record.message),
        ("record", text.CHANGED if intact(record) is False else None),
        ("test error", _number(record.test_error)), ("training error", _number(record.train_error)),
        ("bottleneck rank", record.bottleneck_rank), ("true rank", record.true_rank),
        ("code alignment", _number(record.code_alignment)), ("code leak", _number(record.code_leak)),
        ("rank evidence", record.rank_evidence.get("reason") or record.rank_evidence.get("estimator")),
        ("rank by each estimator", _estimates(record.rank_evidence.get("estimators"))),
        *((label, _number(record.measures.get(name))) for name, label in MEASURES.items()),
        *((f"{name}, s", _number(record.wall_clock.get(name))) for name in ("setup", "fit", "evaluation", "measures")),
        ("threads", record.wall_clock.get("threads")), ("device", None if record.device == "cpu" else record.device),
        ("source", run.source),
        *((name, origin.get(name)) for name in (
            "commit", "created", "processor", "cores", "system", "python", "torch", "numpy",
        )),
    ]  # fmt: skip
    shown = [[name, text.clean(value)] for name, value in facts if value not in (None, "")]
    return {"facts": shown, "curves": _curves(arrays, record.true_rank)}


def _estimates(estimators: Any) -> str:
    """``function jacobian 3, plain spectrum 4, ..``"""
    if not isinstance(estimators, Mapping):
        return ""
    ranks = {name: result.get("rank") for name, result in estimators.items() if isinstance(result, Mapping)}
    return ", ".join(f"{str(name).replace('_', ' ')} {rank}" for name, rank in ranks.items() if rank is not None)


def _number(value: Any) -> str | None:
    number = number_or_none(value)
    return None if number is None else f"{number:.4g}{text.doubtful(number, text.LARGEST_SHOWN)}"


def _curves(arrays: Mapping[str, np.ndarray], true_rank: int | None) -> list[dict[str, Any]]:
    positions = arrays.get("positions")
    if positions is None or positions.ndim != 1 or len(positions) < 2:
        return []
    g0 = [f"g0 = {value:g}" for value in np.ravel(arrays.get("g0", np.array([])))]
    curves = []
    for name, (title, logarithmic) in CURVES.items():
        lines = (
            _lines_along_depth(name, np.asarray(arrays[name], dtype=float), len(positions)) if name in arrays else None
        )
        if lines is None:
            continue
        # an array has a value at each layer or one between each pair of layers
        places = positions if lines.shape[1] == len(positions) else (positions[1:] + positions[:-1]) / 2
        labels = g0 if len(g0) == len(lines) and "spectra" not in name else [str(i + 1) for i in range(len(lines))]
        curves.append(
            {
                "title": title,
                "log": logarithmic,
                "mark": true_rank if name == "coi" else None,
                "x": [_short(x) for x in places],
                "lines": [
                    {"label": label, "y": [_short(y) for y in line]} for label, line in zip(labels, lines, strict=True)
                ],
            }
        )
    return curves


def _lines_along_depth(name: str, values: np.ndarray, layers: int) -> np.ndarray | None:
    """The first lines of an array, (lines, layers) or (lines, layers - 1); None for an array without a depth axis."""
    depth = [axis for axis, size in enumerate(values.shape) if size in (layers, layers - 1)]
    if values.ndim not in (1, 2) or not depth:
        return None
    # spectra have depth first, costs of identity at several g0 have it last
    along = depth[0] if "spectra" in name else depth[-1]
    return np.moveaxis(values, along, -1).reshape(-1, values.shape[along])[:MAX_LINES]


def _short(value: float) -> float | None:
    """Three significant digits: as many as a curve on a screen shows, in a third of the bytes."""
    return float(f"{value:.3g}") if np.isfinite(value) else None
