"""Objects that no id names are told apart by their content, alike in every process, or refused in one line."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import leakybench
from leakybench.evaluation import run_spec
from leakybench.provenance import settings_of_object, source_of
from leakybench.provenance.content import Content
from tests.helpers.cli import ROOT

TASK = leakybench.make("Linear-k3-v0", n_train=60, n_test=40, d=6)
ARRAY = np.arange(4.0)


def factory(d_in, d_out, width=8, extra=None):
    return nn.Linear(d_in, d_out)


def other(d_in, d_out, width=8):
    return nn.Linear(d_in, d_out)


def closure(width):
    def build(d_in, d_out):
        return nn.Linear(d_in, d_out * width)

    return build


def trainer(module, inputs, targets, *, seed, preset, rate=1.0):
    return None


class Thing:
    """Holds what it is given, fits in place."""

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)

    def fit(self, train, *, seed, preset):
        self.mean = train.targets.mean(axis=0)
        return self

    def predict(self, inputs):
        return np.tile(self.mean, (len(inputs), 1))


class Slotted:
    __slots__ = ("alpha",)
    fit = Thing.fit

    def __init__(self, alpha):
        self.alpha = alpha


class Maker:
    def __init__(self, width):
        self.width = width

    def __call__(self, d_in, d_out):
        return nn.Linear(d_in, d_out)


def local(n):
    class Local(Thing):
        def fit(self, train, *, seed, preset):
            return super().fit(train, seed=seed + n, preset=preset)

    return Local()


def wrap(made: Callable[..., Any], **settings: Any) -> Any:
    return leakybench.wrap_module(made, **settings)


def module(value: float) -> nn.Module:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, value)
    nn.init.constant_(layer.bias, value)
    return layer


ONE_OF_TWO: dict[str, Callable[[int], Any]] = {
    "closure": lambda n: wrap(closure(n)),
    "partial": lambda n: wrap(functools.partial(factory, width=n)),
    "partial of another function": lambda n: wrap(functools.partial((factory, other)[n], width=1), name="same"),
    "partial in a partial": lambda n: wrap(functools.partial(functools.partial(factory, width=n), extra=1)),
    "positional partial": lambda n: wrap(functools.partial(lambda k, d_in, d_out: nn.Linear(d_in, d_out), n)),
    "array in a partial": lambda n: wrap(functools.partial(factory, extra=ARRAY + n)),
    "network in a partial": lambda n: wrap(functools.partial(factory, extra=module(n))),
    "lambda": lambda n: wrap((lambda i, o: nn.Linear(i, o), lambda i, o: nn.Linear(i, o, bias=False))[n]),
    "default of an inner function": lambda n: wrap(lambda d_in, d_out, width=n: nn.Linear(d_in, d_out)),
    "callable object": lambda n: wrap(Maker(n)),
    "layers": lambda n: wrap(factory, layers=[str(n)]),
    "two functions of one name": lambda n: wrap((factory, other)[n], name="same"),
    "names that lose their marks": lambda n: wrap(factory, name=("a b", "a-b")[n]),
    "trainer": lambda n: wrap(factory, trainer=functools.partial(trainer, rate=float(n))),
    "trainer's closure": lambda n: wrap(factory, trainer=lambda m, x, y, *, seed, preset: print(n)),
    "number": lambda n: Thing(alpha=n),
    "number or text": lambda n: Thing(alpha=(1.0, "1.0")[n]),
    "1 or True": lambda n: Thing(alpha=(1, True)[n]),
    "tuple or list": lambda n: Thing(alpha=([1, 2], (1, 2))[n]),
    "mapping": lambda n: Thing(config={"width": n}),
    "array": lambda n: Thing(weights=ARRAY * (n + 1)),
    "dtype": lambda n: Thing(weights=ARRAY.astype((np.float32, np.float64)[n])),
    "shape": lambda n: Thing(weights=ARRAY.reshape(((4,), (2, 2))[n])),
    "tensor": lambda n: Thing(weights=torch.full((2,), float(n))),
    "network": lambda n: Thing(net=module(n)),
    "ufunc": lambda n: Thing(f=(np.tanh, np.sin)[n]),
    "function attribute": lambda n: Thing(f=(lambda x: x, lambda x: x + 1)[n]),
    "generator of numbers": lambda n: Thing(rng=np.random.default_rng(n)),
    "set": lambda n: Thing(names={"a", "b", "cd"[n]}),
    "nested": lambda n: Thing(inner=Thing(items=[Thing(y=n)])),
    "class": lambda n: Thing(kind=(Thing, Slotted)[n]),
    "bound method": lambda n: Thing(f=Thing(a=n).predict),
    "slots": lambda n: Slotted(n),
    "local class": lambda n: local(n),
}


@pytest.mark.parametrize("way", ONE_OF_TWO)
def test_two_that_differ_are_two_runs_and_two_that_are_equal_are_one(way):
    runs = [run_spec(ONE_OF_TWO[way](n), TASK, seed=0, preset="smoke") for n in (0, 0, 1)]
    assert runs[0].run_id == runs[1].run_id != runs[2].run_id
    assert runs[0].baseline_label == runs[1].baseline_label != runs[2].baseline_label
    assert len(runs[0].baseline_label) < 160


def test_labels_show_short_settings():
    assert run_spec(Thing(alpha=2, name="x"), TASK, seed=0, preset="smoke").baseline_label == (
        "adhoc/Thing-v0[alpha=2,name=x]"
    )
    assert wrap(functools.partial(factory, width=3)).spec.id == "module/Factory-v0"
    assert wrap(closure(64)).spec.kwargs["width"] == 64


@pytest.mark.parametrize(
    "value",
    [(i for i in ()), threading.Lock(), sys.stderr, socket.socket(), iter(memoryview(b"x")), Thing(deep=[sys.stderr])],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_content_is_refused_in_one_line(value):
    for make in (lambda: run_spec(Thing(held=value), TASK, seed=0, preset="smoke"), lambda: wrap(Maker(value))):
        with pytest.raises(leakybench.UsageError, match=r"of .* is of type .*, which cannot be identified") as caught:
            make()
        assert "\n" not in str(caught.value)


def test_an_object_with_too_many_parts_is_refused():
    with pytest.raises(leakybench.UsageError, match="holds more than 100000 objects"):
        settings_of_object(Thing(many=[[i] for i in range(100_001)]), "the baseline Thing")
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(leakybench.UsageError, match="nested too deeply"):
        settings_of_object(Thing(deep=deep), "the baseline Thing")


def test_an_object_may_hold_itself():
    first, second = Thing(), Thing()
    for each in (first, second):
        each.me, each.items = each, [each]
    assert Content().digest(first, "it") == Content().digest(second, "it")


def test_all_seeds_of_one_object_are_one_configuration_and_a_changed_setting_is_another():
    thing = Thing(alpha=1.0, mean=None)
    labels = [leakybench.evaluate(thing, TASK, seed=seed, preset="smoke").run.baseline_label for seed in (0, 1)]
    assert labels == ["adhoc/Thing-v0[alpha=1.0,mean=null]"] * 2
    thing.alpha = 3.0
    assert run_spec(thing, TASK, seed=0, preset="smoke").baseline_label == "adhoc/Thing-v0[alpha=3.0,mean=null]"
    thing.alpha = 1.0
    assert run_spec(thing, TASK, seed=0, preset="smoke").baseline_label == labels[0]


def test_the_data_of_a_task_that_no_id_names_count():
    class Data:
        def __init__(self, task, scale):
            self.spec, self.seed, self.true_rank = leakybench.TaskSpec(id="a/D-v0", entry_point="m:D"), 0, None
            self.train = leakybench.task.Split(task.train.inputs * np.float32(scale), task.train.targets)
            self.test = task.test

    runs = [run_spec(Thing(), Data(TASK, scale), seed=0, preset="smoke").run_id for scale in (1.0, 1.0, 2.0)]
    assert runs[0] == runs[1] != runs[2]


SCRIPT = """
import functools, json, sys
import numpy as np
import leakybench
from leakybench.evaluation import run_spec

