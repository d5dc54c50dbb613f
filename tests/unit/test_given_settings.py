"""Baselines that choose by themselves: what is given is taken, and costs no comparison."""

import numpy as np
import pytest

import leakybench
from leakybench.baselines import feature_machine, reduced_rank

GIVEN = {
    "RecursiveFeatureMachine-v0": {"bandwidth": 4.0, "ridge": 0.1, "updates": 2},
    "ReducedRank-v0": {"penalty": 1.0, "rank": 2},
    "GradientBoosting-v0": {"leaves": 4, "rate": 0.1, "least": 5},
}


@pytest.mark.parametrize("id", GIVEN)
def test_given_settings_are_those_of_the_fit(id, monkeypatch):
    def refuse(*arguments, **settings):
        raise AssertionError("nothing is left to choose")

    monkeypatch.setattr(feature_machine, "_scores", refuse)
    monkeypatch.setattr(reduced_rank, "_choose", refuse)
    task = leakybench.make("Linear-k3-v0", seed=0, n_train=60, n_test=10, d=6)
    model = leakybench.make_baseline(id, **GIVEN[id]).fit(task.train, seed=0, preset="smoke")
    assert np.isfinite(model.predict(task.test.inputs)).all()
    values = model.report.values
    named = {"max_leaf_nodes": "leaves", "learning_rate": "rate", "min_samples_leaf": "least"}
    shown = {named.get(name, name): value for name, value in values.items()}
    assert {name: shown[name] for name in GIVEN[id] if name in shown and name != "bandwidth"} == {
        name: value for name, value in GIVEN[id].items() if name in shown and name != "bandwidth"
    }
    assert values.get("held_out", values.get("cross_validated")) is None


def test_a_part_that_is_given_leaves_the_rest_to_the_choice():
    task = leakybench.make("Linear-k3-v0", seed=0, n_train=60, n_test=10, d=6)
    chosen = leakybench.make_baseline("ReducedRank-v0").fit(task.train, seed=0, preset="smoke").report.values
    partly = leakybench.make_baseline("ReducedRank-v0", rank=1).fit(task.train, seed=0, preset="smoke").report.values
    assert (partly["rank"], partly["penalty"]) == (1, chosen["penalty"])
    assert partly["cross_validated"] is None
    assert chosen["cross_validated"] is not None
