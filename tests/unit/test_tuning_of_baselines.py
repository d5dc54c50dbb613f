"""Built-in baselines take what a search proposes: a setting that always fails would leave the default the best."""

from __future__ import annotations

import numpy as np
import pytest

import leakybench
from leakybench.registry import baselines
from leakybench.tuning.tuned import has_search_space

QUICK = (
    "Ridge-v0",
    "KernelRidge-v0",
    "ReducedRank-v0",
    "TargetComponents-v0",
    "RecursiveFeatureMachine-v0",
)
LONGER = (
    "SlicedInverseRegression-v0",
    "DirectionalRegression-v0",
    "GradientBoosting-v0",
    "LeakyResNet-v0",
    "LeakyResNet-Lt15-v0",
    "ResNet-v0",
    "FullyConnected-v0",
    "NeuralODE-v0",
)
ALIKE = ("LeakyResNet-Lt1-v0", "LeakyResNet-Lt3-v0")
"""Of the class of LeakyResNet-Lt15, whose effective depth is the hardest to meet."""


def tuned_record(id: str, trials: int):
    task = leakybench.make("LowRank-k3-v0", seed=1, n_train=40, n_test=40, d=4)  # trees take a model for each target
    return leakybench.evaluate(leakybench.make_baseline(id, tune=trials), task, seed=1, preset="smoke")


def no_trial_fails(record) -> None:
    tuning = record.training["tuning"]
    assert [trial["message"] for trial in tuning["trials"] if trial["state"] == "failed"] == []
    searched = [trial for trial in tuning["trials"] if trial["settings"]]
    assert len(searched) == len(tuning["trials"]) - 1 > 0
    assert all(np.isfinite(trial["error"]) for trial in tuning["trials"])
    # the best of all complete trials, of which the default is one
    complete = [trial["error"] for trial in tuning["trials"] if trial["state"] == "complete"]
    assert tuning["held_out"] == min(complete) <= tuning["held_out_default"]
    assert record.status == "ok"


@pytest.mark.parametrize("id", QUICK)
def test_a_baseline_that_fits_in_no_time_takes_what_a_search_proposes(id):
    no_trial_fails(tuned_record(id, 4))


@pytest.mark.slow
@pytest.mark.parametrize("id", LONGER)
def test_the_others_take_what_a_search_proposes(id):
    no_trial_fails(tuned_record(id, 3))


def test_no_search_space_is_left_out_here():
    declared = {spec.id for spec in baselines if spec.plugin == "leakybench" and has_search_space(spec)}
    assert declared == {*QUICK, *LONGER, *ALIKE}


def test_one_penalty_of_ridge_regression_is_its_closed_form():
    task = leakybench.make("LowRank-k3-v0", seed=0, n_train=40, n_test=40)
    model = leakybench.make_baseline("Ridge-v0", penalty=3.0).fit(task.train, seed=0, preset="smoke")
    inputs, targets = (array.astype(np.float64) for array in (task.train.inputs, task.train.targets))
    centred = inputs - inputs.mean(axis=0)
    slope = np.linalg.solve(centred.T @ centred + 3.0 * np.eye(inputs.shape[1]), centred.T @ targets)
    expected = (task.test.inputs - inputs.mean(axis=0)) @ slope + targets.mean(axis=0)
    # float64 with a condition number below 1e3: 1e-10 is a thousand times its round-off
    np.testing.assert_allclose(model.predict(task.test.inputs), expected, atol=1e-10)
