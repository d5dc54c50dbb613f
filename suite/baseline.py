"""The contract of a baseline: ``fit`` returns a model, which predicts and, if it can, shows its representations.

Nothing here depends on torch: inputs and outputs are numpy arrays.
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
    """Return ``preset``, or raise ``UsageError`` with the existing presets."""
    if preset not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    return str(preset)


@dataclass(frozen=True, kw_only=True)
class Representations:
    """The representations of inputs along the layers of a network [JK24 section 1.1]; rows are samples, float64.

    Attributes:
        activations: A_0 .. A_L, (L + 1, n, w).
        positions: p_0 = 0 .. p_L = 1, (L + 1,).
        step_sizes: rho_1 .. rho_L, (L,).
        effective_depth: Lt, the paper's L-tilde; 0 for a ResNet, L for a fully-connected network.
        weights: W_1 .. W_L, the bias in the last column, (L, w, w + 1).
        momenta: B_0 .. B_L = -(1/lambda) dC/dA_l, (L + 1, n, w); None without targets.
        penalty: lambda of the loss C + lambda/(2 max(Lt, 1)) sum_l rho_l |W_l|^2; None without a penalty.
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

    Optional attributes:
        report: a ``FitReport`` on the training.
        jacobians: ``jacobians(inputs) -> (n, d_out, d_in)`` for float32 inputs (n, d_in); rank and code alignment
            of a model that has it are taken from these instead of from central differences of ``predict``.
        differentiable: False for piecewise constant predictions, which have no Jacobian rank.
    """

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return predictions (n, d_out) for inputs (n, d_in)."""
        ...


@runtime_checkable
class TraceableModel(Model, Protocol):
    """A model that can show its representations, which the Hamiltonian measures need."""

    def representations(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> Representations:
        """Return the representations of inputs (n, d_in); with targets (n, d_out), the momenta as well."""
        ...


@runtime_checkable
class Baseline(Protocol):
    """The contract of a baseline.

    Optional members:
        ``prepare()``: called once before the clock of ``fit`` starts, for imports and compilation.
        ``check_dimensions(d_in, d_out)``: raises ``UsageError`` if data of that shape do not fit.
        ``fit_many(trains, *, seeds, preset) -> list[Model]``: trains one model per seed together, each equal to the
            model of ``fit`` up to round-off. A ``warmup_seconds`` in the reports is that of the whole batch. Sweeps
            call it on request only (``leakybench run --batch``).
        ``search_space() -> dict``: values that ``tune`` may try, by name of a setting: a list of choices, or a mapping
            with ``low``, ``high`` and, for even draws of the logarithm, ``log``. Integers for a setting of integers.
        ``batchable``: False if ``fit_many`` does not apply to these settings.
        ``device``: a setting that says where the baseline computes, ``cpu`` (its default), ``cuda`` or ``cuda:N``,
            checked by ``leakybench.specs.check_device``. Its report then states the ``device`` that was used, as
            ``leakybench.specs.device_name`` writes it. Draws stay on the CPU, so that they are the same everywhere.
    """

    def fit(self, train: Split, *, seed: int, preset: str) -> Model:
        """Train on ``train`` alone, with every draw from ``seed`` and none from a global generator."""
        ...


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """A model's report on its training, for the record.

    Attributes:
        status: ``ok``, ``collapsed`` or ``diverged``.
        message: one line, if the status is not ``ok``.
        values: plain JSON values: objective, criticality residual, evaluations, curve, trajectory of rho, threads.
        arrays: larger arrays, kept beside the record as .npz.
    """

    status: str = "ok"
    message: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
