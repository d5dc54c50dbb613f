"""Tuning: what a search may see, what it keeps of its trials, and which run it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import leakybench
from leakybench.baseline import FitReport
from leakybench.cli import main
from leakybench.errors import BaselineError, UsageError
from leakybench.evaluation.identity import run_spec
from leakybench.provenance import source_of
from leakybench.registry import baselines, build, tasks
from leakybench.specs import BaselineSpec
from leakybench.store import Store
from leakybench.sweeps.grid import Grid, Setting
from leakybench.task import Split
from leakybench.tuning.search import FOLDS, STARTUP, WORST, search
from leakybench.tuning.space import Budget, Choices, Range, parse_budget, search_space
from tests.helpers import cli

SMALL = {"n_train": 60, "n_test": 40, "d": 6}
WITHOUT = ("Mean-v0", "Sklearn-v0", "Yardstick-v0")
"""Baselines that declare no search space: fixed by definition, or of settings that only a user knows."""


@dataclass(frozen=True)
class Model:
    """Predicts a shift of the first input."""

    shift: float
    report: FitReport

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[:, :1] + self.shift


@dataclass(frozen=True, kw_only=True)
class Shifted:
    """A baseline whose error is its setting, squared; some settings fail or diverge."""

    shift: float = 0.5
    kind: str = "plain"
    spec: BaselineSpec | None = None
    seen: list[int] = field(default_factory=list)

    def search_space(self) -> dict[str, Any]:
        return {"shift": {"low": -1.0, "high": 1.0}, "kind": ["plain", "raises", "diverges", "infinite"]}

    def fit(self, train: Split, *, seed: int, preset: str) -> Model:
        self.seen.append(len(train))
        if self.kind == "raises":
            raise ValueError("no luck")
        status = "diverged" if self.kind == "diverges" else "ok"
        shift = np.inf if self.kind == "infinite" else self.shift
        return Model(shift, FitReport(status=status))


def line(n: int = 40) -> Split:
    x = np.random.default_rng(0).standard_normal((n, 2)).astype(np.float32)
    return Split(x, x[:, :1].copy())


SPACE = {
    "shift": Range(low=-1.0, high=1.0, log=False, whole=False),
    "kind": Choices(values=("plain", "raises", "diverges", "infinite")),
}


def run_search(trials: int = 30, **changes: Any) -> Any:
    def make(settings: Mapping[str, Any]) -> Shifted:
        return Shifted(**{**changes, **settings})

    return search(make, SPACE, line(), budget=Budget(trials=trials), name="test/Shifted-v0", seed=1, preset="smoke")


def test_the_first_trial_is_the_baseline_as_it_is():
    found = run_search(1)
    assert [trial.settings for trial in found.trials] == [{}]
    spread = float(np.var(line().targets))
    # the error of the default is 0.5^2 over the variance of the held-out targets, ten rows a part
    assert found.best.error == pytest.approx(0.25 / spread, rel=1.0)


def test_a_search_finds_what_is_better_and_says_what_it_tried():
    found = run_search()
    assert found.best.error < found.trials[0].error / 2
    assert found.best.settings["kind"] == "plain"
    content = found.to_dict()
    assert content["counts"] == {
        state: sum(trial["state"] == state for trial in content["trials"]) for state in ("complete", "pruned", "failed")
    }
    assert sum(content["counts"].values()) == 30
    assert content["held_out"] == min(t["error"] for t in content["trials"] if t["state"] == "complete")


def test_failed_trials_are_counted_with_their_reason():
    failed = [trial for trial in run_search().trials if trial.state == "failed"]
    assert failed
    assert {trial.message for trial in failed} == {"ValueError: no luck"}
    assert {trial.settings["kind"] for trial in failed} == {"raises"}


def test_a_trial_that_diverges_counts_as_the_worst():
    for trial in run_search().trials:
        if trial.settings.get("kind") in ("diverges", "infinite"):
            assert set(trial.errors) == {WORST}


def test_bad_trials_end_early_and_only_after_the_first_ones():
    trials = run_search(40).trials
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert all(len(trial.errors) < FOLDS for trial in pruned)
    assert all(trial.state != "pruned" for trial in trials[:STARTUP])
    assert all(len(trial.errors) == FOLDS for trial in trials if trial.state == "complete")


def test_equal_seeds_make_equal_trials():
    one, other = run_search(), run_search()
    assert [(t.settings, t.errors, t.state) for t in one.trials] == [
        (t.settings, t.errors, t.state) for t in other.trials
    ]


def test_a_search_without_a_single_success_is_an_error_with_its_reason():
    with pytest.raises(BaselineError, match="all 1 trials of the search failed, 1 with: ValueError: no luck"):
        run_search(1, kind="raises")


def test_a_search_sees_parts_of_the_training_rows_alone():
    rows: set[bytes] = set()
    train = line()

    class Watched(Shifted):
        def fit(self, part: Split, *, seed: int, preset: str) -> Model:
            assert len(part) == 30  # three quarters
            rows.update(row.tobytes() for row in part.inputs)
            return super().fit(part, seed=seed, preset=preset)

    search(
        lambda settings: Watched(**settings), SPACE, train, budget=Budget(trials=4), name="w", seed=0, preset="smoke"
    )
    assert rows <= {row.tobytes() for row in train.inputs}


class Hidden:
    """A task whose test data may not be looked at."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "test":
            raise AssertionError("the test data were read")
        return getattr(self._inner, name)


