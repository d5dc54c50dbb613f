"""Statements of the paper on the continuous flow, approached by layers at the rate 1/L of the explicit Euler scheme."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from leakybench.measures import cost_of_identity, hamiltonian, layer_energies, velocities
from leakybench.measures.norms import features
from leakybench.measures.recursion import propagate

LAYERS = (40, 80, 160, 320)
SAMPLES, WIDTH = 12, 6


def slope(errors: list[float]) -> float:
    """Slope of log error against log 1/L, by least squares."""
    return float(np.polyfit(np.log(1.0 / np.array(LAYERS)), np.log(errors), 1)[0])


def smooth_weights(layers: int, scale: float, bias: bool) -> np.ndarray:
    """W_p = scale (U cos(pi p) + V sin(2 p)), (L, w, w + 1), at the left end of each step."""
    rng = np.random.default_rng(0)
    U, V = rng.standard_normal((2, WIDTH, WIDTH + 1)) / np.sqrt(WIDTH)
    p = np.arange(layers)[:, None, None] / layers
    W = scale * (U * np.cos(np.pi * p) + V * np.sin(2.0 * p))
    if not bias:
        W[:, :, -1] = 0.0
    return W


def run(layers: int, effective_depth: float, length: float = 1.0, *, bias: bool = False) -> np.ndarray:
    A0 = np.random.default_rng(1).standard_normal((SAMPLES, WIDTH))
    steps = np.full(layers, length / layers)
    return propagate(A0, smooth_weights(layers, 2.0, bias), steps, 1.0 - steps * effective_depth)


@pytest.mark.parametrize(("depth", "extra"), [(1.0, 1.0), (2.0, 3.0), (0.0, 2.0)])
def test_raising_the_effective_depth_scales_the_path_by_an_exponential(depth: float, extra: float) -> None:
    """[JK24 section 3]: without bias, the same weights at Lt + c give exp(-c p) times the path at Lt."""
    errors = []
    for layers in LAYERS:
        low, high = run(layers, depth), run(layers, depth + extra)
        p = np.arange(layers + 1)[:, None, None] / layers
        errors.append(float(np.linalg.norm((high - np.exp(-extra * p) * low)[-1]) / np.linalg.norm(high[-1])))
    # Euler's order is 1; 0.1 is what the next order adds between 40 and 320 layers
    assert slope(errors) == pytest.approx(1.0, abs=0.1)
    assert errors[-1] < 0.05
    # the cost of identity has no unit without bias, so it does not change along the rescaled path, at any L
    scaled, plain = (cost_of_identity(f * low[-1], g0=1e-2, bias=False) for f in (np.exp(-extra), 1.0))
    assert scaled == pytest.approx(plain, rel=1e-10)


def test_with_bias_the_exponential_scaling_fails() -> None:
    low, high = run(320, 1.0, bias=True), run(320, 2.0, bias=True)
    assert np.linalg.norm(high[-1] - np.exp(-1.0) * low[-1]) > 0.1 * np.linalg.norm(high[-1])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("leak", [0.5, 3.0, 7.0])
def test_a_longer_range_is_a_stronger_leak(leak: float, bias: bool) -> None:
    """Range [0, c] at leak 1 with W equals range [0, 1] at leak c with c W, at every L and to round-off."""
    A0 = np.random.default_rng(1).standard_normal((SAMPLES, WIDTH))
    W = smooth_weights(40, 1.0, bias)
    long, short = np.full(40, leak / 40), np.full(40, 1.0 / 40)
    first = propagate(A0, W, long, 1.0 - long)
    second = propagate(A0, leak * W, short, 1.0 - short * leak)
    np.testing.assert_allclose(first, second, rtol=0.0, atol=1e-12 * np.abs(first).max())
    # and so do the prices: |W|^2/2 over [0, c] is |c W|^2/(2 c) over [0, 1], up to the divisor of a leak below 1
    gamma = 1e-3
    for a, v, w in zip(first[:-1:13], velocities(first, long)[::13], velocities(second, short)[::13], strict=True):
        one = layer_energies(a, v, effective_depth=1.0, gamma=gamma)
        other = layer_energies(a, w, effective_depth=leak, gamma=gamma, scale=leak)
        assert other.lagrangian == pytest.approx(leak * one.lagrangian, rel=1e-9)
        assert other.hamiltonian == pytest.approx(leak * one.hamiltonian, rel=1e-9, abs=1e-9 * one.lagrangian)


def test_a_linear_network_against_its_closed_form() -> None:
    """A non-negative diagonal path A_p = Q diag(a_i exp(w_i p)): the rectifier is the identity, and W = diag(Lt + w_i).

    Kinetic sum w_i^2/(2 Lt), cross term sum w_i, potential -(Lt/2) k, and so -2H/Lt = k - sum (w_i/Lt)^2.
    """
    depth, rate = 5.0, np.array([0.7, -0.4, 1.1])
    Q = np.kron(np.eye(3), np.ones((4, 1))) * np.random.default_rng(0).uniform(0.5, 1.5, (12, 1))
    kinetic_errors, hamiltonian_errors = [], []
    for layers in LAYERS:
        p = np.arange(layers + 1) / layers
        path = Q * np.exp(rate * p[:, None])[:, None, :]
        moves = velocities(path, np.full(layers, 1.0 / layers))
        # the difference quotient of an exponential is exact: L (exp(w/L) - 1) in place of w
        quotient = layers * np.expm1(rate / layers)
        for index in (0, layers // 2, layers - 1):
            terms = layer_energies(path[index], moves[index], effective_depth=depth, gamma=0.0, bias=False)
            assert terms.kinetic == pytest.approx(np.sum(quotient**2) / (2.0 * depth), rel=1e-9)
            assert terms.cross == pytest.approx(np.sum(quotient), rel=1e-9)
            assert terms.potential == pytest.approx(-0.5 * depth * 3, rel=1e-12)
            W = np.diag(depth + quotient)
            B = path[index] @ np.linalg.inv(path[index].T @ path[index]) @ W / depth
            H = hamiltonian(path[index], B, effective_depth=depth, bias=False)
            assert pytest.approx(terms.hamiltonian, rel=1e-9) == H
            assert -2.0 * H / depth == pytest.approx(3.0 - np.sum((quotient / depth) ** 2), rel=1e-9)
        kinetic_errors.append(abs(terms.kinetic - np.sum(rate**2) / (2.0 * depth)))
        hamiltonian_errors.append(abs(-2.0 * H / depth - (3.0 - np.sum((rate / depth) ** 2))))
    assert slope(kinetic_errors) == pytest.approx(1.0, abs=0.05)
    assert slope(hamiltonian_errors) == pytest.approx(1.0, abs=0.05)


def test_the_hamiltonian_of_a_discretised_flow_is_constant_up_to_one_over_the_depth() -> None:
    """The pair (A_{l-1}, B_l) of a layer on an exact solution of Hamilton's equations, in the smooth positive
    orthant."""
    depth = 2.0
    rng = np.random.default_rng(2)
    A0 = rng.uniform(1.0, 2.0, (5, 3))
    S = features(A0)
    B0 = np.linalg.solve(S @ S.T + 0.3 * np.eye(5), A0)

    def flow(_: float, state: np.ndarray) -> np.ndarray:
        A, B = state.reshape(2, 5, 3)
        S = features(A)
        W = depth * B.T @ S
        return np.stack([S @ W.T - depth * A, depth * B - (B @ W[:, :-1]) * (A > 0.0)]).ravel()

    exact = solve_ivp(
        flow, (0.0, 1.0), np.stack([A0, B0]).ravel(), method="DOP853", dense_output=True, rtol=1e-12, atol=1e-13
    ).sol
    value = hamiltonian(A0, B0, effective_depth=depth)
    errors = []
    for layers in LAYERS:
        points = [exact(p).reshape(2, 5, 3) for p in np.linspace(0.0, 1.0, layers + 1)]
        pairs = [hamiltonian(a[0], b[1], effective_depth=depth) for a, b in pairwise(points)]
        errors.append(float(np.max(np.abs(np.array(pairs) - value))))
    assert slope(errors) == pytest.approx(1.0, abs=0.1)
