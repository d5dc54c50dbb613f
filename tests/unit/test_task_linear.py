"""Linear: its closed-form optimum."""

import numpy as np
import pytest

import leakybench


def test_optimum_reproduces_the_targets_and_is_what_least_squares_finds():
    task = leakybench.make("Linear-k3-v0", seed=0)
    for split in (task.train, task.test):
        # float32 inputs, of size up to 5, against float32 targets
        np.testing.assert_allclose(split.inputs @ task.optimum.T, split.targets, atol=1e-5)
    found = np.linalg.lstsq(task.train.inputs.astype(float), task.train.targets.astype(float), rcond=None)[0].T
    np.testing.assert_allclose(found, task.optimum, atol=1e-6)


def test_singular_values_of_the_map():
    task = leakybench.make("Linear-k3-v0", seed=1, d=9, k=4)
    assert task.matrix.shape == (9, 9)
    np.testing.assert_allclose(np.linalg.svd(task.matrix, compute_uv=False), [1] * 4 + [0] * 5, atol=1e-12)
    x = np.random.default_rng(0).standard_normal((5, 9))
    np.testing.assert_allclose(task.teacher(x), x @ task.matrix.T, atol=1e-12)


def test_optimum_with_noise_is_the_expected_map():
    task = leakybench.make("Linear-k3-v0", seed=0, noise=0.5, n_train=20000, n_test=10)
    found = np.linalg.lstsq(task.train.inputs.astype(float), task.train.targets.astype(float), rcond=None)[0].T
    # each coefficient has standard error about 0.45 / sqrt(20000) = 0.0032; 900 of them stay below 4.5 of those
    assert np.abs(found - task.optimum).max() < 4.5 * 0.0032


def test_every_direction_carries_the_same():
    task = leakybench.make("Linear-k3-v0", seed=2)
    values = np.linalg.svd(task.optimum, compute_uv=False)
    assert values[2] == pytest.approx(values[0], rel=1e-12)
