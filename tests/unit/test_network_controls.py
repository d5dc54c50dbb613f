"""Controls of the networks: initial weights and their scale, and starts from a larger effective depth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import leakybench
from leakybench.baselines.networks import warm_start
from leakybench.baselines.networks.objective import Objective
from leakybench.baselines.networks.recipes import recipe_for
from leakybench.baselines.networks.settings import penalty_rule
from leakybench.baselines.networks.training import build_problem
from leakybench.cli import main
from leakybench.errors import UsageError
from tests.helpers.cli import one_line_error

SMALL = {"depth": 4, "width": 12}
TASK = {"d": 6, "n_train": 40, "n_test": 20}


def make_task(seed=0):
    return leakybench.make("LowRank-k2-v0", seed=seed, **TASK)


def build(name, width=200, **settings):
    network = leakybench.make_baseline(name, depth=6, width=width, **settings).network
    return build_problem(network, recipe_for("standard", network.coefficients.scale), [make_task().train], [3], "test")


def weights_of(name, **settings):
    return build(name, **settings)[1].double()


@pytest.mark.parametrize(
    ("name", "settings", "skip"),
    [("ResNet-v0", {}, 1.0), ("LeakyResNet-v0", {"effective_depth": 3.0}, 0.5), ("FullyConnected-v0", {}, 0.0)],
)
def test_gaussian_weights_keep_the_norm_times_the_gain(name, settings, skip):
    weights = weights_of(name, initial="gaussian", gain=3.0, **settings)
    # branch b = 1 - c for a leaky network of Lt >= 1 and for a fully-connected one; He's own size without a leak
    size = 3.0 * math.sqrt(2.0 / 200) * math.sqrt(max(1.0, (1.0 - skip**2) / (1.0 - skip) ** 2 if skip < 1 else 0.0))
    # 240,000 draws: a relative standard error of 1/sqrt(480,000) = 0.0014, of which five are allowed
    assert float(weights[..., :-1].std()) == pytest.approx(size, rel=0.0072)
    assert not weights[..., -1].any()


@pytest.mark.parametrize("name", ["ResNet-v0", "LeakyResNet-v0", "FullyConnected-v0"])
def test_the_gain_of_looks_linear_weights_multiplies_their_noise_alone(name):
    settings = {"effective_depth": 3.0} if name == "LeakyResNet-v0" else {}
    one, three = (weights_of(name, initial="looks-linear", gain=gain, **settings) for gain in (1.0, 3.0))
    noise = (three - one) / 2.0
    # standard error as above
    assert float(noise[..., :-1].std()) == pytest.approx(0.2 * math.sqrt(2.0 / 200), rel=0.0072)
    half = torch.eye(100, dtype=torch.float64)
    isometry = torch.cat([torch.cat([half, -half], 1), torch.cat([-half, half], 1)])
    share = 0.0 if name == "ResNet-v0" else 1.0
    # the weights are float32: rounding of numbers near 1
    difference = (one - noise)[0, :, :, :-1] - share * isometry
    assert float(difference.abs().max()) < 1e-6


def test_gaussian_weights_have_ends_without_a_mirror():
    kinds = ("looks-linear", "gaussian")
    problems = [build("LeakyResNet-v0", effective_depth=3.0, initial=kind)[0] for kind in kinds]
    mirrored, plain = (problem.embedding[0] for problem in problems)
    assert torch.equal(mirrored[:100], -mirrored[100:])
    assert not torch.allclose(plain[:100], -plain[100:], atol=0.1)
    # orthonormal columns in float32
    torch.testing.assert_close(plain.mT @ plain, torch.eye(6), atol=1e-6, rtol=0)


def test_the_defaults_are_looks_linear_weights_of_gain_1_to_the_bit():
    train = make_task().train
    default, stated, smaller = (
        leakybench.make_baseline("ResNet-v0", **SMALL, **settings).fit(train, seed=1, preset="smoke")
        for settings in ({}, {"initial": "looks-linear", "gain": 1.0}, {"gain": 0.5})
    )
    assert torch.equal(default.weights, stated.weights)
    assert not torch.equal(default.weights, smaller.weights)


@given(start=st.floats(0.5, 60.0), share=st.floats(0.0, 0.99))
def test_stages_fall_from_the_start_to_the_end_in_equal_ratios(start, share):
    end = start * share
    depths = warm_start.stages(start, end)
    assert (depths[0], depths[-1]) == (start, end)
    ratios = (1.0 + np.array(depths[:-1])) / (1.0 + np.array(depths[1:]))
    # rounding of the logarithms
    assert (ratios > 1.0 - 1e-9).all()
    assert (ratios <= warm_start.RATIO + 1e-6).all()
    assert np.ptp(ratios) < 1e-6


def random_objective(width, **settings):
    network = leakybench.make_baseline("LeakyResNet-v0", depth=20, width=width, **settings).network
    problem, weights = build_problem(network, recipe_for("standard", 3.0), [make_task().train], [0], "test")
    objective = Objective(problem.to(torch.float64), network.coefficients)
    return network, objective, objective.initial(weights.double())


@pytest.mark.parametrize("ends", ["fixed", "learned"])
def test_weights_carried_to_the_same_effective_depth_stay(ends):
    network, objective, parameters = random_objective(16, effective_depth=15.0, ends=ends)
    carried = warm_start.carried(objective, parameters, [network.coefficients])
    # the same path in float64
    torch.testing.assert_close(carried, parameters, atol=1e-9, rtol=0)


@pytest.mark.parametrize("target", [7.0, 0.0])
def test_carried_weights_keep_the_function_where_the_width_allows_it(target, monkeypatch):
    monkeypatch.setattr(warm_start, "RIDGE", 1e-12)
    network, objective, parameters = random_objective(64, effective_depth=15.0)
    objective.predict(parameters)
    before = objective.outputs.clone()
    other = network.at(target).coefficients
    carried = warm_start.carried(objective, parameters, [other])
    objective.set_coefficients([other])
    objective.predict(parameters)
    unchanged = (objective.outputs - before).abs().max()
    objective.predict(carried)
    # 40 samples, 65 columns of S: the path can be met, up to the ridge of 1e-12 (its square root is 1e-6)
    assert float((objective.outputs - before).abs().max()) < 1e-4
    assert float(unchanged) > 0.1  # the old weights themselves do not keep it


@pytest.mark.parametrize(
    ("name", "own", "target"), [("ResNet-v0", {}, 0.0), ("LeakyResNet-v0", {"effective_depth": 1}, 1.0)]
)
def test_a_start_from_a_larger_effective_depth_ends_at_the_networks_own(name, own, target):
    baseline = leakybench.make_baseline(name, **SMALL, **own, start_depth=3.0)
    trains = [make_task(seed).train for seed in (0, 1)]
    together = baseline.fit_many(trains, seeds=[0, 1], preset="smoke")[1]
    values = together.report.values
    assert [depth for depth, _ in values["start_path"]] == warm_start.stages(3.0, target)[:-1]
    assert together.coefficients.effective_depth == target
    assert (together.penalty, values["lambda"]) == (penalty_rule(target), penalty_rule(target))
    # 48 iterations at the start and 24 at the end: all stages count
    assert values["evaluations"] > 72
    alone = baseline.fit(trains[1], seed=1, preset="smoke")
    # the same products of the same numbers, one run at a time where sums could be ordered otherwise
    np.testing.assert_allclose(together.weights, alone.weights, rtol=0, atol=1e-5)


def test_the_penalty_of_a_stage_is_in_the_same_ratio_to_the_rules():
    network = leakybench.make_baseline("LeakyResNet-v0", effective_depth=3.0, penalty=2.0 * penalty_rule(3.0)).network
    assert network.at(12.0).penalty == pytest.approx(2.0 * penalty_rule(12.0))
    assert replace(network.at(12.0).at(3.0), penalty=network.penalty) == network


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial": "he"}, "initial must be none, or one of looks-linear, gaussian, got 'he'"),
        ({"initial": 1}, "initial must be none, or one of looks-linear, gaussian, got 1"),
        ({"gain": 0}, "gain must be a finite number above 0, got 0"),
        ({"gain": "large"}, "gain must be a finite number above 0, got 'large'"),
        ({"start_depth": 7.0}, "start_depth must be none, or a finite number above the effective depth 7.0, got 7.0"),
        ({"start_depth": True}, "start_depth must be none, or a finite number above the effective depth .*, got True"),
        (
            {"start_depth": 20.0},
            r"depth must be greater than start_depth with uniform steps .*, got depth 20 and .* 20.0",
        ),
    ],
)
def test_bad_values_are_named(settings, message):
    with pytest.raises(UsageError, match=message):
        leakybench.make_baseline("LeakyResNet-v0", **settings)


def test_a_start_needs_a_preset_with_stages():
    baseline = leakybench.make_baseline("ResNet-v0", **SMALL, start_depth=3.0)
    with pytest.raises(UsageError, match="start_depth needs the preset smoke, standard or converged, got paper"):
        baseline.fit(make_task().train, seed=0, preset="paper")


@pytest.mark.parametrize("setting", ["gain=-1", "initial=he", "start_depth=1"])
def test_on_the_command_line_a_bad_value_is_one_line(setting, tmp_path, capsys):
    grid = ["run", "--task", "LowRank-k2-v0", "--baseline", "LeakyResNet-v0", "--results", str(tmp_path)]
    assert main([*grid, "--set", setting]) == 2
    assert f"{setting.split('=')[0]} must be" in one_line_error(capsys.readouterr().err)
