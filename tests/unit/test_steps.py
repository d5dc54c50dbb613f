"""Step-size rules against their formulas, and the adaptive one against its fixed point."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakybench
from leakybench.baselines import catalogue
from leakybench.baselines.leaky_resnet import LeakyResNet
from leakybench.baselines.networks import steps, training
from leakybench.baselines.networks.descent import AdamSettings
from leakybench.baselines.networks.recipes import paper_recipe
from leakybench.baselines.sklearn_estimator import LeakyResNetRegressor
from leakybench.errors import UsageError


@settings(max_examples=50, deadline=None)
@given(depth=st.integers(1, 60), amount=st.floats(0.0, 0.99))
def test_rules_are_positive_and_sum_to_one(depth, amount):
    for rho in (steps.uniform(depth), steps.irregular(depth, amount)):
        assert rho.shape == (depth,)
        assert (rho > 0).all()
        assert rho.sum() == pytest.approx(1.0, abs=1e-12)  # depth roundings of 1e-16


def test_irregular_follows_the_papers_formula():
    depth, amount = 8, 0.6
    layer = np.arange(1, depth + 1)
    rho = 1 / depth + amount / depth * (0.25 - np.abs(layer / depth - 0.5))
    np.testing.assert_allclose(steps.irregular(depth, amount), rho / rho.sum(), rtol=1e-12)
    ends, middle = steps.irregular(depth)[[0, -1]], steps.irregular(depth)[depth // 2 - 1]
    assert ends.max() < middle  # smaller steps, so more layers, near both ends


def test_positions_run_from_zero_to_one():
    places = steps.positions(steps.irregular(7))
    assert places[0] == 0.0
    assert places[-1] == pytest.approx(1.0)
    assert (np.diff(places) > 0).all()


def test_adaptive_steps_reach_equal_relative_distances():
    # a path whose speed depends on the place alone: the fixed point spends depth where the path is fast
    adaptive = steps.AdaptiveSteps(steps.uniform(30), reach=50.0)

    def distance(p):
        return np.cumsum(np.concatenate([[0.0], 1.0 + 4.0 * np.exp(-12.0 * p)]))[-1]

    def travelled(p):  # integral of the speed 1 + 4 exp(-12 p)
        return p + (1.0 - np.exp(-12.0 * p)) / 3.0

    for evaluation in range(60):
        places = steps.positions(adaptive.step_sizes)
        adaptive.update(np.diff(travelled(places)), np.ones(30), evaluation)
    moved = np.diff(travelled(steps.positions(adaptive.step_sizes)))
    assert moved.max() / moved.min() < 1.01  # the tolerance of the freeze criterion
    assert adaptive.frozen_at is not None
    assert adaptive.step_sizes[0] < adaptive.step_sizes[-1]


def test_a_layer_that_does_not_move_takes_no_more_than_its_reach():
    adaptive = steps.AdaptiveSteps(steps.uniform(10))
    moved = np.ones(10)
    moved[4] = 0.0
    for evaluation in range(40):
        adaptive.update(moved * adaptive.step_sizes, np.ones(10), evaluation)
    # the bound is applied before the last normalisation, which may take it a little further
    assert adaptive.step_sizes.max() <= 1.6 * adaptive.reach / 10
    assert (adaptive.step_sizes > 0).all()
    assert adaptive.step_sizes.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("moved", [np.zeros(5), np.full(5, np.nan), np.full(5, np.inf)])
def test_a_path_that_stands_still_or_is_not_finite_changes_nothing(moved):
    adaptive = steps.AdaptiveSteps(steps.uniform(5))
    assert not adaptive.update(moved, np.ones(5), 0)
    np.testing.assert_array_equal(adaptive.step_sizes, steps.uniform(5))


def test_frozen_steps_stay():
    adaptive = steps.AdaptiveSteps(steps.uniform(5))
    adaptive.freeze(7)
    assert not adaptive.update(np.arange(1.0, 6.0), np.ones(5), 8)
    assert adaptive.frozen_at == 7


def test_bad_rules_are_named():
    with pytest.raises(
        UsageError, match=r"steps must be one of uniform, irregular, adaptive, early, settled, got 'fast'"
    ):
        steps.initial("fast", 3)
    with pytest.raises(
        UsageError, match=r"steps must be one of uniform, irregular, adaptive, early, settled, got \['uniform'\]"
    ):
        leakybench.make_baseline("LeakyResNet-v0", steps=["uniform"])
    with pytest.raises(UsageError, match=r"\[0, 1\), got 1.0"):
        steps.irregular(3, 1.0)


def test_the_catalogue_lists_the_rules():
    assert tuple(steps.RULES) == catalogue.STEP_RULES


def falling(depth):
    rho = np.arange(depth, 0, -1.0)
    return rho / rho.sum()


class Mine(LeakyResNet):
    step_rules = {**LeakyResNet.step_rules, "falling": falling, "broken": np.ones}  # noqa: RUF012


def test_a_subclass_trains_with_a_rule_of_its_own():
    baseline = Mine(steps="falling", depth=4, width=8, effective_depth=1.0)
    train = leakybench.make("LowRank-k2-v0", seed=0, d=4, n_train=30, n_test=10).train
    model = baseline.fit(train, seed=0, preset="smoke")
    np.testing.assert_array_equal(model.report.values["step_sizes"], [0.4, 0.3, 0.2, 0.1])
    with pytest.raises(UsageError, match="got 'falling'"):
        LeakyResNet(steps="falling")


def test_a_rule_that_does_not_divide_the_unit_interval_is_refused():
    with pytest.raises(
        UsageError, match=r"the step rule broken must give 3 positive step-sizes of sum 1, got \[1.0, 1"
    ):
        Mine(steps="broken", depth=3, effective_depth=0.5)


def test_adaptive_runs_of_a_batch_have_step_sizes_of_their_own():
    tasks = [leakybench.make("LowRank-k2-v0", seed=seed, d=8, n_train=60, n_test=10) for seed in range(3)]
    for family in ("LeakyResNet-v0", "FullyConnected-v0"):
        baseline = leakybench.make_baseline(family, steps="adaptive", width=16, depth=6, **LEAK.get(family, {}))
        batch = baseline.fit_many([task.train for task in tasks], seeds=range(3), preset="smoke")
        assert len({model.coefficients.step_sizes for model in batch}) == 3
        for seed, (task, together) in enumerate(zip(tasks, batch, strict=True)):
            alone = baseline.fit(task.train, seed=seed, preset="smoke")
            # a batch counts the evaluations of the run that needs most
            paths = [[rho for _, rho in model.report.values["step_trajectory"]] for model in (together, alone)]
            assert paths[0] == paths[1]
            # the same products of the same numbers, one run at a time where sums could be ordered otherwise
            np.testing.assert_allclose(together.weights, alone.weights, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["LeakyResNet-v0", "FullyConnected-v0"])
def test_settled_steps_train_as_a_fixed_rule_of_the_same_step_sizes(family):
    tasks = [leakybench.make("LowRank-k2-v0", seed=seed, d=8, n_train=60, n_test=10) for seed in range(2)]
    size = {"width": 16, "depth": 6, **LEAK.get(family, {})}
    batch = leakybench.make_baseline(family, steps="settled", **size).fit_many(
        [task.train for task in tasks], seeds=range(2), preset="smoke"
    )
    again = leakybench.make_baseline(family, steps="settled", **size).fit(tasks[1].train, seed=1, preset="smoke")
    assert again.coefficients.step_sizes == batch[1].coefficients.step_sizes != batch[0].coefficients.step_sizes
    rho = np.array(again.coefficients.step_sizes)
    assert rho.sum() == pytest.approx(1.0, abs=1e-12)
    assert rho.max() / rho.min() > 1.05  # it has moved away from uniform steps
    parent = type(leakybench.make_baseline(family))
    # of the parent's name, from which the seeds of the initial weights and of the probes are made
    fixed = type(parent.__name__, (parent,), {"step_rules": {"fixed": lambda depth: rho}})
    expected = fixed(steps="fixed", **size).fit(tasks[1].train, seed=1, preset="smoke")
    np.testing.assert_array_equal(again.weights, expected.weights)
    values, plain = again.report.values, expected.report.values
    assert values["settling_evaluations"] >= 24  # the iterations of smoke's continuation
    assert values["evaluations"] == plain["evaluations"] + values["settling_evaluations"]
    assert values["step_trajectory"][-1][1] == pytest.approx(rho.tolist(), abs=1e-6)
    assert values["settling_seconds"] > 0
    assert "settling_seconds" not in plain


def test_settled_steps_of_the_papers_protocol_come_from_adam(monkeypatch):
    short = replace(paper_recipe(3.0), adam=AdamSettings(steps=200, rate=3e-4, final=1.0, warmup=1), sgd_steps=5)
    monkeypatch.setattr(training, "recipe_for", lambda preset, scale: short)
    train = leakybench.make("LowRank-k2-v0", seed=0, d=4, n_train=30, n_test=10).train
    baseline = LeakyResNet(steps="settled", depth=5, width=8, effective_depth=3.0)
    values = baseline.fit(train, seed=0, preset="paper").report.values
    assert (values["settling_evaluations"], values["evaluations"]) == (40, 245)
    assert len(set(values["step_sizes"])) == 5


def test_early_steps_move_in_the_continuation_alone():
    train = leakybench.make("LowRank-k2-v0", seed=0, d=8, n_train=60, n_test=10).train
    size = {"width": 16, "depth": 6, "effective_depth": 3.0}
    early, adaptive = (
        leakybench.make_baseline("LeakyResNet-v0", steps=steps, **size)
        .fit(train, seed=0, preset="standard")
        .report.values
        for steps in ("early", "adaptive")
    )
    # standard raises the penalty in four stages: the steps move after each, and then never again
    assert len(early["step_trajectory"]) == 4 < len(adaptive["step_trajectory"])
    assert early["step_trajectory"] == adaptive["step_trajectory"][:4]
    assert early["step_sizes"] == pytest.approx(early["step_trajectory"][-1][1], abs=1e-6)


def test_early_steps_of_the_papers_protocol_stay_after_a_fifth_of_adams_steps(monkeypatch):
    short = replace(paper_recipe(3.0), adam=AdamSettings(steps=200, rate=3e-4, final=1.0, warmup=1), sgd_steps=5)
    monkeypatch.setattr(training, "recipe_for", lambda preset, scale: short)
    train = leakybench.make("LowRank-k2-v0", seed=0, d=4, n_train=30, n_test=10).train
    baseline = LeakyResNet(steps="early", depth=5, width=8, effective_depth=3.0)
    moves = [
        evaluation for evaluation, _ in baseline.fit(train, seed=0, preset="paper").report.values["step_trajectory"]
    ]
    assert moves
    assert max(moves) < 40


LEAK = {"LeakyResNet-v0": {"effective_depth": 3.0}}


def test_the_estimator_refuses_settled_steps():
    with pytest.raises(
        UsageError, match="steps must be uniform, irregular or adaptive for the estimator, got 'settled'"
    ):
        LeakyResNetRegressor(steps="settled").fit(np.eye(4), np.arange(4.0))
