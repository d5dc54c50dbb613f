"""All measures of one run, for its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from leakybench.baseline import Model, Representations, TraceableModel
from leakybench.errors import UsageError
from leakybench.measures.alignment import CodeAlignment, align
from leakybench.measures.arrays import AnyShape, as_float64, check_path
from leakybench.measures.energies import SplitLayer, penalty_scale
from leakybench.measures.jacobian import function_spectra, jacobian_rank, model_jacobians, spectra_along
from leakybench.measures.momenta import balancedness
from leakybench.measures.norms import require_samples
from leakybench.measures.path import (
    G0,
    EnergyProfile,
    MomentumProfile,
    coi_profile,
    energy_profile,
    momentum_profile,
    split_path,
)
from leakybench.measures.rank import inside, layer_spectra, path_rank, rounded, spectral_estimators, spectral_gap
from leakybench.measures.spectra import nuclear_rank, stable_rank, weight_spectra
from leakybench.measures.theorem import stable_decomposition, time_scales

THEOREM_G0 = (1e-4, 1e-6, 1e-8)
"""The relative stabilisers of the theorem. At larger ones its bounds are vacuous; on a converged network (Lt = 7,
rank 3) they are narrowest at 1e-6."""

DEFAULT_ESTIMATOR = "test_function_jacobian"
"""Name of the estimator whose rank is the run's: the Jacobian rank of the model at held-out inputs."""

Arrays = dict[str, Float64[np.ndarray, AnyShape]]
"""Profiles along the path, by name."""

