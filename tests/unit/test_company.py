"""A run's result does not depend on the code that its process ran before, and a change of global state is named."""

from __future__ import annotations

import builtins
import importlib
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import leakybench
from leakybench.baseline import FitReport
from leakybench.engines.execute import execute
from leakybench.engines.job import Job
from leakybench.evaluation import run_spec
from leakybench.record import Record
from leakybench.registry import baselines, build, tasks
from leakybench.surroundings import Change, ImportClock, kept
from tests.helpers.polluters import INVISIBLE, WAYS, write_polluters

TASK = ("Linear-k3-v0", {"d": 6, "n_train": 60, "n_test": 40})
NETWORK = {"depth": 9, "width": 12}
BASELINES: dict[str, dict[str, object]] = {
    "Mean-v0": {},
    "Ridge-v0": {},
    "KernelRidge-v0": {},
    "LeakyResNet-v0": NETWORK,
    "Yardstick-v0": NETWORK,
    "TargetComponents-v0": {},
}


def job_of(baseline: str, overrides: dict[str, object] | None = None) -> Job:
    task_id, settings = TASK
    built = build(baselines.spec(baseline), overrides or {})
    task = leakybench.make(task_id, seed=0, **settings)
    run = run_spec(built, task, seed=0, preset="smoke")
    return Job(run=run, task_spec=tasks.spec(task_id), baseline_spec=baselines.spec(baseline))


def record_of(baseline: str, overrides: dict[str, object] | None = None) -> Record:
    (outcome,) = execute(job_of(baseline, overrides), threads=1)
    return outcome.record


@pytest.fixture(scope="module")
def lone() -> dict[str, dict[str, object]]:
    """What each baseline gives before any polluter ran."""
    return {baseline: record_of(baseline, overrides).comparable() for baseline, overrides in BASELINES.items()}


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The ids of the polluters, by way; none of their modules is imported yet."""
    entry_points = write_polluters(tmp_path / "plugins")
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    ids = {way: f"pollute/{way.title().replace('_', '')}-v0" for way in WAYS}
    for way, entry_point in zip(WAYS, entry_points, strict=True):
        baselines.register(ids[way], entry_point)
    yield ids
    for way, id in ids.items():
        baselines.unregister(id)
        sys.modules.pop(f"pollute_{way}", None)


def test_no_polluter_changes_a_later_record(plugins, lone):
    for way, id in plugins.items():
        polluted = record_of(id)
        assert polluted.status == "ok", polluted.message
        assert record_of("LeakyResNet-v0", NETWORK).comparable() == lone["LeakyResNet-v0"], way
        if way not in INVISIBLE:
            named = polluted.provenance["surroundings"]
            assert any(text.startswith("on import, ") for text in named), (way, named)
            assert any(not text.startswith("on import, ") for text in named) or way == "generators", (way, named)
    for baseline, overrides in BASELINES.items():
        record = record_of(baseline, overrides)
        assert record.comparable() == lone[baseline], baseline
        # beartype, which checks measures under pytest alone, draws from the module random
        named = set(record.provenance.get("surroundings", ())) - {
            "generator of the module random: was drawn from or seeded"
        }
        assert not named, named


def test_the_second_run_of_a_polluter_equals_its_first(plugins):
    for way, id in plugins.items():
        first, second = record_of(id), record_of(id)
        assert first.comparable() == second.comparable(), way
        assert first.provenance.get("surroundings") == second.provenance.get("surroundings"), way


def test_the_record_names_what_was_changed_and_not_the_values(plugins):
    named = {way: " | ".join(record_of(id).provenance.get("surroundings", [])) for way, id in plugins.items()}
    assert "torch default dtype: torch.float32 -> torch.float64" in named["dtype"]
    assert "torch default device: cpu -> meta" in named["device"]
    assert "numpy.random.default_rng" in named["patched_numpy"]
    assert "leakybench.task.Normaliser.fit" in named["patched_package"]
    assert "leakybench.baselines.ridge.Ridge.fit" in named["patched_package"]
    assert "LEAKYBENCH_MATMUL added" in named["environment"]
    assert "HOME removed" in named["environment"]
    assert "medium" not in named["environment"]
    assert "SIGTERM, SIGUSR1" in named["signals"].replace("SIGUSR1, SIGTERM", "SIGTERM, SIGUSR1")
    assert "working directory: changed" in named["folder"]


@pytest.mark.parametrize("baseline", ["LeakyResNet-v0", "Yardstick-v0", "KernelRidge-v0"])
def test_the_callers_own_settings_neither_decide_a_record_nor_are_lost(baseline, lone):
    caller = np.random.default_rng(0)
    random.seed(3)
    np.random.seed(4)  # noqa: NPY002 - the global one is meant
    torch.manual_seed(5)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True)
    try:
        with torch.device("meta"), torch.inference_mode(), np.errstate(all="raise"):
            record = record_of(baseline, BASELINES[baseline])
            assert np.geterr()["under"] == "raise"
            assert torch.is_inference_mode_enabled()
            assert torch.get_default_device().type == "meta"
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        torch.use_deterministic_algorithms(False)
    assert record.comparable() == lone[baseline]
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert torch.random.get_rng_state().equal(states[2])
    assert caller.integers(10) == np.random.default_rng(0).integers(10)


def test_runs_in_several_threads_at_once_equal_lone_ones_and_leave_the_callers_settings(lone):
    """Each run has its own float32 products and seeds, and the last one puts the caller's state back."""
    before = builtins.__import__, importlib.import_module
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with ThreadPoolExecutor(3) as pool:
            records = list(pool.map(lambda _: record_of("LeakyResNet-v0", NETWORK), range(9)))
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(record.comparable() == lone["LeakyResNet-v0"] for record in records)
    named = {text for record in records for text in record.provenance.get("surroundings", ())}
    assert named <= {"generator of the module random: was drawn from or seeded"}
    assert torch.random.get_rng_state().equal(state)
    assert (builtins.__import__, importlib.import_module) == before


