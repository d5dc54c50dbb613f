"""The algebra of energies, momenta and Hamiltonian on arbitrary arrays, where it is exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakybench.measures import (
    balancedness,
    criticality_residual,
    exact_identity,
    hamiltonian,
    kernel_norm,
    layer_energies,
    path_length,
    stabilised_hamiltonian,
)
from leakybench.measures.norms import features
from leakybench.measures.recursion import adjoint, propagate

cases = settings(deadline=None, max_examples=40, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 12)
depths = st.floats(0.25, 20.0)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@cases
@given(seeds, sizes, sizes, depths, st.floats(1e-4, 10.0))
def test_exact_identity_of_the_hamiltonian(seed: int, samples: int, width: int, depth: float, gamma: float) -> None:
    A, B = draw(seed, samples, width), draw(seed + 1, samples, width)
    S = features(A)
    velocity = depth * (S @ (S.T @ B) - A)
    left = -2.0 * hamiltonian(A, B, effective_depth=depth) / depth
    right = exact_identity(A, B, velocity, effective_depth=depth, gamma=gamma)
    # terms of size |B^T S|^2, |A|^2/gamma and gamma |B|^2 cancel: 1e-9 relative to the largest of them
    scale = np.sum((B.T @ S) ** 2) + kernel_norm(A, A, gamma=gamma) + gamma * np.sum(B**2)
    assert abs(left - right) <= 1e-9 * scale


@cases
@given(seeds, sizes, sizes, st.floats(0.0, 20.0), st.floats(1e-4, 10.0))
def test_energies_add_up_to_the_price_of_the_layer(
    seed: int, samples: int, width: int, depth: float, gamma: float
) -> None:
    A, velocity = draw(seed, samples, width), draw(seed + 1, samples, width)
    terms = layer_energies(A, velocity, effective_depth=depth, gamma=gamma)
    price = kernel_norm(velocity + depth * A, A, gamma=gamma) / (2.0 * max(depth, 1.0))
    size = terms.kinetic - terms.potential  # both terms of the sum are positive
    assert terms.lagrangian == pytest.approx(price, abs=1e-11 * size)
    assert terms.lagrangian == pytest.approx(terms.kinetic + terms.cross - terms.potential, abs=1e-11 * size)
    assert terms.kinetic >= 0.0 >= terms.potential
    # Cauchy and Schwarz: the cross term lies between the two others
    assert abs(terms.cross) <= 2.0 * np.sqrt(-terms.kinetic * terms.potential) + 1e-11 * size


@cases
@given(seeds, sizes, sizes, st.floats(1.0, 20.0), st.floats(1e-4, 10.0))
def test_stabilised_hamiltonian_is_kinetic_plus_potential(
    seed: int, samples: int, width: int, depth: float, gamma: float
) -> None:
    A, velocity = draw(seed, samples, width), draw(seed + 1, samples, width)
    terms = layer_energies(A, velocity, effective_depth=depth, gamma=gamma)
    value = stabilised_hamiltonian(A, velocity, effective_depth=depth, gamma=gamma)
    assert value == pytest.approx(terms.hamiltonian, abs=1e-11 * (terms.kinetic - terms.potential))


@cases
@given(seeds, sizes, sizes, st.floats(0.0, 20.0))
def test_hamiltonian_is_the_legendre_transform_of_the_lagrangian(
    seed: int, samples: int, width: int, depth: float
) -> None:
    """H = <B, dA> - Lagrangian with B = K^{-1} (dA + Lt A) / scale, on weights that produce the motion."""
    A = draw(seed, samples, width)
    S, scale = features(A), max(depth, 1.0)
    B = draw(seed + 1, samples, width)
    W = scale * B.T @ S
    velocity = S @ W.T - depth * A
    legendre = float(np.vdot(B, velocity)) - float(np.sum(W**2)) / (2.0 * scale)
    value = hamiltonian(A, B, effective_depth=depth, scale=scale)
    size = float(np.sum(W**2)) / scale + depth * float(np.linalg.norm(A) * np.linalg.norm(B))
    assert value == pytest.approx(legendre, abs=1e-12 * size)
    assert criticality_residual(W, A, B, scale=scale) <= 1e-14


@cases
@given(seeds, st.integers(2, 8), sizes, st.floats(0.0, 6.0), st.integers(1, 6))
def test_momenta_are_minus_the_gradient_of_the_cost(
    seed: int, samples: int, width: int, depth: float, layers: int
) -> None:
    """<B_0, direction> of the adjoint recursion equals the directional derivative of <B_L, A_L>."""
    rng = np.random.default_rng(seed)
    A0, last, direction = (rng.standard_normal((samples, width)) for _ in range(3))
    weights = rng.standard_normal((layers, width, width + 1)) / np.sqrt(width)
    steps = rng.random(layers) + 0.1
    steps /= steps.sum()
    skip = 1.0 - steps * depth
    path = propagate(A0, weights, steps, skip)
    momenta = adjoint(path, last, weights, steps, skip)
    h = 1e-7  # piecewise linear: exact but for round-off 1e-16/h, unless a kink lies within h
    ends = [propagate(A0 + sign * h * direction, weights, steps, skip) for sign in (1.0, -1.0)]
    if all(((end > 0.0) == (path > 0.0)).all() for end in ends):
        numeric = float(np.vdot(last, ends[0][-1] - ends[1][-1])) / (2.0 * h)
        size = float(np.linalg.norm(last) * np.linalg.norm(path))
        assert float(np.vdot(momenta[0], direction)) == pytest.approx(numeric, abs=1e-7 * size)


@cases
@given(seeds, st.integers(2, 8), sizes, st.floats(1.0, 6.0), st.integers(1, 8))
def test_the_pairing_of_activations_and_momenta_grows_by_the_biases(
    seed: int, samples: int, width: int, depth: float, layers: int
) -> None:
    """Tr(A_l^T B_l) - Tr(A_{l-1}^T B_{l-1}) = rho_l b_l (B_l^T 1): balancedness before the continuous limit, exact."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((layers, width, width + 1)) / np.sqrt(width)
    steps = np.full(layers, 1.0 / layers)
    skip = 1.0 - steps * depth
    path = propagate(rng.standard_normal((samples, width)), weights, steps, skip)
    momenta = adjoint(path, rng.standard_normal((samples, width)), weights, steps, skip)
    pairing = np.einsum("lnw,lnw->l", path, momenta)
    gain = steps * np.einsum("lw,lnw->l", weights[:, :, -1], momenta[1:])
    size = np.max(np.linalg.norm(path, axis=(1, 2)) * np.linalg.norm(momenta, axis=(1, 2)))
    np.testing.assert_allclose(np.diff(pairing), gain, rtol=0.0, atol=1e-12 * size)


