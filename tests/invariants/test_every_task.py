"""Contract of every built-in task; newly registered tasks are tested as well."""

import dataclasses
import hashlib
import json
import random
import subprocess
import sys

import numpy as np
import pytest

import leakybench
from leakybench import seeding
from leakybench.measures.certificate import jacobian_ranks
from leakybench.registry import build, tasks
from leakybench.tasks.balance import active_subspace, loss_without_weakest
from leakybench.tasks.factored import FactoredTask

SPECS = {spec.id: spec for spec in tasks if spec.entry_point.startswith("leakybench.tasks.")}
EVERY = sorted(SPECS)
SYNTHETIC = [id for id in EVERY if SPECS[id].true_rank is not None]
REAL = [id for id in EVERY if id not in SYNTHETIC]
BALANCED = [id for id in SYNTHETIC if not SPECS[id].entry_point.endswith(":PowerLaw")]

BAD_SETTINGS = [
    ("d", 0),
    ("d", -3),
    ("d", 2.5),
    ("d", True),
    ("d", "30"),
    ("k", 0),
    ("k", 31),
    ("k", True),
    ("k", 2.5),
    ("n_train", 1),
    ("n_train", 1e3 + 0.5),
    ("n_train", False),
    ("n_test", 0),
    ("n_test", None),
    ("noise", -0.1),
    ("noise", True),
    ("noise", "loud"),
    ("noise", float("inf")),
    ("noise", float("nan")),
    ("width", 0),
    ("width", 64.5),
    ("depth", 0),
    ("depth", True),
    ("bias", -1.0),
    ("bias", None),
    ("bias", 1e300),
    ("reach", 1e9),
    ("branch", 0),
    ("branch", float("nan")),
    ("k_outer", 2),
    ("k_outer", 31),
    ("frequency", 0.0),
    ("frequency", "high"),
    ("block", 1),
    ("block", 10),
    ("reach", 0.0),
    ("reach", -1),
    ("features", 0),
    ("features", 61),
    ("decay", -1.0),
    ("decay", "steep"),
    ("loud", -1),
    ("loud", 2.5),
    ("loudness", 0.0),
    ("even", 1),
    ("even", "yes"),
    ("code_depth", -1),
    ("code_depth", True),
    ("slope", 0.0),
    ("slope", 1.5),
    ("source", "iris"),
    ("source", 3),
]


def settings(id):
    return {field.name for field in dataclasses.fields(SPECS[id].load())} - {"seed", "spec"}


def arrays(task):
    return [task.train.inputs, task.train.targets, task.test.inputs, task.test.targets]


def fingerprint(task):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays(task))).hexdigest()


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(arrays(first), arrays(second), strict=True))


@pytest.fixture(scope="module")
def built():
    """Each task at seed 0, built once."""
    return {id: leakybench.make(id, seed=0) for id in EVERY}


def points(task, n, seed=3):
    return task.sample_inputs(n, np.random.default_rng(seed))


def test_the_registry_holds_the_promised_ids():
    promised = {f"LowRank-k{k}-v0" for k in (1, 2, 3, 5, 10)} | {
        "NestedRank-6-3-v0",
        "Linear-k3-v0",
        "Noisy-k3-v0",
        "MultiIndex-k3-v0",
        "Staircase-k3-v0",
    }
    assert promised <= set(EVERY)
    assert REAL


@pytest.mark.parametrize("id", EVERY)
def test_satisfies_the_contract(id, built):
    task = built[id]
    assert isinstance(task, leakybench.Task)
    assert task.spec == SPECS[id]
    assert task.seed == 0
    assert task.true_rank == SPECS[id].true_rank
    assert SPECS[id].summary
    for split in (task.train, task.test):
        assert isinstance(split, leakybench.Split)  # which checks shapes, float32 and finite values
    assert task.train.inputs.shape[1:] == task.test.inputs.shape[1:]
    assert task.train.targets.shape[1:] == task.test.targets.shape[1:]
    assert task.train is task.train, "the data must be drawn once"


@pytest.mark.parametrize("id", EVERY)
def test_targets_are_vectors(id, built):
    # a scalar target has bottleneck rank 1, so that a larger true rank could not be certified
    assert built[id].train.targets.shape[1] >= max(2, built[id].true_rank or 0)


