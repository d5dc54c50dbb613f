"""A batch of networks trains as each network alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import leakybench
from leakybench.baselines.networks.history import History, Metric, Point, dot


def quadratic_points(runs: int, size: int, count: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Points x (R, P) and gradients of a positive definite quadratic of each run."""
    draw = torch.Generator().manual_seed(seed)
    factors = torch.randn(runs, size, size, generator=draw, dtype=torch.float64)
    hessian = factors @ factors.mT / size + 0.5 * torch.eye(size, dtype=torch.float64)
    points = torch.randn(count, runs, size, generator=draw, dtype=torch.float64)
    return [(x, (hessian @ x.unsqueeze(2)).squeeze(2)) for x in points]


def diagonal_metric(diagonal: torch.Tensor) -> Metric:
    def metric(vector: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return torch.mul(vector, diagonal, out=out)

    return metric


def walk(history: History, points: list[tuple[torch.Tensor, torch.Tensor]], metric: Metric, valid: np.ndarray) -> Point:
    """Add the steps from point to point; ``valid`` (steps, R). Returns the last point."""
    states = [Point(x, g, metric(g, torch.empty_like(g))) for x, g in points]
    history.at(states[0].gradient)
    for number, (old, new) in enumerate(itertools.pairwise(states)):
        sy = dot(new.parameters - old.parameters, new.gradient - old.gradient)
        history.add(old, new, sy, valid[number])
    return states[-1]


def two_loops(
    points: list[tuple[np.ndarray, np.ndarray]], memory: int, diagonal: np.ndarray, gamma: float
) -> np.ndarray:
    """-H g of one run by the two-loop recursion [NW06, algorithm 7.4], from H_0 = gamma diag."""
    pairs = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(points)][-memory:]
    q, alphas = points[-1][1].copy(), []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (s @ y))
        q -= alphas[-1] * y
    r = gamma * diagonal * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r += (alpha - y @ r / (s @ y)) * s
    return -r


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_the_compact_form_is_the_two_loop_recursion(steps):
    points = quadratic_points(2, 9, steps + 1)
    diagonal = torch.rand(9, generator=torch.Generator().manual_seed(5), dtype=torch.float64) + 0.5
    history, metric = History(4, points[0][0]), diagonal_metric(diagonal)
    last = walk(history, points, metric, np.ones((steps, 2), dtype=bool))
    gamma = history.scale(np.ones(2))
    direction = history.direction(last.preconditioned, gamma, torch.empty_like(last.gradient))
    for run in range(2):
        alone = [(x[run].numpy(), g[run].numpy()) for x, g in points]
        s, y = alone[-1][0] - alone[-2][0], alone[-1][1] - alone[-2][1]
        assert gamma[run] == pytest.approx(s @ y / (y @ (diagonal.numpy() * y)), rel=1e-10)
        wanted = two_loops(alone, 4, diagonal.numpy(), gamma[run])
        # float64, two orders of the same sums; products of pairs are differences, which costs some digits
        np.testing.assert_allclose(direction[run].numpy(), wanted, rtol=1e-9, atol=1e-9)


def test_the_pairs_stay_when_the_metric_changes():
    points = quadratic_points(2, 9, 7)
    valid = np.ones((6, 2), dtype=bool)
    first, second = (
        diagonal_metric(torch.rand(9, generator=torch.Generator().manual_seed(n), dtype=torch.float64) + 0.5)
        for n in (1, 2)
    )
    changed, fresh = History(4, points[0][0]), History(4, points[0][0])
    gradient = walk(changed, points, first, valid).gradient
    changed.change_metric(second, gradient)
    preconditioned = walk(fresh, points, second, valid).preconditioned
    # the same numbers, one as a difference of products and one as a product of differences
    np.testing.assert_allclose(changed.scale(np.ones(2)), fresh.scale(np.ones(2)), rtol=1e-10)
    gamma = fresh.scale(np.ones(2))
    directions = [h.direction(preconditioned, gamma, torch.empty_like(gradient)) for h in (changed, fresh)]
    torch.testing.assert_close(*directions, rtol=1e-9, atol=1e-9)


def test_a_pair_of_one_run_leaves_the_history_of_another_as_it_is():
    # run 1 has a pair each time; run 0 has none at the last two, and stays where it is
    points = quadratic_points(2, 5, 13)
    for number in (11, 12):
        for array, before in zip(points[number], points[10], strict=True):
            array[0] = before[0]
    valid = np.array([[number < 10, True] for number in range(12)])
    metric = diagonal_metric(torch.ones(5, dtype=torch.float64))
    both, alone = History(3, points[0][0]), History(3, points[0][0][:1])
    together = walk(both, points, metric, valid)
    single = walk(alone, [(x[:1], g[:1]) for x, g in points[:11]], metric, valid[:10, :1])
    np.testing.assert_allclose(both.scale(np.full(2, 0.05))[:1], alone.scale(np.full(1, 0.05)), rtol=1e-10)
    gamma = np.full(2, 0.7)
    directions = [
        history.direction(point.preconditioned, gamma[: len(point.gradient)], torch.empty_like(point.gradient))[0]
        for history, point in ((both, together), (alone, single))
    ]
    # float64, products of one row and of two
    torch.testing.assert_close(*directions, rtol=1e-9, atol=1e-9)
    assert both.counts.tolist() == [3, 3]


def test_forgotten_pairs_leave_the_metric_alone():
    points = quadratic_points(2, 5, 4)
    metric = diagonal_metric(torch.full((5,), 0.3, dtype=torch.float64))
    history = History(3, points[0][0])
    last = walk(history, points, metric, np.ones((3, 2), dtype=bool))
    history.forget(np.array([True, False]))
    np.testing.assert_array_equal(history.counts, [0, 3])
    gamma = history.scale(np.full(2, 0.05))
    direction = history.direction(last.preconditioned, gamma, torch.empty_like(last.gradient))
    assert gamma[0] == 0.05
    torch.testing.assert_close(direction[0], -0.05 * last.preconditioned[0])
    history.clear()
    torch.testing.assert_close(
        history.direction(last.preconditioned, np.ones(2), torch.empty_like(last.gradient)), -last.preconditioned
    )


@pytest.mark.slow
def test_a_batch_of_seeds_trains_to_the_networks_of_single_fits():
    baseline = leakybench.make_baseline("LeakyResNet-v0", width=20, depth=20, effective_depth=7.0)
    tasks = [leakybench.make("LowRank-k2-v0", seed=seed, d=8, n_train=200, n_test=100) for seed in range(8)]
    batch = baseline.fit_many([task.train for task in tasks], seeds=range(8), preset="standard")
    for seed, (task, together) in enumerate(zip(tasks, batch, strict=True)):
        single = baseline.fit(task.train, seed=seed, preset="standard")
        # batched products may round otherwise; measured: 2e-9 in the objective and 2e-7 in the predictions
        objectives = [model.report.values["objective"] for model in (together, single)]
        assert objectives[0] == pytest.approx(objectives[1], rel=1e-5)
        np.testing.assert_allclose(together.predict(task.test.inputs), single.predict(task.test.inputs), atol=1e-3)
