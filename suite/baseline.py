"""The contract of a baseline: ``fit`` returns a model, a model predicts, and where it can it shows its path.

Nothing here depends on torch: the arrays that cross this border are numpy's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from leakybench.errors import UsageError
from leakybench.task import Split

PRESETS = ("smoke", "standard", "converged", "paper")


def check_preset(preset: object) -> str:
    """Return ``preset``, or raise :class:`UsageError` naming the ones that exist."""
    if preset not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    return str(preset)


@dataclass(frozen=True, kw_only=True)
class Representations:
    """The path of a set of inputs through a network [JK24 section 1.1]; rows are samples, float64.

    Attributes:
        activations: A_0 .. A_L, (L + 1, n, w).
        positions: p_0 = 0 .. p_L = 1, (L + 1,).
        step_sizes: rho_1 .. rho_L, (L,).
        effective_depth: L-tilde; 0 for a ResNet, L for a fully-connected network.
        weights: W_1 .. W_L, the bias in the last column, (L, w, w + 1).
        momenta: B_0 .. B_L = -(1/lambda) dC/dA_l, (L + 1, n, w); None unless targets were given.
        penalty: lambda of the loss C + lambda/(2 max(L-tilde, 1)) sum_l rho_l |W_l|^2; None where there is none.
    """

    activations: np.ndarray
    positions: np.ndarray
    step_sizes: np.ndarray
    effective_depth: float
    weights: np.ndarray
    momenta: np.ndarray | None = None
    penalty: float | None = None


@runtime_checkable
class Model(Protocol):
    """A fitted baseline.

    Optional: ``report``, a :class:`FitReport`, holds what training has to say of itself; ``differentiable = False``
    says that the predictions are constant by pieces, so that no Jacobian rank is taken.
    """

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in)."""
        ...


@runtime_checkable
class TraceableModel(Model, Protocol):
    """A model that can show its path; the Hamiltonian measures need one."""

    def representations(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> Representations:
        """The path of inputs (n, d_in); with targets (n, d_out) also the momenta."""
        ...


@runtime_checkable
class Baseline(Protocol):
    """What the harness asks of a baseline.

    Optional:
        ``prepare()``: called once before the clock of ``fit`` starts, for imports and compilation.
        ``check_dimensions(d_in, d_out)``: raises :class:`UsageError` where data of that shape do not fit.
        ``fit_many(trains, *, seeds, preset) -> list[Model]``: trains one model a seed together, each equal to what
            :meth:`fit` gives up to round-off. A ``warmup_seconds`` in the reports is that of the whole batch.
            A sweep calls it only when asked to (see ``leakybench.evaluation``), and never with adaptive step-sizes.
    """

    def fit(self, train: Split, *, seed: int, preset: str) -> Model:
        """Train on ``train`` alone. Every draw comes from ``seed``; no global generator, no test data."""
        ...


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """What a model may tell of its training, for the record.

    Attributes:
        status: ``ok``, ``collapsed`` or ``diverged``.
        message: one line when the status is not ok.
        values: plain JSON values: objective, criticality residual, evaluations, curve, trajectory of rho, threads.
        arrays: larger arrays, kept beside the record as .npz.
    """

    status: str = "ok"
    message: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
