"""Degenerate and wrong input: a defined value or one clear error, never a silent nan."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from leakybench.baseline import Representations
from leakybench.errors import UsageError
from leakybench.measures import (
    balancedness,
    bottleneck_rank,
    cost_of_identity,
    criticality_residual,
    exact_identity,
    function_spectra,
    hamiltonian,
    jacobian_rank,
    kernel_norm,
    largest_gap,
    layer_energies,
    nuclear_rank,
    path_length,
    spectrum,
    stabilised_hamiltonian,
    stable_decomposition,
    stable_rank,
    time_scales,
    weight_spectra,
)
from leakybench.measures.norms import require_samples
from leakybench.measures.recursion import propagate

A = np.random.default_rng(0).standard_normal((6, 3))


def path(samples: int = 20, width: int = 5, layers: int = 4, scale: float = 1.0) -> Representations:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((layers, width, width + 1))
    steps = np.full(layers, 1.0 / layers)
    activations = propagate(scale * rng.standard_normal((samples, width)), weights, steps, 1.0 - steps)
    return Representations(
        activations=activations,
        positions=np.arange(layers + 1) / layers,
        step_sizes=steps,
        effective_depth=1.0,
        weights=weights,
    )


# -- defined values ---------------------------------------------------------------------------------------------------


def test_a_zero_representation() -> None:
    zero = np.zeros((6, 3))
    assert cost_of_identity(zero, g0=1e-2) == 0.0
    assert cost_of_identity(zero, g0=0.0) == 0.0
    assert cost_of_identity(zero, g0=1e-2, bias=False) == 0.0
    assert kernel_norm(zero, zero, gamma=0.0) == 0.0
    assert kernel_norm(A, zero, gamma=1.0) > 0.0
    assert hamiltonian(zero, A, effective_depth=7.0) == pytest.approx(3.5 * np.sum(A.sum(axis=0) ** 2))
    assert (spectrum(zero, centred=True) == 0.0).all()
    assert nuclear_rank(spectrum(zero, centred=True)) == stable_rank(np.zeros(3)) == 0.0
    terms = layer_energies(zero, zero, effective_depth=7.0, gamma=1e-3)
    assert (terms.kinetic, terms.cross, terms.potential, terms.lagrangian) == (0.0, 0.0, 0.0, 0.0)


def test_features_that_all_vanish_give_an_infinite_cost_without_bias() -> None:
    assert cost_of_identity(-np.abs(A), g0=1e-2, bias=False) == np.inf
    assert np.isfinite(cost_of_identity(-np.abs(A), g0=1e-2))


def test_rank_deficient_features() -> None:
    deficient = np.repeat(A[:, :1], 3, axis=1)
    assert np.isfinite(cost_of_identity(deficient, g0=1e-6))
    # the smallest weights that reproduce three copies of a neuron take a third of each: 9 entries of 1/3
    assert cost_of_identity(np.abs(deficient), g0=0.0, bias=False) == pytest.approx(1.0)
    assert kernel_norm(np.maximum(deficient, 0.0), deficient, gamma=0.0) == pytest.approx(1.0)


def test_fewer_samples_than_features_have_a_defined_value_and_a_warning() -> None:
    wide = np.random.default_rng(2).standard_normal((4, 10))
    # K has full rank, so everything is in the range of S
    assert 0.0 < cost_of_identity(wide, g0=0.0) < np.inf
    assert "4 samples for 11 features" in str(require_samples(wide))
    assert require_samples(A) is None


def test_a_single_sample() -> None:
    one = A[:1]
    assert np.isfinite(cost_of_identity(one, g0=1e-2))
    assert (spectrum(one, centred=True) == 0.0).all()
    assert np.isfinite(hamiltonian(one, one, effective_depth=3.0))
    found, evidence = bottleneck_rank(path(samples=1))
    assert found is None
    assert "same for all samples" in evidence["reason"]


def test_a_zero_path_has_no_rank_and_says_why() -> None:
    collapsed = dataclasses.replace(path(), activations=np.zeros((5, 20, 5)), weights=np.zeros((4, 5, 6)))
    found, evidence = bottleneck_rank(collapsed)
    assert found is None
    assert evidence["reason"]
    for estimator in evidence["estimators"].values():
        assert estimator["rank"] is None
    json.dumps(evidence, allow_nan=False)


def test_a_path_that_ends_in_a_constant_has_no_rank() -> None:
    constant = path()
    weights = np.zeros_like(constant.weights)
    weights[:, :, -1] = 4.0
    steps, skips = constant.step_sizes, np.zeros(4)
    activations = propagate(constant.activations[0], weights, steps, skips)
    found, evidence = bottleneck_rank(
        dataclasses.replace(constant, activations=activations, weights=weights, effective_depth=4.0)
    )
    assert found is None
    assert evidence["reason"] == "the map is constant"


def test_a_constant_function_has_no_rank() -> None:
    found = jacobian_rank(function_spectra(lambda rows: np.ones((len(rows), 2)), A))
    assert found["rank"] is None
    assert found["reason"] == "the map is constant"
    json.dumps(found, allow_nan=False)


# -- errors -----------------------------------------------------------------------------------------------------------

NAN = np.where(np.eye(6, 3) > 0, np.nan, A)


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: kernel_norm(bad, A, gamma=1.0),
        lambda bad: kernel_norm(A, bad, gamma=1.0),
        lambda bad: cost_of_identity(bad, g0=1e-2),
        lambda bad: spectrum(bad, centred=True),
        lambda bad: hamiltonian(bad, A, effective_depth=1.0),
        lambda bad: hamiltonian(A, bad, effective_depth=1.0),
        lambda bad: stabilised_hamiltonian(A, bad, effective_depth=1.0, gamma=1.0),
        lambda bad: exact_identity(A, A, bad, effective_depth=1.0, gamma=1.0),
        lambda bad: layer_energies(A, bad, effective_depth=1.0, gamma=1.0),
        lambda bad: criticality_residual(bad, A, A, scale=1.0),
        lambda bad: function_spectra(lambda rows: rows, bad),
        lambda bad: jacobian_rank(bad),
        lambda bad: weight_spectra(bad[None]),
        lambda bad: balancedness(bad[None], [1.0], effective_depth=1.0),
    ],
)
@pytest.mark.parametrize(
    "bad",
    [NAN, NAN * np.inf, np.zeros((0, 3)), np.zeros(3), A + 1j, np.array([["a"]])],
    ids=["nan", "inf", "empty", "vector", "complex", "text"],
)
def test_wrong_arrays_are_refused_by_name(call, bad) -> None:
    with pytest.raises(UsageError, match=r"must|hold|need"):
        call(bad)


@pytest.mark.parametrize("gamma", [-1.0, np.nan, np.inf, "a", None])
def test_a_wrong_stabiliser_is_refused(gamma) -> None:
    with pytest.raises(UsageError, match="gamma must be"):
        kernel_norm(A, A, gamma=gamma)
    with pytest.raises(UsageError, match="g0 must be"):
        cost_of_identity(A, g0=gamma)


@pytest.mark.parametrize("depth", [-1.0, np.nan, "deep"])
def test_a_wrong_effective_depth_is_refused(depth) -> None:
    with pytest.raises(UsageError, match="effective_depth must be"):
        hamiltonian(A, A, effective_depth=depth)


def test_the_identity_needs_a_depth_and_a_stabiliser() -> None:
    with pytest.raises(UsageError, match="effective_depth must be finite and above 0"):
        exact_identity(A, A, A, effective_depth=0.0, gamma=1.0)
    with pytest.raises(UsageError, match="gamma must be finite and above 0"):
        exact_identity(A, A, A, effective_depth=1.0, gamma=0.0)


def test_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(UsageError, match="5 rows for activations of 6 samples"):
        kernel_norm(A[:5], A, gamma=1.0)
    with pytest.raises(UsageError, match="momenta need the shape"):
        hamiltonian(A, A[:, :2], effective_depth=1.0)
    with pytest.raises(UsageError, match="velocity needs the shape"):
        layer_energies(A, A[:, :2], effective_depth=1.0, gamma=1.0)
    with pytest.raises(UsageError, match=r"weights must be \(3, 4\)"):
        criticality_residual(np.ones((3, 3)), A, A, scale=1.0)
    with pytest.raises(UsageError, match="one step-size a layer"):
        balancedness(np.ones((2, 3, 4)), [1.0], effective_depth=1.0)
    with pytest.raises(UsageError, match="one speed a step"):
        path_length([1.0], [0.5, 0.5])
    with pytest.raises(UsageError, match="one speed a cost"):
        time_scales([1.0], [0.5, 0.5], effective_depth=1.0)
    with pytest.raises(UsageError, match="one value a layer"):
        stable_decomposition(1.0, [1.0], [1.0], [1.0], [0.5, 0.5], effective_depth=1.0, gamma=1.0)
    with pytest.raises(UsageError, match="hamiltonian must be finite"):
        stable_decomposition(np.nan, [1.0], [1.0], [1.0], [1.0], effective_depth=1.0, gamma=1.0)


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, -1.0], [np.nan], []])
def test_wrong_spectra_are_refused(values) -> None:
    with pytest.raises(UsageError):
        largest_gap(values)


@pytest.mark.parametrize("floor", [0.0, 1.0, -0.1, np.nan])
def test_a_wrong_floor_is_refused(floor: float) -> None:
    with pytest.raises(UsageError, match="floor must lie between 0 and 1"):
        largest_gap([1.0, 0.5], floor=floor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.arange(3) / 2.0}, "positions and activations"),
        ({"weights": np.ones((4, 5, 5))}, "positions and activations"),
        ({"step_sizes": np.array([0.5, 0.5, 0.0, 0.0])}, "step_sizes must be positive"),
        ({"effective_depth": -1.0}, "effective_depth must be"),
        ({"momenta": np.ones((2, 20, 5))}, "momenta need the shape"),
        ({"activations": np.full((5, 20, 5), np.nan)}, "not finite"),
    ],
)
def test_a_path_whose_parts_do_not_fit_is_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bottleneck_rank(dataclasses.replace(path(), **change))


def test_weights_of_another_network_leave_the_jacobian_rank_open() -> None:
    found, evidence = bottleneck_rank(dataclasses.replace(path(), weights=np.ones((4, 5, 6))))
    assert found is None
    assert "do not reproduce the activations" in evidence["reason"]
    assert evidence["estimators"]["centred_spectrum"]["rank"] is not None


def test_predictions_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(UsageError, match="one row a sample"):
        function_spectra(lambda rows: rows[:-1], A)
    with pytest.raises(UsageError, match="predictions hold a value that is not finite"):
        function_spectra(lambda rows: rows * np.nan, A)