@pytest.mark.parametrize("id", EVERY)
def test_a_seed_fixes_the_data_and_another_changes_them(id, built):
    assert same(leakybench.make(id, seed=0), built[id])
    other = leakybench.make(id, seed=1)
    for a, b in zip(arrays(built[id]), arrays(other), strict=True):
        assert not np.array_equal(a, b)
    if id in SYNTHETIC:
        x = points(other, 20)
        assert not np.allclose(built[id].teacher(x), other.teacher(x)), "seeds must draw different teachers"


ELSEWHERE = """
import json, hashlib, sys
import leakybench
def fingerprint(id):
    task = leakybench.make(id, seed=0)
    data = (task.train.inputs, task.train.targets, task.test.inputs, task.test.targets)
    return hashlib.sha256(b"".join(array.tobytes() for array in data)).hexdigest()
synthetic, real = json.loads(sys.argv[1])
found = {id: fingerprint(id) for id in reversed(synthetic)}
heavy = [name for name in ("torch", "sklearn") if name in sys.modules]
found |= {id: fingerprint(id) for id in reversed(real)}
print(json.dumps([found, heavy]))
"""


def test_another_process_and_another_order_build_the_same_without_heavy_imports(built):
    command = [sys.executable, "-c", ELSEWHERE, json.dumps([SYNTHETIC, REAL])]
    found, heavy = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert found == {id: fingerprint(task) for id, task in built.items()}
    assert heavy == [], "a synthetic task needs numpy alone"


