"""The rank certificate on functions whose Jacobian is known, and on false claims."""

import numpy as np
import pytest

import leakybench
from leakybench.measures.certificate import jacobian, jacobian_ranks
from leakybench.tasks.balance import active_subspace, loss_without_weakest


def rng(seed=0):
    return np.random.default_rng(seed)


def test_jacobian_of_a_linear_map_is_its_matrix():
    matrix = rng().standard_normal((4, 3))
    found = jacobian(lambda x: x @ matrix.T, rng(1).standard_normal((5, 3)))
    assert found.shape == (5, 4, 3)
    np.testing.assert_allclose(found, np.broadcast_to(matrix, (5, 4, 3)), atol=1e-8)  # 1e-16 / step


def test_jacobian_of_a_smooth_map_is_second_order():
    x = rng(1).standard_normal((6, 2))
    exact = np.stack([np.diag(np.cos(row)) for row in x])
    coarse, fine = (np.abs(jacobian(np.sin, x, step=h) - exact).max() for h in (1e-2, 5e-3))
    assert np.log2(coarse / fine) == pytest.approx(2.0, abs=0.01)
    assert np.abs(jacobian(np.sin, x) - exact).max() < 1e-8


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_ranks_of_products(rank):
    inner, outer = rng(2).standard_normal((rank, 5)), rng(3).standard_normal((6, rank))
    ranks = jacobian_ranks(lambda x: np.tanh(x @ inner.T) @ outer.T, rng(4).standard_normal((10, 5)))
    assert ranks.tolist() == [rank] * 10


def test_a_code_that_is_declared_too_large_is_found_out():
    task = leakybench.make("LowRank-k3-v0", seed=0, n_train=10, n_test=10)
    x = task.sample_inputs(30, rng())

    def two_of_three(points):
        return task.decode(task.code(points) * [1.0, 1.0, 0.0])

    assert jacobian_ranks(two_of_three, x).max() == 2


def test_a_code_that_is_declared_too_small_is_found_out():
    task = leakybench.make("LowRank-k3-v0", seed=0, n_train=10, n_test=10)
    x = task.sample_inputs(30, rng())
    leak = 1e-3 * rng(1).standard_normal(30)
    assert jacobian_ranks(lambda p: task.teacher(p) + np.sin(p @ leak)[:, None] * leak, x).max() == 4


def test_shares_of_a_linear_decoder():
    # E[J^T J] = diag(9, 4, 1) exactly
    shares, directions = active_subspace(lambda z: z * [1.0, 3.0, 2.0], rng().standard_normal((20, 3)))
    np.testing.assert_allclose(shares, np.array([9, 4, 1]) / 14, atol=1e-7)
    np.testing.assert_allclose(np.abs(directions), np.eye(3)[:, [1, 2, 0]], atol=1e-6)


def test_shares_see_a_direction_that_no_output_uses():
    mixing = rng(1).standard_normal((2, 3))
    codes = rng().standard_normal((50, 3))
    assert active_subspace(lambda z: np.tanh(z @ mixing.T), codes)[0][-1] < 1e-9
    assert loss_without_weakest(lambda z: np.tanh(z @ mixing.T), codes, rng(2)) < 1e-9


def test_loss_without_the_weakest_direction_of_a_linear_decoder():
    # the weakest coordinate holds 1 of 14 units of variance; 20000 samples leave 2%
    codes = rng().standard_normal((20000, 3))
    assert loss_without_weakest(lambda z: z * [1.0, 3.0, 2.0], codes, rng(1)) == pytest.approx(1 / 14, rel=0.05)


def test_loss_sees_what_a_product_needs():
    # (2 z1, z1 z2), of variances 4 and 1: without z2 the second output is lost as a whole
    codes = rng().standard_normal((20000, 2))
    lost = loss_without_weakest(lambda z: z[:, :1] * np.hstack([np.full_like(z[:, :1], 2.0), z[:, 1:]]), codes, rng(1))
    assert lost == pytest.approx(1 / 5, rel=0.05)