class Thing:
    def __init__(self, **given):
        self.__dict__.update(given)
    def fit(self, train, *, seed, preset): ...

def local(n):
    class Local(Thing):
        def fit(self, train, *, seed, preset):
            return n
    return Local()

task = leakybench.make("Linear-k3-v0", n_train=60, n_test=40, d=6)
things = [Thing(s={"ab", "cd", "ef", ("g", 1)}, f=lambda x: x in {"a", "b"}), Thing(f=functools.partial(print, 1)),
          Thing(r=np.random.default_rng(3), o=object(), t=Thing), local(3), leakybench.wrap_module(lambda i, o: i)]
print(json.dumps([run_spec(thing, task, seed=0, preset="smoke").run_id for thing in things]))
"""


def test_equal_objects_have_equal_ids_in_two_processes():
    ids = []
    for salt in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": salt, "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        ids.append(json.loads(done.stdout))
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0])


def test_code_of_a_notebook_counts_with_what_it_refers_to():
    """Functions of a cell lie in no file; they are read with the names that they use."""

    def cell(factor: float) -> Any:
        space: dict[str, Any] = {"__name__": "notebook_without_file", "np": np}
        text = (
            f"factor = {factor}\ndef helper(x):\n    return factor * x\ndef make(d_in, d_out):\n    return helper(d_in)"
        )
        exec(compile(text, "<cell>", "exec"), space)
        return wrap(space["make"])

    ids = [run_spec(cell(factor), TASK, seed=0, preset="smoke").run_id for factor in (1.0, 1.0, 2.0)]
    assert ids[0] == ids[1] != ids[2]


def test_a_registered_class_of_a_notebook_counts_by_its_code(monkeypatch):
    def source(factor: float) -> str:
        cell = types.ModuleType("notebook_cells")
        text = f"factor = {factor}\nclass Mine:\n    def fit(self, train, *, seed, preset):\n        return factor\n"
        exec(compile(text, "<cell>", "exec"), vars(cell))
        monkeypatch.setitem(sys.modules, "notebook_cells", cell)
        mine = leakybench.BaselineSpec(id="cell/Mine-v0", entry_point="notebook_cells:Mine")
        return source_of(TASK.spec, mine)

    sources = [source(factor) for factor in (1.0, 1.0, 2.0)]
    assert sources[0] == sources[1] != sources[2]
