"""The rivals that are not layered networks: feature machine, boosted trees, neural ODE, any scikit-learn regressor."""

from __future__ import annotations

import time

import numpy as np
import pytest

import leakybench
from leakybench.analysis.scores import score_frame
from leakybench.analysis.summary import summarise
from leakybench.baselines import feature_machine, neural_ode
from leakybench.report.table import render

SMALL = {"d": 8, "n_train": 150, "n_test": 60}


@pytest.mark.parametrize("id", ["RecursiveFeatureMachine-v0", "GradientBoosting-v0", "NeuralODE-v0", "Sklearn-v0"])
def test_it_beats_the_mean_on_a_small_task(id):
    if id.startswith("NeuralODE"):
        pytest.importorskip("torchdiffeq")
    overrides = {"width": 32, "knots": 3} if id.startswith("NeuralODE") else {}
    record = leakybench.evaluate(
        leakybench.make_baseline(id, **overrides), leakybench.make("MultiIndex-k3-v0", **SMALL), preset="smoke"
    )
    assert record.status == "ok"
    assert record.test_error < 0.95


def test_the_gradient_outer_product_is_that_of_the_function():
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((30, 4)), rng.standard_normal((30, 3))
    root = feature_machine.root_of(np.cov(rng.standard_normal((4, 50))))
    rows = inputs @ root
    apart = feature_machine.distances(rows, rows)
    kernel = np.exp(-apart / 2.0)
    dual = np.linalg.solve(kernel + 0.1 * np.eye(30), targets)
    product = feature_machine.gradient_outer_product(inputs, dual, root, kernel, apart, 2.0)

    def smooth(i, x):
        # the kernel's kink at its own centre counts as 0: leave that centre out
        others = np.arange(30) != i
        return np.exp(-feature_machine.distances(x @ root, rows[others]) / 2.0) @ dual[others]

    step, expected = 1e-6, np.zeros((4, 4))
    for i, x in enumerate(inputs):
        moved = [(smooth(i, (x + step * e)[None]) - smooth(i, (x - step * e)[None]))[0] / (2 * step) for e in np.eye(4)]
        expected += np.array(moved) @ np.array(moved).T / 30
    # central differences of step 1e-6 in float64 leave 1e-9
    np.testing.assert_allclose(product, expected, rtol=1e-6, atol=1e-9)


def test_the_feature_machine_finds_the_directions_of_a_multi_index_model():
    task = leakybench.make("Linear-k3-v0", d=8, n_train=300, n_test=100)
    model = leakybench.make_baseline("RecursiveFeatureMachine-v0").fit(task.train, seed=0, preset="smoke")
    assert model.report.values["gradient_rank"] == 3


def test_the_feature_machine_equals_the_authors_package_at_its_first_step():
    rfm = pytest.importorskip("xrfm.rfm_src").RFM
    import torch

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 5)).astype(np.float32), rng.standard_normal((60, 2)).astype(np.float32)
    theirs = rfm(kernel="laplace", iters=0, bandwidth=3.0, device="cpu", verbose=False)
    pair = torch.from_numpy(x), torch.from_numpy(y)
    theirs.fit(pair, pair, iters=0, reg=1e-2, verbose=False)
    apart = feature_machine.distances(x.astype(float), x.astype(float))
    ours = np.exp(-apart / 3.0) @ np.linalg.solve(np.exp(-apart / 3.0) + 1e-2 * np.eye(60), y.astype(float))
    # their float32 solve of a system of condition 1e3
    np.testing.assert_allclose(theirs.predict(pair[0]).numpy(), ours, atol=2e-3)


@pytest.mark.parametrize(
    ("regressor", "differentiable"),
    [
        ("sklearn.ensemble:ExtraTreesRegressor", False),
        ("sklearn.ensemble:HistGradientBoostingRegressor", False),
        ("sklearn.neighbors:KNeighborsRegressor", False),
        ("sklearn.neural_network:MLPRegressor", True),
        ("sklearn.linear_model:Ridge", True),
        ("sklearn.gaussian_process:GaussianProcessRegressor", True),
        # equal everywhere, which the measures report as a constant map
        ("sklearn.dummy:DummyRegressor", True),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_regressor_that_is_constant_by_pieces_is_found_out(regressor, differentiable):
    task = leakybench.make("MultiIndex-k3-v0", d=8, n_train=300, n_test=60)
    model = leakybench.make_baseline("Sklearn-v0", regressor=regressor).fit(task.train, seed=0, preset="smoke")
    assert getattr(model, "differentiable", True) is differentiable


def test_boosted_trees_have_no_rank_and_a_dash_in_the_tables():
    task = leakybench.make("Linear-k3-v0", **SMALL)
    record = leakybench.evaluate(leakybench.make_baseline("GradientBoosting-v0"), task, preset="smoke")
    assert record.status == "ok"
    assert record.bottleneck_rank is None
    assert record.rank_recovered is None
    for name in ("function_jacobian", "test_function_jacobian"):
        assert record.rank_evidence["estimators"][name] == {"rank": None, "reason": "the model has no derivative"}
    statistics = summarise(score_frame([record]), "cell")[0].statistics
    assert statistics.rank is None
    assert statistics.recovered is None
    head, _, row = render(score_frame([record]), "github").splitlines()[:3]
    shown = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (head, row)), strict=True))
    assert (shown["rank (mode (range))"], shown["true (rank)"]) == ("-", "3")
    assert not any(name.startswith("rank missed") for name in shown)  # which no row has


