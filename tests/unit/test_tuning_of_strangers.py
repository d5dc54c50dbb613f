"""Tuning of baselines that somebody else wrote: odd search spaces, odd models, a setting named ``tune``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

import leakybench
from leakybench.baseline import FitReport, TraceableModel
from leakybench.errors import BaselineError, DivergedError, UsageError
from leakybench.evaluation.identity import run_spec
from leakybench.provenance import source_of
from leakybench.registry import baselines, build, tasks
from leakybench.settings import differing
from leakybench.specs import BaselineSpec
from leakybench.store import Store
from leakybench.sweeps.grid import parse_setting
from leakybench.task import Split
from leakybench.tuning.search import search
from leakybench.tuning.space import Budget, Range, parse_budget
from leakybench.tuning.tuned import has_search_space

HERE = __name__
SPLIT = Split(
    np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32),
    np.random.default_rng(1).standard_normal((20, 1)).astype(np.float32),
)


class ReadOnly:
    """A model whose report is a property, and without a derivative."""

    differentiable = False

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    @property
    def report(self) -> FitReport:
        return FitReport(values={"own": 1})

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.zeros((len(inputs), self.outputs))


class WithPath(ReadOnly):
    """The same, which shows a path."""

    def representations(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> str:
        return f"path of {len(inputs)} rows"


class Own:
    """A baseline with a float and an integer."""

    declared: ClassVar[Any] = {"a": {"low": 0.5, "high": 2.0}}

    def __init__(self, a: float = 1.0, n: int = 1, word: str = "one", layers: list[int] | None = None) -> None:
        self.a, self.n, self.word, self.layers = a, n, word, layers

    def search_space(self) -> Any:
        if isinstance(self.declared, Exception):
            raise self.declared
        return self.declared

    def fit(self, train: Split, *, seed: int, preset: str) -> ReadOnly:
        return ReadOnly(train.targets.shape[1])


def made(a: float = 1.0) -> Own:
    return Own(a)


class HasTune(Own):
    """A class that means something of its own by the name."""

    def __init__(self, tune: bool = False, a: float = 1.0) -> None:
        super().__init__(a)
        self.tune = tune


def spec_of(name: str) -> BaselineSpec:
    return BaselineSpec(id="strangers/Own-v0", entry_point=f"{HERE}:{name}")


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"n": ["many", "few"]}, "n must be an integer, got 'many'"),
        ({"n": {"low": 0.5, "high": 3.0}}, "n must be an integer, got 0.5"),
        (
            {"n": {"low": 1.0, "high": 4.0}},
            "n must be an integer, got 2.1",
        ),  # both ends are whole, and what lies between is not
        ({"word": {"low": 1, "high": 2}}, "word must be text, got 1"),
        ({"layers": [[8, 8], ["wide"]]}, "layers must be"),
        ({"layers": [[[8], [8]]]}, "layers must be"),
        ({"n": {"low": 1, "high": 10**400}}, "finite numbers"),
        ({"n": {"low": 1, "high": 10**30}}, "integers of at most"),
        ({"a": {"low": 0.0, "high": 1e200}}, "finite numbers"),
        (ZeroDivisionError("division"), "search_space of strangers/Own-v0 fails: ZeroDivisionError"),
    ],
)
def test_a_space_that_no_setting_takes_is_refused_before_anything_is_computed(monkeypatch, declared, words):
    monkeypatch.setattr(Own, "declared", declared)
    with pytest.raises(UsageError) as error:
        build(spec_of("Own"), {"tune": 4})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_choices_of_any_depth_are_in_the_record_as_a_command_takes_them(monkeypatch, tmp_path):
    monkeypatch.setattr(Own, "declared", {"layers": [[8], [8, 8], None]})
    leakybench.register_baseline("strangers/Layers-v0", f"{HERE}:Own")
    task = leakybench.make("Linear-k3-v0", n_train=12, n_test=12, d=4)
    record = leakybench.evaluate(leakybench.make_baseline("strangers/Layers-v0", tune=8), task, preset="smoke")
    store = Store(tmp_path)
    store.write(record)
    trials = store.read(record.run_id).training["tuning"]["trials"]
    texts = {trial["settings"]["layers"] for trial in trials[1:]}
    assert texts <= {"[8]", "[8,8]", None}
    assert len(texts) > 1
    values = [parse_setting(f"layers={text}").value for text in texts if text is not None]
    assert all(value in ([8], [8, 8]) for value in values)


@pytest.mark.parametrize("kind", [ReadOnly, WithPath])
def test_a_model_whose_report_is_fixed_keeps_what_it_can_do_and_gets_the_trials(monkeypatch, kind):
    monkeypatch.setattr(Own, "fit", lambda self, train, *, seed, preset: kind(1))
    model = build(spec_of("Own"), {"tune": 3}).fit(SPLIT, seed=0, preset="smoke")
    assert model.report.values["own"] == 1
    assert model.report.values["tuning"]["counts"]["complete"] == 3
    assert model.differentiable is False
    assert model.predict(SPLIT.inputs).shape == (20, 1)
    assert isinstance(model, TraceableModel) is (kind is WithPath)
    if kind is WithPath:
        assert model.representations(SPLIT.inputs) == "path of 20 rows"


def test_a_function_that_builds_a_baseline_can_be_tuned():
    assert has_search_space(spec_of("made"))
    assert build(spec_of("made"), {"tune": 3}).space.keys() == {"a"}


def test_a_setting_named_tune_of_a_class_stays_its_own():
    spec = spec_of("HasTune")
    built = build(spec, {"tune": True})
    assert isinstance(built, HasTune)
    assert built.tune is True
    assert not has_search_space(spec)
    # a default that is spelled out has no part in the identity, as of any baseline that is not tuned
    assert differing(spec, {"tune": True, "a": 1.0}) == {"tune": True}
    task, plain = tasks.spec("Linear-k3-v0"), spec.with_overrides({"a": 2.0})
    assert source_of(task, spec.with_overrides({"tune": True})) == source_of(task, plain)


def test_an_attribute_named_tune_of_an_object_that_no_id_names_is_an_attribute():
    class Local(Own):
        """Not to be loaded by its name."""

        def __init__(self, a: float = 1.0) -> None:
            super().__init__(a)
            self.tune = 4

    task = leakybench.make("Linear-k3-v0", n_train=12, n_test=12)
    run = run_spec(Local(), task, seed=0, preset="smoke")
    assert "tune" in run.baseline_overrides
    assert "a" not in run.baseline_overrides  # at its default, as without the attribute


def test_a_default_outside_the_search_space_is_no_part_of_the_identity():
    task = leakybench.make("Linear-k3-v0", n_train=12, n_test=12)

    def id_of(**settings: Any) -> str:
        built = leakybench.make_baseline("LeakyResNet-v0", tune=4, **settings)
        return run_spec(built, task, seed=0, preset="smoke").run_id

    assert id_of(ends="fixed", precision="float32", device="cpu") == id_of()
    assert id_of(ends="learned") != id_of()
    assert id_of(width=100) != id_of()  # a default inside it is held instead of searched


def test_a_default_that_undoes_what_an_id_sets_counts():
    leakybench.register_baseline("strangers/Word-v0", f"{HERE}:Own", {"word": "two"})
    built = leakybench.make_baseline("strangers/Word-v0", tune=4, word="one")
    assert differing(baselines.spec("strangers/Word-v0"), built.spec.kwargs) == {"word": "one", "tune": 4}


def test_numbers_that_a_search_proposes_lie_in_their_range():
    narrow = Range(low=0.123456, high=0.123457, log=False, whole=False)  # four digits of these lie outside
    found = search(
        lambda settings: Own(**settings),
        {"a": narrow},
        SPLIT,
        budget=Budget(trials=4),
        name="s",
        seed=0,
        preset="smoke",
    )
    assert all(narrow.low <= trial.settings["a"] <= narrow.high for trial in found.trials[1:])


def test_the_log_of_optuna_is_silent_and_its_level_is_put_back(capfd):
    import optuna

    level = optuna.logging.get_verbosity()
    build(spec_of("Own"), {"tune": 3}).fit(SPLIT, seed=0, preset="smoke")
    assert optuna.logging.get_verbosity() == level
    assert capfd.readouterr() == ("", "")


def test_predictions_of_another_shape_fail_and_are_not_stretched():
    wide = Split(SPLIT.inputs, np.repeat(SPLIT.targets, 2, axis=1))

    class Narrow(Own):
        def fit(self, train: Split, *, seed: int, preset: str) -> ReadOnly:
            return ReadOnly(1)

    with pytest.raises(BaselineError, match=r"predictions have shape \(5, 1\), the targets \(5, 2\)"):
        search(lambda settings: Narrow(), {}, wide, budget=Budget(trials=1), name="s", seed=0, preset="smoke")


def test_an_interrupted_search_ends_at_once():
    def interrupt(settings: Any) -> Own:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(interrupt, {}, SPLIT, budget=Budget(trials=4), name="s", seed=0, preset="smoke")


def test_no_trial_starts_after_the_time_is_spent():
    import time

    def slow(settings: Any) -> Own:
        time.sleep(0.05)
        return Own(**settings)

    space = {"a": Range(low=0.5, high=2.0, log=False, whole=False)}
    found = search(slow, space, SPLIT, budget=Budget(seconds=0.12), name="s", seed=0, preset="smoke")
    starts = np.cumsum([0.0, *(trial.seconds for trial in found.trials)])[:-1]
    assert 1 <= len(found.trials) <= 3
    assert all(start < 0.12 for start in starts)


@pytest.mark.parametrize("value", ["1_6", "١٦", "+4", "0x10", "1e400s", 10**400, "4 s"])
def test_a_budget_is_written_in_plain_digits(value):
    with pytest.raises(UsageError, match="tune must be"):
        parse_budget(value)


def test_long_budgets_of_seconds_are_two_settings():
    assert parse_budget("1000000.5s").setting != parse_budget("1000001s").setting


def test_a_last_fit_that_diverges_keeps_its_trials(monkeypatch):
    def fit(self: Own, train: Split, *, seed: int, preset: str) -> ReadOnly:
        if len(train) == 60:  # all rows: the fit after the search
            raise DivergedError("the loss is not finite")
        return ReadOnly(train.targets.shape[1])

    monkeypatch.setattr(Own, "fit", fit)
    spec = BaselineSpec(id="test/Own-v0", entry_point=f"{HERE}:Own")
    task = leakybench.make("Linear-k3-v0", seed=0, n_train=60, n_test=40, d=6)
    record = leakybench.evaluate(build(spec, {"tune": 3}), task, preset="smoke")
    assert (record.status, record.message) == ("diverged", "the loss is not finite")
    assert record.training["tuning"]["counts"]["complete"] == 3
    assert record.test_error is None
