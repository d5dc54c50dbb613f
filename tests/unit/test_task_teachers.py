"""The random teacher networks against their formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakybench
from leakybench.tasks.teachers import REFERENCE_SAMPLES, fully_connected, orthonormal, projection, residual, whitened

SIZES = st.integers(min_value=1, max_value=12)


def rng(seed=0):
    return np.random.default_rng(seed)


@settings(max_examples=40, deadline=None)
@given(rows=SIZES, columns=SIZES, seed=st.integers(0, 2**32 - 1))
def test_orthonormal_on_its_shorter_side(rows, columns, seed):
    q = orthonormal(rng(seed), rows, columns)
    assert q.shape == (rows, columns)
    gram = q @ q.T if rows <= columns else q.T @ q
    np.testing.assert_allclose(gram, np.eye(min(rows, columns)), atol=1e-12)  # round-off of a small QR


def test_orthonormal_is_haar_distributed():
    # E[q_11] = 0 and E[q_11^2] = 1/n; the QR of LAPACK, unsigned, has q_11 < 0 always
    generator = rng(1)
    entries = np.array([orthonormal(generator, 3, 3)[0, 0] for _ in range(2000)])
    assert abs(entries.mean()) < 4 * np.sqrt(1 / 3 / 2000)  # four standard errors
    assert np.mean(entries**2) == pytest.approx(1 / 3, abs=4 * 0.3 / np.sqrt(2000))


@pytest.mark.parametrize(("rows", "columns"), [(30, 3), (3, 30), (8, 8)])
def test_projection_keeps_entries_at_mean_square_one(rows, columns):
    matrix = projection(rng(), rows, columns)
    # E|M x|^2 / rows = |M|_F^2 / rows for standard normal x, exactly
    assert np.sum(matrix**2) / rows == pytest.approx(1.0, rel=1e-12)


def test_fully_connected_is_its_formula():
    x = rng(5).standard_normal((7, 4))
    network = fully_connected(rng(2), 4, 3, width=6, depth=2, bias=0.5)
    generator = rng(2)
    w1, b1 = projection(generator, 6, 4), 0.5 * generator.standard_normal(6)
    w2, b2 = projection(generator, 6, 6), 0.5 * generator.standard_normal(6)
    u = projection(generator, 3, 6)
    hidden = np.maximum(w1 @ x.T + b1[:, None], 0)
    hidden = np.maximum(np.sqrt(2) * (w2 @ hidden + b2[:, None]), 0)
    np.testing.assert_allclose(network(x), (u @ hidden).T, rtol=1e-12, atol=1e-14)


def test_fully_connected_without_bias_is_positively_homogeneous():
    network = fully_connected(rng(), 5, 4, width=9, depth=3)
    x = rng(1).standard_normal((6, 5))
    np.testing.assert_allclose(network(2.5 * x), 2.5 * network(x), rtol=1e-12)


def test_residual_is_its_formula():
    x = rng(5).standard_normal((7, 4))
    network = residual(rng(2), 4, 3, width=6, depth=2, bias=0.5, branch=0.7)
    generator = rng(2)
    hidden = projection(generator, 6, 4) @ x.T
    blocks = [
        (orthonormal(generator, 6, 6), 0.5 * generator.standard_normal(6), orthonormal(generator, 6, 6))
        for _ in range(2)
    ]
    readout = projection(generator, 3, 6)
    for inner, offset, outer in blocks:
        # branch / sqrt(depth) times the sqrt(2) that V carries
        hidden = hidden + 0.7 * outer @ np.maximum(inner @ hidden + offset[:, None], 0)
    np.testing.assert_allclose(network(x), (readout @ hidden).T, rtol=1e-12, atol=1e-14)


def test_residual_branch_has_the_size_of_the_skip():
    width = 60
    x = rng(3).standard_normal((4000, width))
    skip = residual(rng(4), width, width, width=width, branch=1e-12)(x)
    both = residual(rng(4), width, width, width=width, branch=1.0)(x)
    # 2 E[relu(t)^2] = 1; 240000 entries leave 0.3%
    assert np.mean((both - skip) ** 2) == pytest.approx(np.mean(skip**2), rel=0.02)


def test_whitened_is_exact_on_the_reference_and_close_elsewhere():
    inner = fully_connected(rng(), 10, 3, width=20, bias=1.0)
    reference = rng(1).standard_normal((REFERENCE_SAMPLES, 10))
    code = whitened(inner, reference)
    np.testing.assert_allclose(code(reference).mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cov(code(reference).T), np.eye(3), atol=1e-12)
    fresh = code(rng(2).standard_normal((20000, 10)))
    assert np.abs(np.cov(fresh.T) - np.eye(3)).max() < 0.1  # 4 sqrt(2/4096), from the reference samples


def test_whitened_takes_one_coordinate():
    inner = fully_connected(rng(), 4, 1, width=8)
    code = whitened(inner, rng(1).standard_normal((100, 4)))
    assert code(np.ones((5, 4))).shape == (5, 1)


def test_a_code_of_too_few_dimensions_is_refused():
    with pytest.raises(leakybench.UsageError, match="fewer than its 2 dimensions"):
        whitened(lambda x: x[:, [0, 0]], rng().standard_normal((100, 3)))
    with pytest.raises(leakybench.UsageError, match="fewer than its 1 dimensions"):
        whitened(lambda x: 0 * x, np.ones((100, 1)))


def test_maps_do_not_depend_on_the_rows_beside():
    network = residual(rng(), 5, 4, width=9, bias=1.0)
    x = rng(1).standard_normal((50, 5))
    np.testing.assert_allclose(network(x)[:3], network(x[:3]), rtol=1e-12, atol=1e-14)  # products of other shapes