@pytest.mark.parametrize("id", EVERY)
def test_training_and_test_rows_are_disjoint(id, built):
    rows = np.hstack(
        [
            np.vstack(pair)
            for pair in (
                (built[id].train.inputs, built[id].test.inputs),
                (built[id].train.targets, built[id].test.targets),
            )
        ]
    )
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("id", EVERY)
def test_training_data_are_centred_and_scaled(id, built):
    for array in (built[id].train.inputs, built[id].train.targets):
        data = array.astype(np.float64)
        # float32 rounds each entry, of size up to 10, by at most 1e-6
        assert np.abs(data.mean(axis=0)).max() < 1e-6
        assert np.sqrt(np.mean(data**2)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("id", SYNTHETIC)
def test_test_data_are_scaled_by_training_statistics(id, built):
    task = built[id]
    raw_train = task.sample_inputs(task.n_train, task.rng("train inputs"))
    raw_test = task.sample_inputs(task.n_test, task.rng("test inputs"))
    mean = raw_train.mean(axis=0)
    scale = np.sqrt(np.mean((raw_train - mean) ** 2))
    np.testing.assert_allclose(task.test.inputs, (raw_test - mean) / scale, atol=1e-6)  # float32
    assert np.abs(task.test.inputs.mean(axis=0)).max() > 1e-3, "the test half must not be centred by itself"


@pytest.mark.parametrize("id", EVERY)
def test_training_data_do_not_depend_on_the_number_of_test_rows(id, built):
    task = leakybench.make(id, seed=0, n_test=3)
    assert len(task.test) == 3
    assert np.array_equal(task.train.inputs, built[id].train.inputs)
    assert np.array_equal(task.train.targets, built[id].train.targets)


@pytest.mark.parametrize("id", SYNTHETIC)
def test_training_data_do_not_depend_on_the_test_draws(id, built, monkeypatch):
    draw = seeding.generator
    monkeypatch.setattr(seeding, "generator", lambda name, seed, role: draw(name, seed + 99 * ("test" in role), role))
    task = leakybench.make(id, seed=0)
    assert np.array_equal(task.train.inputs, built[id].train.inputs)
    assert np.array_equal(task.train.targets, built[id].train.targets)
    assert not np.array_equal(task.test.inputs, built[id].test.inputs)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("id", SYNTHETIC)
def test_true_rank_is_certified(id, seed):
    task = leakybench.make(id, seed=seed, n_train=10, n_test=10)
    assert isinstance(task, FactoredTask)
    x = points(task, 40)
    # not higher: f = h o g through R^k
    code = task.code(x)
    assert code.shape == (40, task.true_rank)
    np.testing.assert_array_equal(task.teacher(x), task.decode(code))
    # not lower: the Jacobian reaches rank k, and is no fluke of one point
    ranks = jacobian_ranks(task.teacher, x)
    assert ranks.max() == task.true_rank
    assert np.mean(ranks == task.true_rank) > 0.75


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("id", BALANCED)
def test_every_direction_of_the_code_matters(id, seed):
    task = leakybench.make(id, seed=seed, n_train=10, n_test=10)
    codes = task.code(points(task, 4000))
    spectrum = np.linalg.eigvalsh(np.atleast_2d(np.cov(codes.T)))
    # a white code: the eigenvalues of 4000 samples lie within (1 -+ sqrt(10 / 4000))^2 for k = 10 [Marchenko, Pastur
    # 1967], a ratio of 0.82, and the reference samples of the whitening leave an error of the same size
    assert spectrum[0] > 0.7 * spectrum[-1]
    # a network of rank k - 1 must lose more than any noise of training could hide: at least half of the fair share 1/k
    assert loss_without_weakest(task.decode, codes, np.random.default_rng(0)) > 1 / (2 * task.true_rank)
    assert active_subspace(task.decode, codes)[0][-1] > 1 / (3 * task.true_rank)


@pytest.mark.parametrize("id", SYNTHETIC)
def test_overrides_are_honoured(id, built):
    task = leakybench.make(id, seed=0, d=12, n_train=40, n_test=30, noise=0.5)
    assert task.train.inputs.shape == (40, 12)
    assert task.test.inputs.shape == (30, 12)
    assert task.spec.kwargs == {**SPECS[id].kwargs, "d": 12, "n_train": 40, "n_test": 30, "noise": 0.5}
    assert tasks.spec(id) == SPECS[id], "an override must not change the registered spec"
    assert task.noise_floor == pytest.approx(0.2)
    names = settings(id)
    for name, value in {"k": 2, "width": 24, "depth": 2}.items():
        if name in names:
            changed = leakybench.make(id, seed=0, n_train=40, n_test=30, **{name: value})
            assert getattr(changed, name) == value
            if SPECS[id].kwargs.get(name, "") != value:
                assert not np.array_equal(changed.train.targets, built[id].train.targets[:40])
    if "k" in names:
        assert leakybench.make(id, k=2).true_rank == 2


@pytest.mark.parametrize("id", SYNTHETIC)
def test_fewer_samples_are_the_first_of_more_and_noise_leaves_the_inputs(id, built):
    task = built[id]
    assert np.array_equal(
        task.sample_inputs(50, task.rng("train inputs")), task.sample_inputs(200, task.rng("train inputs"))[:50]
    )
    assert np.array_equal(leakybench.make(id, seed=0, noise=0.9).train.inputs, task.train.inputs)


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS)
def test_bad_settings_get_one_line(name, value):
    takers = [id for id in EVERY if name in settings(id) and not (id in REAL and value is None)]
    assert takers, f"no task has a setting {name}"
    for id in takers:
        with pytest.raises(leakybench.UsageError) as caught:
            leakybench.make(id, seed=0, **{name: value})
        assert "\n" not in str(caught.value)
        assert name in str(caught.value) or "JSON" in str(caught.value)


@pytest.mark.parametrize("id", EVERY)
def test_unknown_settings_and_bad_seeds_are_refused(id):
    with pytest.raises(leakybench.UsageError, match="no setting 'colour'"):
        leakybench.make(id, colour="red")
    with pytest.raises(leakybench.UsageError, match="seed must be an integer"):
        leakybench.make(id, seed=-1)


@pytest.mark.parametrize("id", EVERY)
def test_a_spec_that_went_through_json_builds_the_same(id, built):
    text = built[id].spec.to_json()
    again = build(leakybench.TaskSpec.from_json(text), {}, seed=0)
    assert same(again, built[id])
    assert again.spec.to_json() == text


@pytest.mark.parametrize("id", EVERY)
def test_global_random_state_is_neither_read_nor_written(id, built):
    np.random.seed(12345)  # noqa: NPY002
    random.seed(12345)
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    assert same(leakybench.make(id, seed=0), built[id])
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert random.getstate() == before[1]
