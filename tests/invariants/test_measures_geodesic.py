"""The direct solver of geodesics against linear algebra, finite differences and networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakybench.errors import UsageError
from leakybench.measures import kernel_norm, spectrum
from leakybench.measures.geodesic import Geodesic, geodesic_problem, layer_price, path_objective, solve_geodesic
from leakybench.measures.momenta import hamiltonian
from leakybench.measures.norms import features, kernel
from leakybench.measures.recursion import propagate

cases = settings(deadline=None, max_examples=25, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def ends(seed: int, samples: int = 20, width: int = 8, d: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A_0, Y and D."""
    rng = np.random.default_rng(seed)
    E, D = (np.linalg.qr(rng.standard_normal((width, d)))[0] for _ in range(2))
    x = rng.standard_normal((samples, d))
    return x @ E.T, np.maximum(x @ rng.standard_normal((d, d)), 0.0) - 0.5, D.T


@cases
@given(seeds, st.integers(1, 10), st.integers(1, 8), st.floats(0.5, 9.0), st.floats(1e-4, 10.0))
def test_the_price_of_a_layer_is_the_kernel_norm(
    seed: int, samples: int, width: int, depth: float, gamma: float
) -> None:
    rng = np.random.default_rng(seed)
    A, after = rng.standard_normal((2, samples, width))
    layer = layer_price(A, after, 0.1, depth, gamma)
    M = (after - A) / 0.1 + depth * A
    # two routes to one number: normal equations here, an SVD there; the condition is |S|^2/gamma, 1e6 at most
    assert layer.price == pytest.approx(kernel_norm(M, A, gamma=gamma), rel=1e-9)
    plain = hamiltonian(A, layer.momentum, effective_depth=depth, scale=max(depth, 1.0))
    correction = 0.5 * max(depth, 1.0) * gamma * np.sum(layer.momentum**2)
    assert layer.hamiltonian == pytest.approx(plain + correction, rel=1e-12)


@pytest.mark.parametrize("depth", [0.0, 0.5, 4.0])
def test_the_gradient_equals_finite_differences(depth: float) -> None:
    A0, Y, D = ends(0)
    problem = geodesic_problem(A0, Y, D, depth, 0.01, 0.1, np.array([0.2, 0.5, 0.3]))
    rng = np.random.default_rng(1)
    path, direction = rng.standard_normal((2, 3, *A0.shape))
    _, gradient = path_objective(problem, path)
    h = 1e-6
    plus, minus = (path_objective(problem, path + sign * h * direction)[0] for sign in (1.0, -1.0))
    # central differences: h^2 from the third derivative, 1e-16/h from round-off
    assert (plus - minus) / (2.0 * h) == pytest.approx(gradient @ direction.ravel(), rel=1e-7)


@pytest.mark.parametrize("depth", [0.0, 3.0])
def test_one_layer_is_a_linear_problem(depth: float) -> None:
    """L = 1: C(A_1) + lambda |A_1 - A_0 + Lt A_0|^2_(K_0 + gamma)/(2 scale) is quadratic in A_1."""
    A0, Y, D = ends(2, samples=7, width=4)
    penalty, gamma, scale = 0.3, 0.5, max(depth, 1.0)
    found = solve_geodesic(
        A0, Y, D, effective_depth=depth, penalty=penalty, gamma=gamma, step_sizes=[1.0], iterations=2000
    )
    S = features(A0)
    inverse = np.linalg.inv(S @ S.T + gamma * np.eye(7))
    # stationarity: (2/n) (A_1 D^T - Y) D + (lambda/scale) inverse (A_1 + (Lt - 1) A_0) = 0, for the entries of A_1
    n = Y.size
    system = (2.0 / n) * np.kron(np.eye(7), D.T @ D) + (penalty / scale) * np.kron(inverse, np.eye(4))
    right = (2.0 / n) * Y @ D - (penalty / scale) * inverse @ ((depth - 1.0) * A0)
    exact = np.linalg.solve(system, right.ravel()).reshape(7, 4)
    np.testing.assert_allclose(found.activations[1], exact, rtol=0.0, atol=1e-5 * np.abs(exact).max())
    # the curve of the objective is flat at the minimum: the square of the error above
    problem = geodesic_problem(A0, Y, D, depth, penalty, gamma, [1.0])
    assert found.objective == pytest.approx(path_objective(problem, exact[None])[0], rel=1e-9)


@cases
@given(seeds, st.floats(0.5, 4.0), st.floats(1e-3, 1.0))
def test_a_network_never_costs_less_than_its_own_path(seed: int, depth: float, gamma: float) -> None:
    """The price of a path is at most that of any weights that produce it, for every gamma."""
    A0, Y, D = ends(seed)
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((4, 8, 9))
    steps = np.full(4, 0.25)
    path = propagate(A0, weights, steps, 1.0 - steps * depth)[1:]
    value, _ = path_objective(geodesic_problem(A0, Y, D, depth, 0.01, gamma, steps), path)
    network = np.mean((path[-1] @ D.T - Y) ** 2) + 0.01 * 0.25 * np.sum(weights**2) / (2.0 * max(depth, 1.0))
    assert value <= network * (1.0 + 1e-12)