def test_clocks_of_threads_that_overlap_count_their_own_imports_and_put_the_functions_back(tmp_path, monkeypatch):
    before = builtins.__import__, importlib.import_module
    (tmp_path / "slow_one.py").write_text(SLOW_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    first, second = ImportClock(), ImportClock()
    entered, left = threading.Event(), threading.Event()

    def other() -> None:
        with second:
            entered.set()
            left.wait(10.0)

    thread = threading.Thread(target=other)
    with first:
        thread.start()
        entered.wait(10.0)
        importlib.import_module("slow_one")
    # the clock that opened first is closed while the other one is open
    left.set()
    thread.join()
    sys.modules.pop("slow_one")
    assert (builtins.__import__, importlib.import_module) == before
    assert first.seconds >= 0.3
    assert second.seconds < 0.15


class Drawing:
    """Draws from the global generators, as careless code does."""

    def fit(self, train, *, seed, preset):
        draws = [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002

        class Model:
            report = FitReport(values={"draws": draws})

            def predict(self, inputs):
                return np.zeros((len(inputs), train.targets.shape[1]))

        return Model()


def test_draws_from_the_global_generators_depend_on_the_run_alone():
    def draws(seed: int) -> object:
        task = leakybench.make(TASK[0], seed=seed, **TASK[1])
        return leakybench.evaluate(Drawing(), task, seed=seed, preset="smoke").training["draws"]

    first = draws(0)
    random.random()
    np.random.rand(7)  # noqa: NPY002
    torch.rand(7)
    assert draws(0) == first
    assert draws(1) != first


# -- imports and threads ----------------------------------------------------------------------------------------------

SLOW_MODULE = "import time\ntime.sleep(0.3)\n"


class Importing:
    """Imports a slow module while it trains."""

    def __init__(self, statement: str) -> None:
        self.statement = statement

    def fit(self, train, *, seed, preset):
        exec(self.statement)

        class Model:
            def predict(self, inputs):
                return np.zeros((len(inputs), train.targets.shape[1]))

        return Model()


@pytest.mark.parametrize(
    "statement", ["import slow_one", "import importlib; importlib.import_module('slow_one')", "import slow_outer"]
)
def test_an_import_inside_a_fit_is_no_training(statement, tmp_path, monkeypatch):
    (tmp_path / "slow_one.py").write_text(SLOW_MODULE)
    (tmp_path / "slow_outer.py").write_text("import slow_one\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    task = leakybench.make(TASK[0], **TASK[1])
    try:
        record = leakybench.evaluate(Importing(statement), task, preset="smoke")
    finally:
        for name in ("slow_one", "slow_outer"):
            sys.modules.pop(name, None)
    assert record.wall_clock["fit"] < 0.15  # half of the module's sleep: far from both outcomes
    assert record.wall_clock["setup"] >= 0.3
    phases = ("setup", "fit", "evaluation", "measures")
    assert record.wall_clock["total"] == pytest.approx(sum(record.wall_clock[phase] for phase in phases))


def test_the_clock_of_imports_leaves_the_import_as_it_was():
    before = builtins.__import__, importlib.import_module
    clock = ImportClock()
    with pytest.raises(ModuleNotFoundError), clock:
        import leakybench_no_such_module  # noqa: F401
    assert (builtins.__import__, importlib.import_module) == before
    assert 0.0 < clock.seconds < 5.0


class Threading:
    """Multiplies matrices with the number of threads that it likes, and says another one."""

    def __init__(self, count: int) -> None:
        self.count = count

    def fit(self, train, *, seed, preset):
        torch.set_num_threads(self.count)

        class Model:
            report = FitReport(values={"threads": 17})

            def predict(self, inputs):
                return np.zeros((len(inputs), train.targets.shape[1]))

        return Model()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_record_states_the_threads_that_were_used(count):
    before = torch.get_num_threads()
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        record = leakybench.evaluate(Threading(count), leakybench.make(TASK[0], **TASK[1]), preset="smoke")
    assert record.wall_clock["threads"] == count
    assert torch.get_num_threads() == before


def test_processors_that_were_busy_beyond_the_allowed_threads_are_counted():
    from leakybench.surroundings import Processor, threads_of

    processor = Processor()
    processor.seconds, processor.busy = 1.0, 5.6
    assert threads_of(processor) >= 6
    processor.seconds = 0.1  # too short to tell
    assert threads_of(processor) < 6


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_state_is_put_back_after_an_exception_and_its_change_is_told():
    changes: list[Change] = []
    folder = os.getcwd()

    def spoil() -> None:
        os.chdir("/")
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        warnings.simplefilter("ignore")
        sys.setrecursionlimit(5000)
        os.umask(0o077)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), kept(changes):
        spoil()
    assert os.getcwd() == folder
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
    names = {change.name for change in changes}
    assert {"working directory", "signal handlers", "warning filters", "recursion limit"} <= names
    assert os.umask(0o022) != 0o077


def test_a_block_that_changes_nothing_has_no_changes():
    changes: list[Change] = []
    with kept(changes):
        pass
    assert changes == []
