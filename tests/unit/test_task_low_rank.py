"""LowRank, Noisy and NestedRank: their codes, their difficulty and their settings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakybench
from leakybench.measures.certificate import jacobian_ranks
from leakybench.tasks.balance import active_subspace


def points(task, n, seed=7):
    return task.sample_inputs(n, np.random.default_rng(seed))


def ridge_error(task, penalty=10.0):
    x, y = task.train.inputs.astype(float), task.train.targets.astype(float)
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    targets = task.test.targets.astype(float)
    residue = task.test.inputs @ weights - targets
    return np.sum(residue**2) / np.sum((targets - targets.mean(axis=0)) ** 2)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_low_rank_is_balanced_and_far_from_linear(k, seed):
    task = leakybench.make(f"LowRank-k{k}-v0", seed=seed)
    shares, _ = active_subspace(task.decode, task.code(points(task, 1000)))
    # half of the units are active at each point, not exactly those that make J^T J isotropic
    assert shares[-1] > 0.9 / k
    # a linear method must not do; one that learns the code scores about 0.1
    assert 0.3 < ridge_error(task) < 0.6


# derandomised: a step that straddles a kink of the decoder, one in 10^4 or so of these points, shows rank k + 1
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), k=st.integers(1, 5))
def test_low_rank_certifies_any_allowed_settings(data, seed, k):
    task = leakybench.make(
        "LowRank-k3-v0",
        seed=seed,
        k=k,
        d=data.draw(st.integers(k, 12)),
        # of two units for a code of one, both are dead at half of the points
        width=data.draw(st.integers(2 * k + 4, 40)),
        depth=data.draw(st.integers(1, 2)),
        bias=data.draw(st.floats(0.0, 3.0)),
        n_train=20,
        n_test=20,
    )
    x = points(task, 30)
    assert jacobian_ranks(task.teacher, x).max() == k
    np.testing.assert_array_equal(task.teacher(x), task.decode(task.code(x)))
    assert task.train.targets.shape == (20, task.d)


def test_width_below_twice_the_rank_is_refused():
    with pytest.raises(leakybench.UsageError, match=r"width must be an integer at least 20 \(2 k"):
        leakybench.make("LowRank-k10-v0", width=19)


def test_k_above_d_is_refused():
    with pytest.raises(leakybench.UsageError, match=r"k must be an integer from 1 to 5 .*, got 6"):
        leakybench.make("LowRank-k3-v0", d=5, k=6)


def test_noise_floor_is_the_error_of_the_clean_function():
    task = leakybench.make("Noisy-k3-v0", seed=0)
    assert task.noise == 0.3
    clean = task.teacher(task.sample_inputs(task.n_test, task.rng("test inputs")))
    # scaled targets = (clean + noise) / s - m: the offset and the scale are what a least-squares line recovers
    targets = task.test.targets.astype(float)
    slope = np.sum((clean - clean.mean(0)) * (targets - targets.mean(0))) / np.sum((clean - clean.mean(0)) ** 2)
    residue = targets - targets.mean(0) - slope * (clean - clean.mean(0))
    error = np.sum(residue**2) / np.sum((targets - targets.mean(0)) ** 2)
    # a mean square of 30000 normals has relative deviation sqrt(2 / 30000) = 0.8%; the rms is the training half's
    assert error == pytest.approx(task.noise_floor, rel=0.05)


def test_noise_is_independent_between_outputs_and_halves():
    noisy, clean = (leakybench.make("Noisy-k3-v0", seed=0, noise=noise) for noise in (0.3, 0.0))
    scale = np.sqrt(1 + 0.3**2)
    train, test = (
        scale * getattr(noisy, half).targets.astype(float) - getattr(clean, half).targets for half in ("train", "test")
    )
    # correlations of 1000 samples have deviation 1/sqrt(1000); 870 of them stay below 4.5 deviations
    off_diagonal = np.corrcoef(train.T) - np.eye(30)
    assert np.abs(off_diagonal).max() < 4.5 / np.sqrt(1000)
    assert abs(np.corrcoef(train.ravel(), test.ravel())[0, 1]) < 4.5 / np.sqrt(30000)


def test_nested_rank_orders_its_codes():
    for bad in ({"k_outer": 2}, {"k_outer": 31}, {"k": 7}, {"width": 5}):
        with pytest.raises(leakybench.UsageError):
            leakybench.make("NestedRank-6-3-v0", **bad)
    assert leakybench.make("NestedRank-6-3-v0", k=6).true_rank == 6


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_nested_rank_is_not_linear(seed):
    assert 0.2 < ridge_error(leakybench.make("NestedRank-6-3-v0", seed=seed)) < 0.7