PENALTY, DEPTH = 1e-2, 2.0


def solve(layers: int, path: np.ndarray | None) -> Geodesic:
    """A small problem that L-BFGS solves to the end; each depth starts from the solution of the one before."""
    A0, Y, D = ends(3, samples=8, width=4, d=2)
    return solve_geodesic(
        A0,
        Y,
        D,
        effective_depth=DEPTH,
        penalty=PENALTY,
        gamma=0.1 * kernel(A0).operator_norm,
        step_sizes=np.full(layers, 1.0 / layers),
        path=path,
        iterations=1500,
        continuation=(10.0, 1.0) if path is None else (1.0,),
    )


def refined(geodesic: Geodesic) -> np.ndarray:
    """A_1 .. A_2L by linear interpolation of A_0 .. A_L."""
    A = geodesic.activations
    between = 0.5 * (A[1:] + A[:-1])
    return np.stack([between, A[1:]], axis=1).reshape(-1, *A.shape[1:])


@pytest.fixture(scope="module")
def solved() -> list[Geodesic]:
    found = [solve(5, None)]
    for layers in (10, 20):
        found.append(solve(layers, refined(found[-1])))
    return found


@pytest.mark.slow
def test_the_solutions_are_stationary(solved: list[Geodesic]) -> None:
    # L-BFGS stops where the objective no longer falls by 1e-13 of itself; the gradient is of the order of the square
    # root of that times the curvature, which reaches |S|^2/gamma = 10 times L^2
    assert max(geodesic.residual for geodesic in solved) < 1e-2


@pytest.mark.slow
def test_the_solution_is_better_than_where_it_started(solved: list[Geodesic]) -> None:
    A0, Y, D = ends(3, samples=8, width=4, d=2)
    problem = geodesic_problem(A0, Y, D, DEPTH, PENALTY, solved[0].gamma, solved[0].step_sizes)
    line = np.stack([A0 + p * (Y - A0 @ D.T) @ D for p in np.linspace(0.2, 1.0, 5)])
    assert solved[0].objective < 0.9 * path_objective(problem, line)[0]
    assert solved[0].objective == pytest.approx(solved[0].cost + PENALTY * solved[0].energy, rel=1e-12)


@pytest.mark.slow
def test_the_last_momentum_is_minus_the_gradient_of_the_cost(solved: list[Geodesic]) -> None:
    geodesic = solved[-1]
    _, Y, D = ends(3, samples=8, width=4, d=2)
    error = geodesic.activations[-1] @ D.T - Y
    expected = -(2.0 / error.size) * error @ D / PENALTY
    # transversality holds at a stationary point: to the residual
    assert np.linalg.norm(geodesic.momenta[-1] - expected) < 1e-2 * np.linalg.norm(geodesic.momenta)


@pytest.mark.slow
def test_the_hamiltonian_of_a_geodesic_becomes_constant_with_depth(solved: list[Geodesic]) -> None:
    spread = [float(np.ptp(geodesic.hamiltonian)) for geodesic in solved]
    # order 1: each doubling of L halves the drift, or nearly
    assert spread[1] < 0.7 * spread[0]
    assert spread[2] < 0.7 * spread[1]


@pytest.mark.slow
def test_the_path_of_a_geodesic_can_be_measured(solved: list[Geodesic]) -> None:
    path = solved[1].representations()
    assert path.activations.shape == (11, 8, 4)
    assert path.positions[-1] == pytest.approx(1.0)
    assert spectrum(path.activations[5], centred=True)[0] > 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 0.0}, "gamma must be finite and above 0"),
        ({"penalty": -1.0}, "penalty must be"),
        ({"effective_depth": np.nan}, "effective_depth must be"),
        ({"step_sizes": [0.5, -0.5]}, "step_sizes must be positive"),
        ({"path": np.ones((1, 2, 3))}, "path must be"),
        ({"continuation": (10.0,)}, "continuation must end with 1"),
        ({"readout": np.ones((3, 8))}, "independent rows"),
        ({"readout": np.ones((2, 8))}, r"readout must be \(3, 8\)"),
        ({"targets": np.ones((3, 3))}, "one row a sample"),
    ],
)
def test_wrong_arguments_are_refused(change: dict, message: str) -> None:
    A0, Y, D = ends(0)
    arguments = {
        "start": A0,
        "targets": Y,
        "readout": D,
        "effective_depth": 1.0,
        "penalty": 0.1,
        "gamma": 1.0,
        "step_sizes": [0.5, 0.5],
        **change,
    }
    with pytest.raises(UsageError, match=message):
        solve_geodesic(
            arguments.pop("start"), arguments.pop("targets"), arguments.pop("readout"), iterations=1, **arguments
        )
