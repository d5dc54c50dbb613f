"""The paper's own protocol as a preset: 5000 epochs of Adam and 1000 of SGD from random weights [JK24 appendix B]."""

import pytest

import leakybench

SMALL = {"n_train": 150, "n_test": 80, "d": 8}


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["uniform", "adaptive"])
def test_the_protocol_runs_whole_and_ends_above_the_recipe(steps):
    task = leakybench.make("LowRank-k2-v0", seed=0, **SMALL)
    baseline = leakybench.make_baseline("LeakyResNet-v0", width=24, depth=10, effective_depth=3.0, steps=steps)
    paper = leakybench.evaluate(baseline, task, seed=0, preset="paper")
    recipe = leakybench.evaluate(baseline, task, seed=0, preset="converged")
    assert paper.status == recipe.status == "ok"
    assert paper.training["evaluations"] == 6000
    assert paper.training["stopped"] == "ran its length"
    objectives = [value for _, value, _ in paper.training["curve"]]
    assert objectives[-1] < 0.5 * objectives[0]
    # the protocol descends and learns, and stops short of what the same objective allows
    assert paper.test_error < 0.9
    assert recipe.training["objective"] < paper.training["objective"]
    assert recipe.training["criticality_residual"] < 0.2 * paper.training["criticality_residual"]