def test_any_regressor_is_named_by_its_entry_point():
    task = leakybench.make("Linear-k3-v0", **SMALL)
    ridge = leakybench.make_baseline("Sklearn-v0", regressor="sklearn.linear_model:Ridge", settings={"alpha": 0.1})
    record = leakybench.evaluate(ridge, task, preset="smoke")
    assert record.test_error < 1e-3
    assert record.run.baseline_overrides["regressor"] == "sklearn.linear_model:Ridge"
    # one that takes a single target is fitted to each
    single = leakybench.make_baseline("Sklearn-v0", regressor="sklearn.linear_model:BayesianRidge")
    assert leakybench.evaluate(single, task, preset="smoke").test_error < 1e-3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"regressor": "Ridge"}, "regressor must read 'package.module:Class', got 'Ridge'"),
        ({"settings": [1]}, r"settings must map names to values, got \[1\]"),
        ({"regressor": "sklearn.linear_model:Rigde"}, "regressor sklearn.linear_model:Rigde cannot be loaded"),
        ({"regressor": "sklearn.linear_model:Ridge", "settings": {"beta": 1}}, "does not take these settings"),
        ({"regressor": "collections:OrderedDict"}, "needs fit and predict"),
    ],
)
def test_bad_regressors_are_one_line(overrides, message):
    task = leakybench.make("Linear-k3-v0", **SMALL)
    with pytest.raises(leakybench.UsageError, match=message) as caught:
        leakybench.make_baseline("Sklearn-v0", **overrides).fit(task.train, seed=0, preset="smoke")
    assert "\n" not in str(caught.value)


def test_what_is_no_regressor_is_never_called(tmp_path):
    target = tmp_path / "called"
    baseline = leakybench.make_baseline(
        "Sklearn-v0", regressor="subprocess:Popen", settings={"args": ["touch", str(target)]}
    )
    with pytest.raises(leakybench.UsageError, match="needs fit and predict"):
        baseline.fit(leakybench.make("Linear-k3-v0", **SMALL).train, seed=0, preset="smoke")
    time.sleep(0.3)  # a process that was started after all would need a moment
    assert not target.exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"effective_depth": 0}, "effective_depth must be a finite number above 0, got 0"),
        ({"knots": 1}, "knots must be an integer, at least 2, got 1"),
        ({"penalty": -1}, "penalty must be a finite number above 0, got -1"),
    ],
)
def test_bad_settings_of_the_neural_ode_are_one_line(overrides, message):
    with pytest.raises(leakybench.UsageError, match=message):
        leakybench.make_baseline("NeuralODE-v0", **overrides)


@pytest.fixture(scope="module")
def flow():
    pytest.importorskip("torchdiffeq")
    task = leakybench.make("MultiIndex-k3-v0", **SMALL)
    return task, leakybench.make_baseline("NeuralODE-v0", width=32, knots=3).fit(task.train, seed=0, preset="smoke")


def test_the_rate_is_chosen_on_held_out_training_rows(flow):
    values = flow[1].report.values
    errors = {float(rate): error for rate, error in values["held_out"].items()}
    assert sorted(errors) == sorted(neural_ode.RATES)
    assert values["rate"] == min(errors, key=errors.get)
    # 15% of 25 steps, three rates; each pass of dopri5 costs at least 2 + 6 evaluations
    assert values["evaluations_tuning"] == 3 * 4
    assert values["function_evaluations_tuning"] >= 8 * 12
    assert values["function_evaluations"] >= 8 * 25


def test_the_errors_of_the_rates_are_those_of_the_held_out_rows(flow):
    # a poison on the fifth alone: the errors of the rates see it, the fits of the trials do not
    task, model = flow
    order = leakybench.seeding.generator("NeuralODE", 0, "validation").permutation(150)
    targets = task.train.targets.copy()
    targets[order[:30]] += 7.0
    shifted = neural_ode.NeuralODE(width=32, knots=3).fit(
        leakybench.Split(task.train.inputs, targets), seed=0, preset="smoke"
    )
    assert min(shifted.report.values["held_out"].values()) > 40.0
    assert max(model.report.values["held_out"].values()) < 5.0


def test_a_rate_that_diverges_is_passed_over(monkeypatch):
    pytest.importorskip("torchdiffeq")
    monkeypatch.setattr(neural_ode, "RATES", (1e30, 1e-2))
    task = leakybench.make("MultiIndex-k3-v0", **SMALL)
    values = (
        leakybench.make_baseline("NeuralODE-v0", width=32, knots=3)
        .fit(task.train, seed=0, preset="smoke")
        .report.values
    )
    assert values["rate"] == 1e-2
    assert values["held_out"]["1e+30"] is None
