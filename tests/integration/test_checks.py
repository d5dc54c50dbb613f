"""The checkers on objects that keep the contract and on some that do not, without a plugin."""

from __future__ import annotations

import json

import numpy as np
import pytest

import leakybench
from leakybench.checks.certificate import teacher_ranks
from leakybench.checks.parametrize import parametrize_with_checks
from leakybench.registry import baselines, tasks
from tests.helpers.cli import call


@pytest.mark.slow
@parametrize_with_checks(tasks=["LowRank-k3-v0"], baselines=["Mean-v0"])
def test_a_plugin_author_writes_this(check):
    check()


def test_the_jacobian_rank_is_exact_for_a_known_map():
    rng = np.random.default_rng(0)
    inner, outer = 0.2 * rng.standard_normal((9, 4)), rng.standard_normal((4, 7))
    ranks = teacher_ranks(lambda x: np.tanh(x @ inner) @ outer, rng.standard_normal((20, 9)))
    assert ranks.tolist() == [4] * 20


class Memory:
    """Fits nothing; a mutable default of a notebook."""

    def __init__(self):
        self.calls = 0

    def fit(self, train, *, seed, preset):
        self.calls += 1
        train.targets[0] += 1.0
        return self

    def predict(self, inputs):
        return np.full((len(inputs), 4), float(self.calls))


def test_an_object_of_a_notebook_is_checked_in_this_process():
    report = leakybench.check_baseline(Memory())
    assert not report.passed
    assert "the fit changes its training arrays" in report.finding("purity").why
    assert "two fits with the same seed differ" in report.finding("determinism").why
    assert report.finding("learnability").result == "fail"
    with pytest.raises(leakybench.checks.report.CheckFailedError, match="purity: the fit changes its training arrays"):
        report.raise_on_failure()


@pytest.mark.slow
def test_the_command_prints_json_and_exits_with_1_on_failure():
    done = call("check", "task", "dummy/Tiny-v0", "--json")
    report = json.loads(done.stdout)[0]
    # it declares a rank, and shows no teacher by which that could be certified
    assert {f["name"]: f["result"] for f in report["findings"]}["certified rank"] == "skip"
    assert done.returncode == 0, done.stdout
    failed = call("check", "baseline", "dummy/Raise-v0")
    assert failed.returncode == 1
    assert "fail  contract      the first fit raised ValueError: no luck (dummies.py:" in failed.stdout
    unknown = call("check", "task", "LowRank-k4-v0")
    assert unknown.returncode == 2
    assert "did you mean LowRank-k" in unknown.stderr


def test_bad_arguments_are_one_line():
    with pytest.raises(leakybench.UsageError, match="check_task takes an id, a spec or a task, got int"):
        leakybench.check_task(3)
    with pytest.raises(leakybench.UsageError, match="check_baseline takes an id, a spec or an object with fit"):
        leakybench.check_baseline(object())
    with pytest.raises(leakybench.UsageError, match="no plugin 'nobody' is installed; the plugins are: leakybench"):
        list(leakybench.check_plugin("nobody"))


@pytest.mark.slow
@pytest.mark.parametrize("spec", [spec for spec in tasks if spec.plugin == "leakybench"], ids=lambda spec: spec.id)
def test_every_built_in_task_passes(spec):
    report = leakybench.check_task(spec)
    assert report.passed, report


@pytest.mark.slow
@pytest.mark.parametrize("spec", [spec for spec in baselines if spec.plugin == "leakybench"], ids=lambda spec: spec.id)
def test_every_built_in_baseline_passes(spec):
    report = leakybench.check_baseline(spec, timeout=300.0)
    assert report.passed, report
