"""Geodesics solved without a network against a network trained on the same task: an independent check of both."""

from __future__ import annotations

import numpy as np
import pytest

import leakybench
from leakybench.measures import largest_gap, measure_model, spectrum
from leakybench.measures.geodesic import solve_geodesic
from leakybench.measures.norms import kernel

DEPTH, LAYERS = 5.0, 12


@pytest.fixture(scope="module")
def task():
    return leakybench.make("LowRank-k2-v0", seed=0, d=6, n_train=40, n_test=40)


@pytest.fixture(scope="module")
def network(task):
    baseline = leakybench.make_baseline("LeakyResNet-v0", width=14, depth=LAYERS, effective_depth=DEPTH)
    return baseline.fit(task.train, seed=0, preset="standard")


@pytest.fixture(scope="module")
def geodesics(task, network):
    """From the network's own path, and from a straight line."""
    path = network.representations(task.train.inputs)
    gamma = 1e-4 * max(kernel(layer).operator_norm for layer in path.activations)
    common = {
        "start": path.activations[0],
        "targets": task.train.targets.astype(np.float64),
        "readout": network.readout.double().numpy(),
        "effective_depth": DEPTH,
        "penalty": network.penalty,
        "gamma": gamma,
        "step_sizes": path.step_sizes,
    }
    near = solve_geodesic(**common, path=path.activations[1:], continuation=(1.0,), iterations=100)
    return near, solve_geodesic(**common, iterations=150)


def test_a_geodesic_costs_less_than_the_network_and_not_much_less(network, geodesics) -> None:
    """The network's objective bounds the geodesic's from above at every gamma, and gamma = 1e-4 is close to none."""
    trained = network.report.values["objective"]
    for geodesic in geodesics:
        assert 0.8 * trained < geodesic.objective < trained


def test_a_start_without_a_network_finds_a_minimum_as_low(geodesics) -> None:
    near, far = geodesics
    # not convex, so the two are local minima: 1% apart in the case that was looked at, 10% is a different picture
    assert far.objective == pytest.approx(near.objective, rel=0.1)


def test_the_geodesic_passes_through_a_bottleneck_of_the_true_rank(task, geodesics) -> None:
    for geodesic in geodesics:
        ranks = [largest_gap(spectrum(layer, centred=True)).rank for layer in geodesic.activations]
        assert ranks[0] == 6
        # p in 0.35-0.75; a non-negative code of R^2 spans two directions or three
        assert task.true_rank <= min(ranks[5:9]) <= task.true_rank + 1


def test_both_have_nearly_the_same_hamiltonian(task, network, geodesics) -> None:
    trained = measure_model(network, task.train, task.test).values["stable_hamiltonian_rank_1e-4"]
    for geodesic in geodesics:
        middle = -2.0 * np.median(geodesic.hamiltonian[4:9]) / DEPTH
        # the layers of a network at L = 12 vary by as much; the sign and the size are what is compared
        assert middle == pytest.approx(trained, rel=0.35)