def test_balancedness_of_constant_weights_without_bias_is_an_equality() -> None:
    weights = np.repeat(np.hstack([draw(1, 3, 3), np.zeros((3, 1))])[None], 4, axis=0)
    sizes, balanced = balancedness(weights, np.full(4, 0.25), effective_depth=3.0)
    np.testing.assert_allclose(sizes, balanced, rtol=1e-14)


def test_balancedness_integrates_the_bias_by_the_trapezoidal_rule() -> None:
    weights = np.zeros((3, 1, 2))
    weights[:, 0, 1] = [1.0, 2.0, 3.0]
    _, balanced = balancedness(weights, np.array([0.5, 0.25, 0.25]), effective_depth=2.0)
    # 2 Lt = 4; between the layers: (0.5 * 1 + 0.25 * 4)/2 = 0.75 and (0.25 * 4 + 0.25 * 9)/2 = 1.625
    np.testing.assert_allclose(balanced, [1.0, 4.0, 10.5], rtol=1e-14)


def test_criticality_residual_of_vanishing_momenta_is_one_and_of_nothing_is_zero() -> None:
    A, zero = draw(2, 5, 3), np.zeros((5, 3))
    assert criticality_residual(draw(3, 3, 4), A, zero, scale=7.0) == 1.0
    assert criticality_residual(np.zeros((3, 4)), A, zero, scale=7.0) == 0.0
    assert criticality_residual(np.zeros((3, 4)), A, A, scale=7.0) == np.inf


def test_path_length_is_a_weighted_sum() -> None:
    assert path_length([1.0, 2.0], [0.25, 0.75]) == 1.75
