"""The kernel norm and the cost of identity against exact sources and their own algebra."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakybench.measures import cost_of_identity, kernel_norm, nuclear_rank, spectrum
from leakybench.measures.norms import components, gram_kernel, kernel, weighted

cases = settings(deadline=None, max_examples=40, derandomize=True)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 12)
gammas = st.floats(1e-8, 1e3)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def by_high_precision(M: np.ndarray, A: np.ndarray, gamma: float) -> float:
    """Tr(M^T (S S^T + gamma I)^{-1} M) by elimination with 60 digits."""
    with mpmath.workdps(60):
        S = mpmath.matrix(np.hstack([np.maximum(A, 0.0), np.ones((len(A), 1))]).tolist())
        K = S * S.T + mpmath.mpf(gamma) * mpmath.eye(len(A))
        return float(sum((mpmath.matrix(m).T * mpmath.lu_solve(K, mpmath.matrix(m)))[0] for m in M.T.tolist()))


@pytest.mark.parametrize("gamma", [1e2, 1.0, 1e-3, 1e-6, 1e-10])
@pytest.mark.parametrize(("samples", "width"), [(9, 3), (4, 7), (6, 6)])
def test_kernel_norm_equals_a_solve_with_sixty_digits(samples: int, width: int, gamma: float) -> None:
    A, M = draw(1, samples, width), draw(2, samples, 2)
    # the SVD is backward stable: an error of eps |S|^2 in K moves the norm by at most eps |S|^2 / gamma, or 1e-15/1e-10
    # relative to |S|; directions inside the range are far better than that
    assert kernel_norm(M, A, gamma=gamma) == pytest.approx(by_high_precision(M, A, gamma), rel=1e-11)


def test_kernel_norm_stays_exact_where_the_woodbury_form_has_lost_its_digits() -> None:
    A = draw(3, 40, 5)
    S = np.hstack([np.maximum(A, 0.0), np.ones((40, 1))])
    W = draw(4, 2, 6)
    gamma = 1e-14
    exact = by_high_precision(S @ W.T, A, gamma)
    woodbury_core = np.linalg.solve(S.T @ S + gamma * np.eye(6), S.T @ (S @ W.T))
    woodbury = (np.sum((S @ W.T) ** 2) - np.sum((S @ W.T) * (S @ woodbury_core))) / gamma
    # what is outside the range is round-off of size 1e-15 |M|, squared and divided by gamma: 1e-14 here
    assert kernel_norm(S @ W.T, A, gamma=gamma) == pytest.approx(exact, rel=1e-9)
    assert abs(woodbury - exact) > 1e-3 * exact


@cases
@given(seeds, sizes, sizes)
def test_without_stabiliser_it_is_the_size_of_the_smallest_weights(seed: int, samples: int, width: int) -> None:
    A = draw(seed, samples, width)
    S = np.hstack([np.maximum(A, 0.0), np.ones((samples, 1))])
    M = S @ draw(seed + 1, width + 1, 3)
    smallest = np.linalg.lstsq(S, M, rcond=1e-12)[0]
    # the condition of S enters both ways; random S of this size reach 1e4, squared 1e8
    assert kernel_norm(M, A, gamma=0.0) == pytest.approx(float(np.sum(smallest**2)), rel=1e-6)


def test_without_stabiliser_it_is_infinite_outside_the_range() -> None:
    A = draw(5, 20, 3)
    assert kernel_norm(draw(6, 20, 1), A, gamma=0.0) == np.inf
    # a float32 copy of something inside the range is outside it
    inside = (np.hstack([np.maximum(A, 0.0), np.ones((20, 1))]) @ draw(7, 4, 1)).astype(np.float32)
    assert kernel_norm(inside, A, gamma=0.0) == np.inf


@cases
@given(seeds, sizes, sizes, gammas)
def test_a_larger_stabiliser_gives_a_smaller_norm_and_the_two_limits_hold(
    seed: int, samples: int, width: int, gamma: float
) -> None:
    A, M = draw(seed, samples, width), draw(seed + 1, samples, 2)
    value, larger = kernel_norm(M, A, gamma=gamma), kernel_norm(M, A, gamma=2.0 * gamma)
    assert 0.0 < larger < value <= 2.0 * larger * (1.0 + 1e-12)
    size = float(np.sum(M**2))
    top = kernel(A).operator_norm
    # every eigenvalue of K + gamma lies in [gamma, top + gamma]
    assert size / (top + gamma) * (1 - 1e-12) <= value <= size / gamma * (1 + 1e-12)


@cases
@given(seeds, sizes, st.integers(1, 6))
def test_cost_of_identity_is_the_rank_of_a_non_negative_representation(seed: int, samples: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    rank = min(rank, samples)
    A = rng.random((samples, rank)) @ rng.random((rank, 8))
    values = spectrum(A, centred=False)
    # S = A, so the norm is the trace of a projector: exact but for the round-off of its r directions
    expected = int(np.sum(values > 1e-10 * values[0]))
    if expected == rank or values[rank - 1] > 1e-8 * values[0]:
        assert cost_of_identity(A, g0=0.0, bias=False) == pytest.approx(rank, abs=1e-9)


@cases
@given(seeds, sizes, sizes, st.sampled_from([0.0, 1e-4]))
def test_cost_of_identity_is_at_least_the_nuclear_rank(seed: int, samples: int, width: int, g0: float) -> None:
    A = draw(seed, samples, width)
    if g0 == 0.0:  # in the range of its features, where the bound is not trivial: non-negative columns, mixed signs
        A = np.abs(A) * np.sign(draw(seed + 1, 1, width) + 2.0)
    bound = nuclear_rank(spectrum(A, centred=False))
    value = cost_of_identity(A, g0=g0, bias=False)
    if g0 == 0.0:
        assert value >= bound * (1.0 - 1e-9)
    else:
        # |A|_* <= |S|_K-weighted: (sum s_j)^2 <= COI_g (|relu(A)|_F^2 + g N), by Cauchy and Schwarz
        rectified = np.maximum(A, 0.0)
        gamma = g0 * kernel(A, bias=False).operator_norm
        nuclear = float(np.sum(spectrum(A, centred=False)))
        assert gamma == 0.0 or value * (np.sum(rectified**2) + gamma * samples) >= nuclear**2 * (1.0 - 1e-9)


@cases
@given(seeds, st.integers(2, 12), sizes, st.sampled_from([1e-1, 1e-2, 1e-4]))
def test_neither_the_order_of_neurons_nor_of_samples_matters(seed: int, samples: int, width: int, g0: float) -> None:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((samples, width))
    shuffled = A[rng.permutation(samples)][:, rng.permutation(width)]
    # round-off of a sum of squares in another order, divided by g0
    assert cost_of_identity(shuffled, g0=g0) == pytest.approx(cost_of_identity(A, g0=g0), rel=1e-10)


@cases
@given(seeds, sizes, sizes, st.floats(0.01, 100.0))
def test_without_bias_the_cost_of_identity_has_no_unit(seed: int, samples: int, width: int, factor: float) -> None:
    A = draw(seed, samples, width)
    expected = cost_of_identity(A, g0=1e-2, bias=False)
    assert cost_of_identity(factor * A, g0=1e-2, bias=False) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("g0", [1e-2, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("rank", [3, 20])
def test_the_fast_decomposition_of_a_path_agrees_with_the_exact_one(rank: int, g0: float) -> None:
    """On codes of full rank and in a bottleneck with a tail of 1e-4, as a trained network has."""
    rng = np.random.default_rng(10)
    A = rng.standard_normal((200, rank)) @ rng.standard_normal((rank, 20)) + 2.0 + 1e-4 * rng.standard_normal((200, 20))
    exact, fast = kernel(A), gram_kernel(A)
    gamma = g0 * exact.operator_norm
    one, other = (weighted(layer, components(layer, A), gamma) for layer in (exact, fast))
    # the error of an eigenvalue is 1e-16 of the largest, against gamma of 1e-8 of it at least
    assert other == pytest.approx(one, rel=1e-7)


def test_padding_with_silent_neurons_changes_nothing() -> None:
    A = draw(8, 30, 5)
    padded = np.hstack([A, np.zeros((30, 4))])
    assert cost_of_identity(padded, g0=1e-3) == pytest.approx(cost_of_identity(A, g0=1e-3), rel=1e-12)


def test_a_torch_tensor_is_accepted_with_its_gradient() -> None:
    torch = pytest.importorskip("torch")
    A = draw(9, 10, 4)
    tensor = torch.tensor(A, requires_grad=True)
    assert cost_of_identity(tensor, g0=1e-2) == cost_of_identity(A, g0=1e-2)
    assert kernel_norm(tensor, tensor, gamma=0.1) == kernel_norm(A, A, gamma=0.1)