def test_tuning_needs_no_test_data():
    task = Hidden(leakybench.make("Linear-k3-v0", seed=0, **SMALL))
    model = leakybench.make_baseline("Ridge-v0", tune=4).fit(task.train, seed=0, preset="smoke")
    assert model.report.values["tuning"]["budget"] == 4


def test_poisoned_test_targets_change_nothing_that_is_chosen():
    def tuned(poison: bool) -> Any:
        task = leakybench.make("Linear-k3-v0", seed=0, noise=1.0, **SMALL)
        if poison:
            task.test.targets[:] = task.test.targets[::-1].copy()
        record = leakybench.evaluate(leakybench.make_baseline("KernelRidge-v0", tune=10), task, preset="smoke")
        found = dict(record.training["tuning"])
        for trial in found["trials"]:
            trial.pop("seconds")
        found.pop("seconds")
        return found, record.train_error, record.test_error

    clean, train_error, test_error = tuned(False)
    poisoned, same_train, other_test = tuned(True)
    assert poisoned == clean
    assert same_train == train_error
    assert other_test != test_error  # the poison did reach the test


def test_what_is_set_is_not_searched():
    tuned = leakybench.make_baseline("LeakyResNet-v0", tune=2, effective_depth=7.0)
    assert "effective_depth" not in tuned.space
    assert tuned.spec.kwargs == {"effective_depth": 7.0, "tune": 2, "steps": "tuned"}
    fixed = leakybench.make_baseline("LeakyResNet-Lt3-v0", tune=2, steps="adaptive")
    assert not {"effective_depth", "steps"} & fixed.space.keys()


def test_a_tuned_run_has_one_id_however_it_is_asked_for():
    def ids(**grid: Any) -> set[str]:
        return {job.run.run_id for job in Grid(tasks="Linear-k3-v0", baselines="LeakyResNet-v0", **grid).jobs()}

    asked = ids(tune=16)
    assert (
        ids(tune="16") == ids(baseline_settings=[Setting("tune", 16)]) == ids(baseline_settings=[Setting("tune", 16.0)])
    )
    assert asked == ids(tune="16")
    built = leakybench.make_baseline("LeakyResNet-v0", tune=16)
    assert {run_spec(built, leakybench.make("Linear-k3-v0"), seed=0, preset="standard").run_id} == asked
    # a default that is spelled out is fixed, so it is another search
    assert ids(tune=16, baseline_settings=[Setting("effective_depth", 7.0)]) != asked
    assert len(asked | ids() | ids(tune=17) | ids(tune="60s")) == 4


def test_the_code_of_the_search_counts_for_tuned_runs_alone():
    task, spec = tasks.spec("Linear-k3-v0"), baselines.spec("Ridge-v0")
    assert source_of(task, spec.with_overrides({"tune": 4})) != source_of(task, spec)
    assert source_of(task, spec.with_overrides({"penalty": 1.0})) == source_of(task, spec)