STORED_VALUES = 12
"""Number of singular values of each spectrum that a record stores."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measures of one run.

    Attributes:
        bottleneck_rank: the rank, or None with a reason in the evidence.
        code_alignment: see ``leakybench.measures.code_alignment``; None where the true code is unknown.
        code_leak: see ``leakybench.measures.alignment.code_leak``; None like the alignment.
        rank_evidence: the default estimator, and the answer of each estimator.
        values: numbers by name, see below.
        arrays: profiles along the path, by name.

    Names in ``values``: a suffix such as ``_1e-2`` is the g0 of the norm, on which the value depends. The prefix
    ``test_`` means held-out inputs. ``_inside`` means p in 0.35-0.75 instead of the whole path.

    - ``code_alignment_low``, ``code_alignment_high``: 95% interval of the code alignment over the inputs.
    - ``code_alignment_energy``: 1 - leak, on the scale of the alignment.
    - ``coi_min``: smallest cost of identity along the path.
    - ``hamiltonian_rank``, ``hamiltonian_cv``: median and coefficient of variation of -2H/Lt inside, from the momenta.
      The momenta are the gradient over lambda, so the value is meaningful only if ``criticality`` is a few hundredths.
    - ``stable_hamiltonian_rank``, ``stable_hamiltonian_cv``: the same from kinetic and potential energy, which need no
      momenta.
    - ``criticality``, ``criticality_median``: violation of ``W = Lt B^T S``, over all layers and of the median layer.
    - ``kinetic_share``, ``cross_share``: shares of the Lagrangian; the rest is potential energy.
    - ``lagrangian``: the Lagrangian, integrated over p.
    - ``path_length``: length of the path, int |dA| dp.
    - ``weight_excess``: penalty of the weights over the Lagrangian, which is the least that the same path can cost; at
      least 1.
    - ``theorem_gap``, ``theorem_gap_low``, ``theorem_gap_high``, ``theorem_gap_holds``: the first inequality of the
      stable decomposition theorem, on the whole path and inside.
    - ``theorem_excess_share``: share of layers at which its second inequality holds.
    - ``time_scale_ratio``: slope of |dA| on ``Lt sqrt(COI - min COI)``.
    - ``momentum_max``, ``momentum_features_max``: largest ``|B|^2`` and largest ``|B^T S|^2`` along the path.
    - ``nuclear_rank``, ``stable_rank``: soft ranks of the centred spectrum at the clearest layer.
    - ``balancedness``: largest violation of the law for |W_p|^2, over the largest |W_p|^2.
    - ``warning``: why the norms are not informative here; empty otherwise.
    """

    bottleneck_rank: int | None
    rank_evidence: Mapping[str, Any] = field(default_factory=dict)
    code_alignment: float | None = None
    code_leak: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def measure_model(
    model: Model, train: Any, test: Any, *, true_jacobians: Any = None, true_rank: int | None = None
) -> Measured:
    """Measure a fitted model on its training inputs and on held-out inputs.

    The bottleneck rank is the rank of the model's Jacobian at 128 held-out inputs, exact for a model with
    ``jacobians(inputs)`` and by central differences of ``model.predict`` for any other. A model with
    ``representations`` also gets the Hamiltonian measures [JK24 sections 1.3-1.5 and 2] and every other estimator of
    the rank. A model whose attribute ``differentiable`` is False, such as a sum of trees, has no derivative and hence
    neither rank nor alignment.

    ``Measured`` lists the names of the numbers.

    Args:
        model: a fitted model; its predictions must be finite.
        train: training split with ``inputs`` (n, d_in) and ``targets`` (n, d_out).
        test: held-out split of the same form.
        true_jacobians: Jacobians of the target function at the first ``leakybench.measures.jacobian.HELD_OUT``
            held-out inputs, (n, d_out, d_in); None where it is unknown, and there is no alignment.
        true_rank: bottleneck rank of the target function, below d_in; needed with ``true_jacobians``.

    Returns:
        Rank with the evidence of each estimator, alignment and leak, numbers, and profiles along the path.

    Raises:
        UsageError: predictions or representations have a wrong shape or are not finite.
    """
    values: dict[str, Any] = {}
    estimators: dict[str, Any] = {}
    aligned = _measure_jacobians(model, test.inputs, (true_jacobians, true_rank), estimators)
    estimators["function_jacobian"] = _function_rank(model, train.inputs)
    arrays: Arrays = {}
    if isinstance(model, TraceableModel):
        path = check_path(model.representations(train.inputs, train.targets))
        _measure_path(path, values, arrays, estimators)
        _measure_held_out(check_path(model.representations(test.inputs)), values, arrays, estimators)
    if aligned is not None:
        names = {"low": aligned.low, "high": aligned.high, "energy": aligned.energy}
        values |= {f"code_alignment_{name}": value for name, value in names.items()}
    chosen = estimators[DEFAULT_ESTIMATOR]
    return Measured(
        bottleneck_rank=chosen["rank"],
        rank_evidence={"estimator": DEFAULT_ESTIMATOR, "reason": chosen["reason"], "estimators": estimators},
        code_alignment=None if aligned is None else aligned.alignment,
        code_leak=None if aligned is None else aligned.leak,
        values=_finite_or_none(values),
        arrays=arrays,
    )


def _measure_jacobians(
    model: Model, inputs: np.ndarray, truth: tuple[Any, int | None], estimators: dict[str, Any]
) -> CodeAlignment | None:
    """The rank at held-out inputs, into ``estimators``, and the alignment with the true code where that is known."""
    if not getattr(model, "differentiable", True):
        estimators[DEFAULT_ESTIMATOR] = {"rank": None, "reason": "the model has no derivative"}
        return None
    rows = as_float64("inputs", inputs)
    try:
        jacobians = model_jacobians(model, rows)
        estimators[DEFAULT_ESTIMATOR] = jacobian_rank(spectra_along(jacobians, rows))
    except UsageError as error:
        estimators[DEFAULT_ESTIMATOR] = {"rank": None, "reason": str(error)}
        return None
    # a constant model has no directions; the share outside of them is 0 / 0
    true_jacobians, rank = truth
    if true_jacobians is None or rank is None or not jacobians.any():
        return None
    return align(jacobians, true_jacobians, rank=rank)


