"""Statements of the paper on the continuous flow, checked on continuous solutions of Hamilton's equations.

    dA/dp = Lt (K B - A),    dB/dp = Lt B - (B W') * relu'(A),    W = Lt B^T S,    W' = W without its bias column

integrated by an independent solver of order 8 at tolerance 1e-11. The states are small (5 samples, 4 neurons) and
smooth between the kinks of the rectifier, at which the solver shortens its steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from leakybench.measures import (
    balancedness,
    exact_identity,
    hamiltonian,
    kernel_norm,
    layer_energies,
    path_length,
    stable_decomposition,
    time_scales,
)
from leakybench.measures.norms import features

SAMPLES, WIDTH = 5, 4
POINTS = 401


@dataclass(frozen=True)
class Flow:
    depth: float
    positions: np.ndarray
    A: np.ndarray
    B: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        return np.stack([self.depth * b.T @ features(a) for a, b in zip(self.A, self.B, strict=True)])

    @property
    def velocity(self) -> np.ndarray:
        return np.stack([features(a) @ w.T - self.depth * a for a, w in zip(self.A, self.weights, strict=True)])


def solve(seed: int, depth: float) -> Flow:
    rng = np.random.default_rng(seed)
    A0 = rng.standard_normal((SAMPLES, WIDTH))
    S = features(A0)
    # near the pseudo-inverse of K, B keeps A about where it is; further away the flow leaves every bound before p = 1
    B0 = np.linalg.solve(S @ S.T + 0.3 * np.eye(SAMPLES), A0) + 0.05 * rng.standard_normal((SAMPLES, WIDTH))

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        A, B = state.reshape(2, SAMPLES, WIDTH)
        S = features(A)
        W = depth * B.T @ S
        return np.stack([S @ W.T - depth * A, depth * B - (B @ W[:, :-1]) * (A > 0.0)]).ravel()

    p = np.linspace(0.0, 1.0, POINTS)
    solution = solve_ivp(
        slope, (0.0, 1.0), np.stack([A0, B0]).ravel(), method="DOP853", t_eval=p, rtol=1e-11, atol=1e-12
    )
    assert solution.success
    states = solution.y.T.reshape(POINTS, 2, SAMPLES, WIDTH)
    return Flow(depth, p, states[:, 0], states[:, 1])


@pytest.fixture(scope="module", params=[(0, 1.0), (1, 2.0), (2, 3.0), (3, 2.0)], ids=lambda pair: f"Lt={pair[1]:g}")
def flow(request: pytest.FixtureRequest) -> Flow:
    return solve(*request.param)


def hamiltonians(flow: Flow) -> np.ndarray:
    return np.array([hamiltonian(a, b, effective_depth=flow.depth) for a, b in zip(flow.A, flow.B, strict=True)])


def test_the_flow_moves_enough_to_be_a_test(flow: Flow) -> None:
    assert np.linalg.norm(flow.A[-1] - flow.A[0]) > 0.1 * np.linalg.norm(flow.A[0])
    assert np.abs(np.diff(np.sum(flow.weights**2, axis=(1, 2)))).max() > 0.0


def test_the_hamiltonian_is_constant(flow: Flow) -> None:
    H = hamiltonians(flow)
    size = 0.5 * flow.depth * np.max(np.sum(flow.B**2, axis=(1, 2)) * np.sum(flow.A**2, axis=(1, 2)))
    # the tolerance of the solver is 1e-11 a step; a kink costs it its order, not its tolerance
    assert np.ptp(H) <= 1e-7 * size


def test_balancedness_holds_with_the_factor_two(flow: Flow) -> None:
    steps = np.full(POINTS, 1.0 / (POINTS - 1))
    sizes, balanced = balancedness(flow.weights, steps, effective_depth=flow.depth)
    moved = np.ptp(sizes)
    # the trapezoidal rule on 400 intervals: h^2/12 times a second derivative of order 10^2 at most
    assert np.max(np.abs(sizes - balanced)) <= 1e-3 * moved
    # and a factor 1 in place of 2 does not pass for it
    halved = sizes[0] + 0.5 * (balanced - sizes[0])
    assert np.max(np.abs(sizes - halved)) > 0.1 * moved


@pytest.mark.parametrize("gamma", [1e-3, 1e-1, 1.0])
def test_the_identity_of_the_hamiltonian_holds_along_the_flow(flow: Flow, gamma: float) -> None:
    H = hamiltonians(flow)
    for index in (0, POINTS // 2, POINTS - 1):
        A, B, velocity = flow.A[index], flow.B[index], flow.velocity[index]
        value = exact_identity(A, B, velocity, effective_depth=flow.depth, gamma=gamma)
        assert value == pytest.approx(-2.0 * H[index] / flow.depth, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("gamma", [1e-4, *(pytest.param(gamma, marks=pytest.mark.slow) for gamma in (1e-2, 1e-1)), 1.0])
def test_both_inequalities_of_the_stable_decomposition_hold(flow: Flow, gamma: float) -> None:
    coi = np.array([kernel_norm(a, a, gamma=gamma) for a in flow.A])
    speed = np.sqrt([kernel_norm(v, a, gamma=gamma) for a, v in zip(flow.A, flow.velocity, strict=True)])
    momenta = np.sum(flow.B**2, axis=(1, 2))
    steps = np.full(POINTS, 1.0 / POINTS)  # a mean over p, as the integral is
    H = float(np.mean(hamiltonians(flow)))
    sides = stable_decomposition(H, coi, speed, momenta, steps, effective_depth=flow.depth, gamma=gamma)
    assert sides.gap_low < sides.gap <= sides.gap_high + 1e-9
    assert sides.excess_share == 1.0
    assert sides.length == pytest.approx(path_length(speed, steps))
    assert sides.c == momenta.max()


@pytest.mark.parametrize("gamma", [1e-4, 1e-2, 1.0])
def test_the_decomposition_holds_on_a_part_of_the_path(flow: Flow, gamma: float) -> None:
    """The length of a part is divided by its extent; the whole path is the part of extent 1."""
    part = slice(POINTS // 3, POINTS // 2)
    A, velocity = flow.A[part], flow.velocity[part]
    coi = np.array([kernel_norm(a, a, gamma=gamma) for a in A])
    speed = np.sqrt([kernel_norm(v, a, gamma=gamma) for a, v in zip(A, velocity, strict=True)])
    steps = np.full(len(A), 1.0 / (POINTS - 1))
    H = float(np.mean(hamiltonians(flow)))
    momenta = np.sum(flow.B[part] ** 2, axis=(1, 2))
    sides = stable_decomposition(H, coi, speed, momenta, steps, effective_depth=flow.depth, gamma=gamma)
    assert sides.gap_low < sides.gap <= sides.gap_high + 1e-9
    assert sides.gap_low == pytest.approx(-((np.mean(speed) / flow.depth + np.sqrt(gamma * sides.c)) ** 2))


def test_the_inequalities_can_fail() -> None:
    """A path that is not a solution violates them, so the test above is not empty."""
    flow = solve(0, 1.0)
    gamma = 1e-3
    coi = np.array([kernel_norm(a, a, gamma=gamma) for a in flow.A])
    speed = np.sqrt([kernel_norm(v, a, gamma=gamma) for a, v in zip(flow.A, flow.velocity, strict=True)])
    momenta = np.sum(flow.B**2, axis=(1, 2))
    H = float(np.mean(hamiltonians(flow)))
    steps = np.full(POINTS, 1.0 / POINTS)
    right = stable_decomposition(H, coi, speed, momenta, steps, effective_depth=1.0, gamma=gamma)
    lowered = H - 0.5 * (right.gap_high - right.gap + 1.0)  # puts the first value 1 above its bound
    wrong = stable_decomposition(lowered, coi, speed, momenta, steps, effective_depth=1.0, gamma=gamma)
    assert right.gap_holds
    assert not wrong.gap_holds
    assert wrong.gap == pytest.approx(right.gap_high + 1.0)
    assert wrong.excess_share < 0.5


def test_the_lagrangian_of_the_flow_is_the_size_of_its_weights(flow: Flow) -> None:
    for index in (0, POINTS // 2, POINTS - 1):
        terms = layer_energies(flow.A[index], flow.velocity[index], effective_depth=flow.depth, gamma=1e-9)
        price = np.sum(flow.weights[index] ** 2) / (2.0 * flow.depth)
        # W = Lt B^T S lies in the row space of S, so it is the smallest; gamma = 1e-9 costs 1e-9 |B|^2 K-inverse
        assert terms.lagrangian == pytest.approx(price, rel=1e-4)


def test_time_scales_compare_the_speed_with_the_height_above_the_smallest_cost() -> None:
    speed, predicted = time_scales([3.0, 0.0, 4.0], [2.0, 1.0, 5.0], effective_depth=3.0)
    np.testing.assert_allclose(speed, [3.0, 0.0, 4.0])
    np.testing.assert_allclose(predicted, [3.0, 0.0, 6.0])
