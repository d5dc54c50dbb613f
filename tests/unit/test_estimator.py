"""The scikit-learn estimator: its interface, its weights, and that it works where scikit-learn expects one."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

import leakybench
from leakybench.baselines.networks.objective import Objective
from leakybench.baselines.networks.recipes import RECIPES
from leakybench.baselines.networks.settings import NetworkSettings
from leakybench.baselines.networks.steps import uniform
from leakybench.baselines.networks.training import build_problem
from leakybench.baselines.networks.weighted import WeightedObjective
from leakybench.baselines.sklearn_estimator import LeakyResNetRegressor
from leakybench.errors import UsageError

TINY = {"depth": 4, "effective_depth": 2.0, "width": 16, "max_iter": 20, "random_state": 0}


def data(n=80, outputs=2):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 3))
    y = np.column_stack([np.tanh(x[:, 0]), np.abs(x[:, 1]), x[:, 0] * x[:, 1]])[:, :outputs]
    return 5.0 + 3.0 * x, 100.0 + 20.0 * y


# no check is declared as expected to fail
@pytest.mark.slow
@parametrize_with_checks(
    [LeakyResNetRegressor(depth=6, effective_depth=3.0, width=32, max_iter=30), LeakyResNetRegressor()]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_it_learns_several_targets_in_their_own_units():
    x, y = data(200)
    model = LeakyResNetRegressor(depth=6, effective_depth=3.0, width=32, max_iter=60, random_state=0).fit(x, y)
    assert model.predict(x).shape == y.shape
    assert model.score(x, y) > 0.8
    assert model.fit(x, y[:, 0]).predict(x).shape == (200,)
    assert model.bottleneck_rank(x) == 1


def test_a_weight_counts_as_a_repetition_and_order_does_not_matter():
    x, y = data(30)
    weight = np.random.default_rng(1).integers(0, 4, size=30)
    repeated = LeakyResNetRegressor(**TINY).fit(x.repeat(weight, axis=0), y.repeat(weight, axis=0))
    shuffled = np.random.default_rng(2).permutation(30)
    weighted = LeakyResNetRegressor(**TINY).fit(x[shuffled], y[shuffled], sample_weight=weight[shuffled])
    np.testing.assert_array_equal(repeated.predict(x), weighted.predict(x))
    plain = LeakyResNetRegressor(**TINY).fit(x, y)
    assert np.abs(plain.predict(x) - weighted.predict(x)).max() > 1e-3
    np.testing.assert_array_equal(
        plain.predict(x), LeakyResNetRegressor(**TINY).fit(x, y, sample_weight=[0.3] * 30).predict(x)
    )


@pytest.mark.parametrize("learn", [False, True])
def test_the_weighted_gradient_is_that_of_the_weighted_cost(learn):
    x, y = data(20)
    rho = tuple(uniform(3).tolist())
    settings = NetworkSettings(width=6, effective_depth=1.5, step_sizes=rho, penalty=0.01, learn_ends=learn)
    split = leakybench.Split(x.astype(np.float32), y.astype(np.float32))
    problem, start = build_problem(settings, RECIPES["smoke"], [split], [0], "test")
    weights = torch.linspace(0.2, 1.8, 20, dtype=torch.float64)
    objective = WeightedObjective(problem.to(torch.float64), settings.coefficients, weights)
    parameters = objective.initial(start.double())
    gradient = torch.empty_like(parameters)
    objective.gradient(parameters, gradient)
    direction = torch.randn(parameters.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def value(at):
        return float(objective.predict(at).value)

    step = 1e-6
    slope = (value(parameters + step * direction) - value(parameters - step * direction)) / (2 * step)
    # float64: round-off over the step leaves 1e-9 of a cost of order 1e4
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-5)
    even = WeightedObjective(problem, settings.coefficients, torch.ones(20))
    same = Objective(problem, settings.coefficients)
    outs = [torch.empty_like(start.flatten(1)) if not learn else torch.empty(1, same.size) for _ in range(2)]
    costs = [each.gradient(each.initial(start), out).cost for each, out in zip((even, same), outs, strict=True)]
    torch.testing.assert_close(outs[0], outs[1])
    torch.testing.assert_close(*costs)


def test_early_stopping_keeps_the_best_weights():
    x, y = data(60)
    noisy = y + 40.0 * np.random.default_rng(3).standard_normal(y.shape)
    # every decrease counts as progress, so that training stops above the smallest error
    settings = {**TINY, "width": 32, "penalty": 1e-6, "max_iter": 400, "tol": 0.0}
    stopped = LeakyResNetRegressor(**settings, early_stopping=True, n_iter_no_change=2).fit(x, noisy)
    assert stopped.n_iter_ < 400
    assert len(stopped.validation_errors_) == stopped.n_iter_ // 10
    assert stopped.validation_errors_[-1] > min(stopped.validation_errors_)


@pytest.mark.slow
def test_the_tools_of_scikit_learn_take_it():
    x, y = data()
    pipeline = make_pipeline(PolynomialFeatures(2), LeakyResNetRegressor(**TINY))
    scores = cross_val_score(pipeline, x, y, cv=2)
    assert scores.shape == (2,)
    grid = {"leakyresnetregressor__effective_depth": [1.0, 2.0]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    assert search.best_params_["leakyresnetregressor__effective_depth"] in (1.0, 2.0)
    fitted = LeakyResNetRegressor(**TINY).fit(x, y)
    again = joblib.Parallel(n_jobs=2, backend="threading")(
        joblib.delayed(lambda seed: clone(fitted).set_params(random_state=seed).fit(x, y).predict(x))(s) for s in (0, 1)
    )
    np.testing.assert_array_equal(again[0], fitted.predict(x))
    assert np.abs(again[1] - again[0]).max() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 2, "effective_depth": 3.0}, "depth must be greater than the effective depth"),
        ({"ends": "loose"}, "ends must be auto, fixed or learned, got 'loose'"),
        ({"max_iter": 0}, "max_iter must be an integer, at least 1, got 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1, got 1.0"),
        ({"width": 2, "ends": "fixed"}, "width must be at least 3 for 3 inputs and 2 outputs"),
    ],
)
def test_bad_parameters_are_one_line(settings, message):
    x, y = data()
    with pytest.raises(ValueError, match=message) as caught:
        LeakyResNetRegressor(**settings).fit(x, y)
    assert "\n" not in str(caught.value)


def test_learned_ends_serve_more_features_than_the_width():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 24)), rng.standard_normal((40, 1))
    model = LeakyResNetRegressor(**TINY).fit(x, y)
    assert tuple(model.network_.embedding.shape) == (16, 24)
    assert model.predict(x).shape == (40, 1)


@pytest.mark.parametrize("columns", [1, 3])
def test_constant_targets_have_no_rank(columns):
    x, _ = data()
    model = LeakyResNetRegressor(**TINY).fit(x, np.full((len(x), columns), 2.0))
    assert model.bottleneck_rank(x) is None
    # a constant column is only centred, and 20 iterations take a network of unit size down to a tenth of it
    np.testing.assert_allclose(model.predict(x).reshape(len(x), -1), 2.0, atol=0.1)


@pytest.mark.parametrize("factor", [2.0**600, 2.0**-600])
def test_a_fit_does_not_depend_on_the_unit_of_the_targets(factor):
    x, y = data()
    model, scaled = (LeakyResNetRegressor(**TINY).fit(x, targets) for targets in (y, y * factor))
    # powers of 2 change no digit
    np.testing.assert_array_equal(scaled.predict(x), model.predict(x) * factor)
    assert scaled.bottleneck_rank(x) == model.bottleneck_rank(x)


def test_targets_at_the_end_of_the_numbers_are_one_line():
    x, y = data()
    message = "the values of y are too large to be standardised"
    # scikit-learn's own check adds such values up
    with np.errstate(all="ignore"), pytest.raises(UsageError, match=message):
        LeakyResNetRegressor(**TINY).fit(x, np.where(y > y.mean(), 1.7e308, -1.7e308))


@pytest.mark.slow
def test_a_grid_of_numpy_numbers_is_searched_like_one_of_pythons():
    x = np.random.default_rng(0).standard_normal((40, 3))
    grids = [
        {"depth": np.arange(4, 6), "effective_depth": np.array([1.0, 2.0], dtype=np.float32)},
        {"depth": [4, 5], "effective_depth": [1.0, 2.0]},
    ]
    model = LeakyResNetRegressor(max_iter=2, width=8, random_state=0)
    scores = [GridSearchCV(model, grid, cv=2).fit(x, x.sum(axis=1)).cv_results_["mean_test_score"] for grid in grids]
    np.testing.assert_array_equal(*scores)