def _finite_or_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace numbers that are not finite, such as the residual of weights that vanish, by None."""
    return {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in values.items()}


def _function_rank(model: Model, inputs: np.ndarray) -> dict[str, Any]:
    if not getattr(model, "differentiable", True):
        return {"rank": None, "reason": "the model has no derivative"}
    try:
        spectra = function_spectra(model.predict, inputs)
    except UsageError as error:
        return {"rank": None, "reason": str(error)}
    return jacobian_rank(spectra)


def _measure_path(path: Representations, values: dict[str, Any], arrays: Arrays, estimators: dict[str, Any]) -> None:
    """The whole picture, on training inputs."""
    centred, plain = layer_spectra(path.activations)
    layers = split_path(path)
    energy, momentum = energy_profile(path, layers), momentum_profile(path)
    arrays |= {
        "positions": path.positions,
        "step_sizes": path.step_sizes,
        "g0": np.array(G0),
        "spectra_centred": centred[:, :STORED_VALUES],
        "spectra": plain[:, :STORED_VALUES],
        "weight_spectra": weight_spectra(path.weights)[:, :STORED_VALUES],
        "coi": energy.coi,
        "kinetic": energy.kinetic,
        "cross": energy.cross,
        "potential": energy.potential,
        "speed": energy.speed,
        "gamma": energy.gamma,
        "stable_hamiltonian": energy.kinetic + energy.potential,
    }
    estimators["path_jacobian"] = path_rank(path)
    estimators |= spectral_estimators(centred, plain, path.weights, path.positions)
    middle = int(estimators["centred_spectrum"].get("layer", len(centred) // 2))
    values |= {
        "nuclear_rank": nuclear_rank(centred[middle]),
        "stable_rank": stable_rank(centred[middle]),
        "warning": require_samples(path.activations) or "",
    }
    _energy_values(path, energy, values, estimators)
    sizes, balanced = balancedness(path.weights, path.step_sizes, effective_depth=path.effective_depth)
    arrays |= {"weight_sizes": sizes, "weight_sizes_balanced": balanced}
    values["balancedness"] = float(np.max(np.abs(sizes - balanced)) / sizes.max()) if sizes.max() > 0.0 else 0.0
    if momentum is not None:
        arrays |= {
            "hamiltonian": momentum.hamiltonian,
            "momentum": momentum.momentum,
            "momentum_features": momentum.momentum_features,
            "criticality": momentum.criticality,
        }
        _momentum_values(path, momentum, values, estimators)
        if path.effective_depth > 0.0:
            _theorem_values(path, layers, momentum, values)


def _energy_values(
    path: Representations, energy: EnergyProfile, values: dict[str, Any], estimators: dict[str, Any]
) -> None:
    """Smallest cost of identity, path length, size of the cross term and stabilised -2H/Lt, at each g0."""
    steps, depth = path.step_sizes, path.effective_depth
    middle = inside(0.5 * (path.positions[1:] + path.positions[:-1]))
    price = float(steps @ np.sum(path.weights**2, axis=(1, 2))) / (2.0 * penalty_scale(depth))
    for i, g0 in enumerate(G0):
        name = suffix(g0)
        lagrangian = energy.kinetic[i] + energy.cross[i] - energy.potential[i]
        values[f"coi_min{name}"] = float(energy.coi[i].min())
        values[f"path_length{name}"] = float(steps @ energy.speed[i])
        values[f"lagrangian{name}"] = float(steps @ lagrangian)
        for where, layers in (("", slice(None)), ("_inside", middle)):
            total = float(steps[layers] @ lagrangian[layers])
            if total > 0.0:
                values[f"kinetic_share{where}{name}"] = float(steps[layers] @ energy.kinetic[i, layers]) / total
                values[f"cross_share{where}{name}"] = float(steps[layers] @ energy.cross[i, layers]) / total
        if values[f"lagrangian{name}"] > 0.0:
            values[f"weight_excess{name}"] = price / values[f"lagrangian{name}"]
        if depth > 0.0:
            stable = -2.0 * (energy.kinetic + energy.potential)[i, middle] / depth
            values |= _median_and_cv(f"stable_hamiltonian_rank{name}", f"stable_hamiltonian_cv{name}", stable)
        estimators[f"coi{name}"] = rounded(float(energy.coi[i].min()))
    if depth > 0.0:
        estimators["stable_hamiltonian"] = rounded(values[f"stable_hamiltonian_rank{suffix(G0[-1])}"])


def _momentum_values(
    path: Representations, momentum: MomentumProfile, values: dict[str, Any], estimators: dict[str, Any]
) -> None:
    """Median and variation of -2H/Lt inside the bottleneck, and the criticality of the weights."""
    values |= {
        "criticality": momentum.residual,
        "criticality_median": float(np.median(momentum.criticality)),
        "momentum_max": float(momentum.momentum.max()),
        "momentum_features_max": float(momentum.momentum_features.max()),
    }
    if path.effective_depth > 0.0:
        middle = inside(0.5 * (path.positions[1:] + path.positions[:-1]))
        ranks = -2.0 * momentum.hamiltonian[middle] / path.effective_depth
        values |= _median_and_cv("hamiltonian_rank", "hamiltonian_cv", ranks)
        estimators["hamiltonian"] = rounded(values["hamiltonian_rank"])


def _median_and_cv(median: str, cv: str, numbers: Float64[np.ndarray, " m"]) -> dict[str, float]:
    """The median, and the standard deviation over the mean unless the mean is 0; numbers (m,)."""
    values = {median: float(np.median(numbers))}
    mean = float(numbers.mean())
    return values | {cv: float(numbers.std()) / abs(mean)} if mean != 0.0 else values


def _theorem_values(
    path: Representations, layers: list[SplitLayer], momentum: MomentumProfile, values: dict[str, Any]
) -> None:
    """Both sides of the stable decomposition theorem; one gamma for the path, g0 times the largest |S_l|_op^2."""
    depth, steps = path.effective_depth, path.step_sizes
    middle = inside(0.5 * (path.positions[1:] + path.positions[:-1]))
    hamiltonian = float(np.median(momentum.hamiltonian[middle]))
    top = max(split.layer.operator_norm for split in layers[:-1])
    for g0 in THEOREM_G0:
        gamma, name = g0 * top, suffix(g0)
        coi = np.array([split.coi(gamma) for split in layers[:-1]])
        speeds = np.array([split.speed(gamma) for split in layers[:-1]])
        for where, part in (("", np.arange(len(steps))), ("_inside", middle)):
            sides = stable_decomposition(
                hamiltonian,
                coi[part],
                speeds[part],
                momentum.momentum[part],
                steps[part],
                effective_depth=depth,
                gamma=gamma,
            )
            values[f"theorem_gap{where}{name}"] = sides.gap
            values[f"theorem_gap_low{where}{name}"] = sides.gap_low
            values[f"theorem_gap_high{where}{name}"] = sides.gap_high
            values[f"theorem_gap_holds{where}{name}"] = sides.gap_holds
            values[f"theorem_excess_share{where}{name}"] = sides.excess_share
        speed, predicted = time_scales(speeds, coi, effective_depth=depth)
        if predicted.any():
            # the slope of |dA| on its prediction, through the origin: 1 if the scales separate as predicted
            values[f"time_scale_ratio{name}"] = float(speed @ predicted / (predicted @ predicted))


def _measure_held_out(
    path: Representations, values: dict[str, Any], arrays: Arrays, estimators: dict[str, Any]
) -> None:
    """Cost of identity and linear rank on held-out inputs; the paper only uses training inputs."""
    centred, _ = layer_spectra(path.activations)
    coi, _ = coi_profile(split_path(path, motion=False))
    arrays |= {"test_spectra_centred": centred[:, :STORED_VALUES], "test_coi": coi}
    for g0, row in zip(G0, coi, strict=True):
        values[f"test_coi_min{suffix(g0)}"] = float(row.min())
    values["test_warning"] = require_samples(path.activations) or ""
    estimators["test_centred_spectrum"] = spectral_gap(centred, path.positions)


def suffix(g0: float) -> str:
    """Suffix of a name that gives its g0: ``_1e-2``."""
    mantissa, exponent = f"{g0:.0e}".split("e")
    return f"_{mantissa}e{int(exponent)}"