@pytest.mark.parametrize("id", [spec.id for spec in baselines if spec.plugin == "leakybench"])
def test_every_built_in_search_space_is_valid_and_its_corners_build(id):
    spec = baselines.spec(id)
    built = build(spec, {})
    if id in WITHOUT:
        with pytest.raises(UsageError, match="declares no search_space"):
            search_space(spec, built)
        return
    space = search_space(spec, built)
    corners = [
        {name: pick(domain) for name, domain in space.items()}
        for pick in (
            lambda domain: domain.values[0] if isinstance(domain, Choices) else domain.low,
            lambda domain: domain.values[-1] if isinstance(domain, Choices) else domain.high,
        )
    ]
    for corner in corners:
        build(spec, corner)
    if spec.steps:  # every rule under the least number of layers and the largest effective depth
        for rule in space["steps"].values:
            build(spec, {**corners[1], "depth": space["depth"].values[0], "steps": rule})


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ([1, 2], "must map settings"),
        ({}, "must map settings"),
        ({"colour": [1]}, "does not have: 'colour'"),
        ({3: [1]}, "does not have: 3"),
        ({"spec": [None]}, "does not have: 'spec'"),
        ({"shift": []}, "must be a list of choices"),
        ({"shift": 1.0}, "must be a list of choices"),
        ({"shift": "ab"}, "must be a list of choices"),
        ({"shift": [object()]}, "plain JSON"),
        ({"shift": {"low": 0.0}}, "must have low and high"),
        ({"shift": {"low": 0.0, "high": 1.0, "step": 2}}, "must have low and high"),
        ({"shift": {"low": 1.0, "high": 1.0}}, "low < high"),
        ({"shift": {"low": 2.0, "high": 1.0}}, "low < high"),
        ({"shift": {"low": 0.0, "high": 1.0, "log": True}}, "above 0 on a logarithmic"),
        ({"shift": {"low": float("nan"), "high": 1.0}}, "finite numbers"),
        ({"shift": {"low": 0.0, "high": float("inf")}}, "finite numbers"),
        ({"shift": {"low": "0", "high": 1.0}}, "finite numbers"),
        ({"shift": {"low": True, "high": 2}}, "finite numbers"),
        ({"shift": {"low": 0.0, "high": 1.0, "log": 1}}, "log true or false"),
    ],
)
def test_a_wrong_search_space_is_refused_in_one_line(declared, words):
    class Wrong(Shifted):
        def search_space(self) -> Any:
            return declared

    spec = BaselineSpec(id="test/Shifted-v0", entry_point="tests.unit.test_tuning:Shifted")
    with pytest.raises(UsageError, match=words) as error:
        search_space(spec, Wrong())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("value", "setting"), [(16, 16), ("16", 16), (16.0, 16), ("60s", "60s"), ("1.5s", "1.5s")])
def test_a_budget_has_one_form(value, setting):
    assert parse_budget(value).setting == setting


@pytest.mark.parametrize(
    "value", [0, -1, 1.5, "0", "0s", "-3s", "s", "sixty", "", True, None, [4], 10_001, "inf", "nans"]
)
def test_a_wrong_budget_is_refused(value):
    with pytest.raises(UsageError, match="tune must be"):
        parse_budget(value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--baseline", "Mean-v0", "--tune", "4"], "none of the chosen baselines can be tuned"),
        (["--baseline", "Mean-v0", "--set", "tune=4"], "declares no search_space"),
        (["--baseline", "Ridge-v0", "--tune", "0"], "tune must be"),
        (["--baseline", "Ridge-v0", "--set", "tune=null"], "tune"),
        (["--baseline", "Ridge-v0", "--set", "penalty=1.0", "--tune", "4"], "nothing to tune"),
    ],
)
def test_bad_tuning_is_one_line_with_code_2(tmp_path, capsys, arguments, words):
    code = main(["run", "--task", "Linear-k3-v0", "--preset", "smoke", "--results", str(tmp_path / "r"), *arguments])
    assert code == 2
    assert words in cli.one_line_error(capsys.readouterr().err)
    assert not list(tmp_path.glob("r/*.json"))


@pytest.mark.slow
def test_two_engines_choose_alike_and_others_run_untuned(tmp_path):
    def run(workers: int) -> dict[str, Any]:
        folder = tmp_path / str(workers)
        arguments = ["run", "--task", "Linear-k3-v0", "--baseline", "Ridge-v0,Mean-v0", "--tune", "5", "--seeds", "0:2"]
        arguments += [part for name, value in SMALL.items() for part in ("--set-task", f"{name}={value}")]
        result = cli.call(*arguments, "--preset", "smoke", "--workers", workers, "--results", folder)
        assert result.returncode == 0, result.stderr
        assert "no search space, so not tuned: Mean-v0" in result.stderr
        found = {}
        for record in Store(folder):
            values = record.comparable()
            tuning = values["training"].get("tuning", {})
            tuning.pop("seconds", None)
            for trial in tuning.get("trials", []):
                trial.pop("seconds")
            found[record.run_id] = values
        return found

    inline, workers = run(0), run(1)
    assert inline == workers
    assert len(inline) == 4


def test_every_module_of_the_search_is_part_of_a_tuned_run():
    for module in ("tuned", "search", "space"):
        assert f"leakybench.tuning.{module}" in _modules_behind()


def _modules_behind() -> set[str]:
    from leakybench.provenance import source

    return set(source._closure(source.TUNING).values())
