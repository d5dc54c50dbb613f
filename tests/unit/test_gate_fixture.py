"""The fixture of the gate, called as a test calls it: one reference a call, read before training, and time judged."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest

from leakybench.errors import UsageError
from leakybench.gate.fixture import key_of
from leakybench.gate.pytest_plugin import GateFixture
from leakybench.gate.settings import Settings

TINY = {"task": "Linear-k3-v0", "n_train": 60, "n_test": 40, "d": 6}
UNTIMED = Settings(time=None)


class Model:
    def __init__(self, weights):
        self.weights = weights

    def predict(self, inputs):
        return inputs @ self.weights


def ridge(train, *, seed, preset, penalty=1.0):
    gram = train.inputs.T @ train.inputs + penalty * np.eye(train.inputs.shape[1], dtype=np.float32)
    return Model(np.linalg.solve(gram, train.inputs.T @ train.targets))


def worse(train, *, seed, preset):
    return ridge(train, seed=seed, preset=preset, penalty=300.0)


def slow(train, *, seed, preset):
    time.sleep(0.1)  # a hundred times the ridge regression
    return ridge(train, seed=seed, preset=preset)


def refuse(train, *, seed, preset):
    raise AssertionError("nothing may be trained before the reference is known to be complete")


def fixture(folder, reason=None, test="test_a", file="test_mine.py"):
    return GateFixture(folder=folder / "leakybench_reference", file=file, test=test, reason=reason)


def failure(gate, fit, **arguments):
    with pytest.raises(pytest.fail.Exception) as caught:
        gate(fit, **{**TINY, "settings": UNTIMED, **arguments})
    return str(caught.value)


@pytest.fixture
def written(tmp_path):
    fixture(tmp_path, "first")(ridge, **TINY, settings=UNTIMED)
    return tmp_path


def test_reference_is_looked_for_before_training(tmp_path):
    assert "no reference for test_mine.test_a" in failure(fixture(tmp_path), refuse)


def test_same_code_passes_and_worse_code_fails(written):
    verdict = fixture(written)(ridge, **TINY, settings=UNTIMED)
    assert (verdict.kind, verdict.pairs) == ("same", 5)
    assert "regressed: test error of gate/Mine-v0: " in failure(fixture(written), worse)


@pytest.mark.parametrize("count", range(1, 6))
@pytest.mark.parametrize("reason", ["is missing", "is damaged"])
def test_each_file_of_the_reference_is_needed(written, count, reason):
    files = sorted(written.rglob("runs/*.json"))
    assert len(files) == 5
    for path in files[:count]:
        path.unlink() if reason == "is missing" else path.write_text("<<<<<<< HEAD\n")
    text = failure(fixture(written), refuse)
    assert all(f"{path.name} {reason}" in text for path in files[:count])
    assert text.count("not measured: ") == count + 1  # and the summary


@pytest.mark.parametrize("content", ["", "[]", "{}", "<<<<<<< HEAD\n{}", '{"records": 3}'])
def test_damaged_index_is_named(written, content):
    (index,) = written.rglob("index.json")
    index.write_text(content)
    assert "index.json is damaged" in failure(fixture(written), refuse)
    index.unlink()
    assert "index.json is missing" in failure(fixture(written), refuse)


@pytest.mark.parametrize(
    "other", [{"seeds": range(4)}, {"preset": "standard"}, {"d": 7}, {"threads": 2}, {"settings": Settings()}]
)
def test_reference_of_another_call_is_none(written, other):
    assert "is another one: made for" in failure(fixture(written), refuse, **other)


def test_reference_that_was_moved_to_another_test_is_none(written):
    folder = written / "leakybench_reference"
    (folder / f"{key_of('test_mine.py', 'test_a')}.1").rename(folder / f"{key_of('test_mine.py', 'test_b')}.1")
    assert "made for test 'test_a', here 'test_b'" in failure(fixture(written, test="test_b"), refuse)


def test_names_of_tests_and_references_are_one_to_one():
    tests = [
        "TestA::test_x",
        "TestB::test_x",
        "test_x[a/b]",
        "test_x[a b]",
        "test_x[a_b]",
        "Test_x[a_b]",
        "test_x[" + "é" * 200,
    ]
    keys = [key_of(file, test) for test in tests for file in ("test_one.py", "test_two.py")]
    assert len({key.lower() for key in keys}) == len(keys)
    assert all(len(key) < 90 and set(key) & set("/[] ") == set() for key in keys)
    assert keys[0].startswith("test_one.TestA_test_x-")


def test_calls_of_one_test_never_share_a_reference(tmp_path):
    writing = fixture(tmp_path, "first")
    writing(ridge, **TINY, settings=UNTIMED)
    writing(worse, **TINY, settings=UNTIMED)
    reading = fixture(tmp_path)
    assert reading(ridge, **TINY, settings=UNTIMED).kind == "same"
    assert reading(worse, **TINY, settings=UNTIMED).kind == "same"
    assert "no reference" in failure(reading, refuse)


@pytest.mark.parametrize("n", range(1, 5))
def test_few_seeds_pass_only_if_equal_to_the_bit(tmp_path, n):
    asked = {**TINY, "settings": UNTIMED, "seeds": range(n)}
    fixture(tmp_path, "first")(ridge, **asked)
    assert fixture(tmp_path)(ridge, **asked).kind == "same"
    assert ("regressed: " if n >= 3 else "undecided: ") in failure(fixture(tmp_path), worse, **asked)


def test_sleep_in_fit_is_a_regression_of_time(tmp_path):
    asked = {"settings": Settings(yardstick="Ridge-v0"), "budget": 0.0}  # the usual one takes seconds
    fixture(tmp_path, "first")(ridge, **TINY, **asked)
    index = json.loads(next(tmp_path.rglob("index.json")).read_text())
    assert (index["yardstick"], index["reason"], index["threads"]) == ("Ridge-v0", "first", 1)
    assert "regressed: fit time of gate/Mine-v0" in failure(fixture(tmp_path), slow, **asked)


def test_training_runs_under_its_limit_of_threads_which_ends_with_it(tmp_path):
    import torch

    before, seen = torch.get_num_threads(), []

    def counting(train, *, seed, preset):
        seen.append((torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]))
        return ridge(train, seed=seed, preset=preset)

    for threads in (1, 2):
        fixture(tmp_path, "first")(counting, **TINY, settings=UNTIMED, threads=threads, seeds=[0])
    assert seen == [(1, "1"), (2, "2")]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("seeds", [[], [1, 1], [0.5], [-1]])
def test_seeds_that_are_none_or_twice_are_refused(tmp_path, seeds):
    with pytest.raises(UsageError):
        fixture(tmp_path, "first")(refuse, **TINY, seeds=seeds)


def test_failed_training_and_no_reason_keep_the_earlier_reference(written):
    def diverging(train, *, seed, preset):
        return Model(np.full((6, 6), np.nan, dtype=np.float32))

    before = {path: path.read_bytes() for path in written.rglob("*.json")}
    with pytest.raises(UsageError, match="cannot be a reference"):
        fixture(written, "second")(diverging, **TINY, settings=UNTIMED)
    with pytest.raises(UsageError, match="reason"):
        fixture(written, " ")(ridge, **TINY, settings=UNTIMED)
    assert {path: path.read_bytes() for path in written.rglob("*.json")} == before
