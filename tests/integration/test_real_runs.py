"""Real networks through the command line: records do not depend on process, order or number of workers."""

import json
import subprocess
import sys

import pytest

from leakybench.store import Store

SMALL = ["--set", "*Net-*:depth=8", "--set", "*Net-*:width=20", "--set-task", "n_train=80", "--set-task", "n_test=40"]
SMALL += ["--set-task", "d=8"]


def sweep(folder, *arguments):
    command = [sys.executable, "-m", "leakybench", "run", "--task", "LowRank-k2-v0", "--preset", "smoke", *SMALL]
    done = subprocess.run(
        [*command, "--baseline", "LeakyResNet-v0,ResNet-v0,KernelRidge-v0", "--results", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {record.run_id: record for record in Store(folder)}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("once"), "--steps", "uniform,adaptive", "--seeds", "0,1", "--workers", "0")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(
            ["--steps", "uniform,adaptive", "--seeds", "0,1", "--workers", "1"],
            id="another process",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--steps", "adaptive,uniform", "--seeds", "1,0", "--workers", "2"],
            id="other order, two workers",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_records_are_identical_apart_from_times(once, tmp_path, arguments):
    again = sweep(tmp_path, *arguments)
    assert again.keys() == once.keys()
    assert len(once) == 10
    for run_id, record in once.items():
        assert again[run_id].comparable() == record.comparable(), record.run.baseline_label
        assert record.status == "ok"


def test_a_record_carries_what_the_design_promises(once):
    record = next(
        r for r in once.values() if r.run.baseline_label.startswith("LeakyResNet-v0") and "adaptive" in str(r.run)
    )
    assert {"setup", "fit", "evaluation", "measures", "total", "threads"} <= record.wall_clock.keys()
    assert record.wall_clock["threads"] == 1
    training = record.training
    assert {"objective", "criticality_residual", "curve", "evaluations", "lambda", "matmul"} <= training.keys()
    assert {"step_trajectory", "steps_spread", "steps_frozen_at", "step_sizes"} <= training.keys()
    assert {"commit", "processor", "torch", "created"} <= record.provenance.keys()
    assert record.rank_evidence["estimator"]
    assert json.loads(record.to_json())["run_id"] == record.run_id


def test_a_width_that_cannot_hold_the_data_ends_before_anything_runs(tmp_path):
    command = [sys.executable, "-m", "leakybench", "run", "--task", "LowRank-k3-v0", "--baseline", "ResNet-v0"]
    done = subprocess.run(
        [*command, "--set", "width=5", "--results", str(tmp_path / "none")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "width must be at least 30" in done.stderr
    assert not list((tmp_path / "none").glob("*")) if (tmp_path / "none").exists() else True


@pytest.mark.slow
def test_a_run_that_diverges_is_a_result_and_the_others_go_on(tmp_path):
    # a penalty far above what the rank explains: the minimum itself is the constant function
    command = [sys.executable, "-m", "leakybench", "run", "--task", "LowRank-k2-v0", "--baseline", "LeakyResNet-v0"]
    command += ["--preset", "smoke", *SMALL, "--set", "penalty=50.0", "--set", "penalty=0.01"]
    command += ["--results", str(tmp_path), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {record.run.baseline_overrides["penalty"]: record for record in Store(tmp_path)}
    assert found[50.0].status == "collapsed"
    assert found[50.0].bottleneck_rank is None
    assert "constant function" in found[50.0].message
    assert found[0.01].status == "ok"
