"""Equal settings are one run however they are written; different settings have different ids and different labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import leakybench
from leakybench.evaluation import run_spec
from leakybench.record import RunSpec, label
from leakybench.registry import baselines, tasks
from leakybench.settings import NOTHING, build, declared, differing, misfit, normalised
from leakybench.specs import BaselineSpec, canonical_json
from leakybench.sweeps.grid import Grid, Setting, parse_seeds

if TYPE_CHECKING:
    from nowhere import Unknown

SMALL = {"d": 6, "n_train": 60, "n_test": 40}
SPELLINGS: dict[float, list[Any]] = {
    3.0: [3, 3.0, np.float64(3), np.float32(3), np.int64(3), torch.tensor(3), torch.tensor(3.0), np.array(3.0)],
    7.0: [7, 7.0, np.float64(7)],  # the default
}


def spec_of(**settings: Any) -> RunSpec:
    task = leakybench.make("Linear-k3-v0", **SMALL)
    return run_spec(leakybench.make_baseline("LeakyResNet-v0", **settings), task, seed=0, preset="smoke")


@pytest.mark.parametrize("value", SPELLINGS)
def test_one_number_is_one_run_however_it_is_written(value):
    runs = [spec_of(effective_depth=spelled) for spelled in SPELLINGS[value]]
    assert len({run.run_id for run in runs}) == 1
    assert len({run.baseline_label for run in runs}) == 1


def test_a_default_spelled_out_is_no_other_run():
    assert spec_of().run_id == spec_of(effective_depth=7, depth=20.0, width=np.int32(100), steps="uniform").run_id
    assert spec_of(depth=21).run_id != spec_of().run_id


def test_a_plan_and_a_built_object_agree_on_every_spelling():
    task = leakybench.make("Linear-k3-v0", seed=np.int64(1), **SMALL)
    for value in SPELLINGS[3.0]:
        grid = Grid(
            tasks=["Linear-k3-v0"],
            baselines=["LeakyResNet-v0"],
            task_settings=[Setting(name, np.int64(size)) for name, size in SMALL.items()],
            baseline_settings=[Setting("effective_depth", value)],
            seeds=np.arange(2),
            preset="smoke",
        )
        built = leakybench.make_baseline("LeakyResNet-v0", effective_depth=3.0)
        one = run_spec(built, task, seed=np.int64(1), preset="smoke")
        assert [job.run.run_id for job in grid.jobs()][1] == one.run_id


def test_the_rule_of_the_step_sizes_is_in_every_label():
    assert spec_of().baseline_label == "LeakyResNet-v0[steps=uniform]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 3.5}, "depth must be an integer"),
        ({"depth": True}, "depth must be an integer"),
        ({"effective_depth": "3"}, "effective_depth must be a finite number"),
        ({"effective_depth": 10**400}, "effective_depth must be"),
        ({"steps": 1}, "steps must be one of"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line(settings, message):
    with pytest.raises(leakybench.UsageError, match=message) as caught:
        leakybench.make_baseline("LeakyResNet-v0", **settings)
    assert "\n" not in str(caught.value)


Size = NewType("Size", int)


@dataclass(frozen=True, kw_only=True)
class Base:
    alpha: float = 1.0
    unknown: Unknown = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class Typed(Base):
    """Takes whatever it is given: only its declarations can refuse."""

    n: int = 2
    size: Size = Size(1)
    flag: bool = False
    share: int | float = 1
    name: str | None = None
    mode: Literal["a", "b"] = "a"
    dims: tuple[int, ...] = (3, 4)
    pair: tuple[int, float] = (1, 1.0)
    rates: Mapping[str, float] = field(default_factory=dict)
    noted: Annotated[float, "unit"] = 0.5
    late: float = None  # type: ignore[assignment]
    spec: BaselineSpec | None = None


class Plain:
    def __init__(self, alpha=1.0, n=1, **others):
        self.alpha, self.n, self.others = alpha, n, others


TYPED = BaselineSpec(id="test/Typed-v0", entry_point=f"{__name__}:Typed")


@pytest.mark.parametrize(
    ("given_value", "built"),
    [
        ({"alpha": 2}, {"alpha": 2.0}),
        ({"n": 3.0}, {"n": 3}),
        ({"size": 3.0}, {"size": 3}),
        ({"share": 1.0}, {"share": 1.0}),  # as in scikit-learn, 1 and 1.0 are two of an ``int | float``
        ({"share": 1}, {"share": 1}),
        ({"dims": [1.0, 2]}, {"dims": [1, 2]}),
        ({"dims": np.array([30, 6])}, {"dims": [30, 6]}),
        ({"pair": (2.0, 2)}, {"pair": [2, 2.0]}),
        ({"rates": {"a": 1}}, {"rates": {"a": 1.0}}),
        ({"noted": 1}, {"noted": 1.0}),
        ({"late": None}, {"late": None}),
        ({"alpha": -0.0}, {"alpha": 0.0}),
        ({"unknown": [1, "x"]}, {"unknown": [1, "x"]}),
    ],
)
def test_a_setting_is_built_as_its_declared_type(given_value, built):
    made = build(TYPED, given_value)
    for name, value in built.items():
        assert canonical_json(getattr(made, name)) == canonical_json(value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha": "1.0"}, "alpha must be a finite number, got '1.0'"),
        ({"n": 3.5}, "n must be an integer, got 3.5"),
        ({"n": True}, "n must be an integer, got True"),
        ({"alpha": False}, "alpha must be a finite number"),
        ({"flag": 1}, "flag must be True or False, got 1"),
        ({"name": 3}, "name must be text or None, got 3"),
        ({"mode": "c"}, "mode must be one of a, b"),
        ({"dims": [1.5]}, r"dims must be a list \(tuple\[int, ...\]\)"),
        ({"pair": [1]}, "pair must be a list"),
        ({"rates": {"a": "x"}}, "rates must be a mapping"),
    ],
)
def test_what_a_class_does_not_declare_is_refused(settings, words):
    with pytest.raises(leakybench.UsageError, match=f"test/Typed-v0: {words}"):
        build(TYPED, settings)


def test_a_default_of_1_0_asks_for_a_number_and_other_undeclared_values_stay_apart():
    assert normalised(Plain, {"alpha": 2, "n": 2.0, "x": 2.0}) == {"alpha": 2.0, "n": 2.0, "x": 2.0}
    assert isinstance(normalised(Plain, {"alpha": 2})["alpha"], float)
    assert isinstance(normalised(Plain, {"n": 2.0})["n"], float)
    base = BaselineSpec(id="test/Plain-v0", entry_point=f"{__name__}:Plain")
    assert differing(base, {"alpha": 1, "n": 1}) == {}
    assert differing(base, {"n": True}) == {"n": True}


@pytest.mark.parametrize("spec", [*tasks, *baselines], ids=lambda spec: spec.id)
def test_every_built_in_setting_declares_its_type(spec):
    """A type that cannot be resolved would make 3 and 3.0 two runs."""
    known = declared(spec.load())
    assert known
    for name, setting in known.items():
        if name in ("spec", "seed"):
            continue
        assert setting.kind is not Any, name
        assert setting.default is not NOTHING or name in spec.kwargs, name
    assert misfit(spec.load(), spec.kwargs) is None
    assert differing(spec, spec.kwargs) == ({"steps": spec.default_steps} if getattr(spec, "steps", ()) else {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NEAR = st.sampled_from([1, 1.0, True, "1", "1.0", "true", None, "null", "a", "a,b=c", "a]", '"a"', "", "1e3", 1e3])
OVERRIDES = st.dictionaries(st.sampled_from(["a", "b", "a=1", "b,a"]) | st.text(max_size=4), NEAR | JSON, max_size=3)


@given(OVERRIDES, OVERRIDES)
def test_labels_are_as_distinct_as_ids(first, second):
    same = canonical_json(first) == canonical_json(second)
    assert (label("Mean-v0", first) == label("Mean-v0", second)) is same


def test_usual_labels_read_without_quotes():
    shown = label("Sklearn-v0", {"regressor": "sklearn.svm:SVR", "steps": "adaptive", "alpha": "1.0", "n": 3})
    assert shown == 'Sklearn-v0[alpha="1.0",n=3,regressor=sklearn.svm:SVR,steps=adaptive]'


@pytest.mark.parametrize("seed", [1, np.int64(1), np.uint8(1), np.array(1), torch.tensor(1)])
def test_seeds_of_numpy_and_torch_are_seeds(seed):
    assert parse_seeds(seed) == (1,)
    assert leakybench.make("Linear-k3-v0", seed=seed, **SMALL).seed == 1
    run = RunSpec(task="A-v0", baseline="B-v0", seed=seed, preset="smoke", source="x")
    assert type(run.seed) is int
    assert run.run_id == RunSpec(task="A-v0", baseline="B-v0", seed=1, preset="smoke", source="x").run_id


@pytest.mark.parametrize("seed", [True, np.bool_(True), torch.tensor(True), 1.0, np.float64(1), torch.tensor(1.5), "1"])
def test_what_is_no_integer_is_no_seed(seed):
    with pytest.raises(leakybench.UsageError, match="seed must be an integer from 0"):
        leakybench.make("Linear-k3-v0", seed=seed)


def test_a_record_of_a_numpy_seed_can_be_stored():
    task = leakybench.make("Linear-k3-v0", seed=np.int64(1), **SMALL)
    record = leakybench.evaluate(leakybench.make_baseline("Mean-v0"), task, seed=np.int64(1), preset="smoke")
    assert '"seed": 1' in record.to_json()
