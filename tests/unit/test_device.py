"""Devices in settings, identities, records and comparisons; no test here needs a GPU."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import leakybench
from leakybench.analysis.scores import machine_of
from leakybench.baseline import FitReport
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.evaluation import run_spec
from leakybench.specs import check_device
from leakybench.sweeps.grid import Grid, parse_setting

TASK = {"d": 4, "n_train": 30, "n_test": 20}


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:12", np.str_("cuda")])
def test_devices_are_accepted(device):
    assert check_device(device) == str(device)


@pytest.mark.parametrize(
    "device", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:a", "cpu:0", "mps", " cpu", 0, None, True]
)
def test_anything_else_is_refused(device):
    with pytest.raises(UsageError, match="device must be cpu, cuda or cuda:N"):
        check_device(device)
    with pytest.raises(UsageError, match="device must be cpu, cuda or cuda:N"):
        leakybench.make_baseline("ResNet-v0", device=device)


@pytest.mark.parametrize("id", ["LeakyResNet-v0", "Yardstick-v0"])
def test_the_identity_counts_the_kind_of_device_alone(id):
    task = leakybench.make("LowRank-k1-v0", seed=0, **TASK)

    def run(**settings):
        return run_spec(leakybench.make_baseline(id, **settings), task, seed=0, preset="smoke")

    assert run(device="cpu").run_id == run().run_id
    assert run(device="cuda").run_id == run(device="cuda:1").run_id != run().run_id
    assert run(device="cuda:1").baseline_label == f"{id}[device=cuda]"
    assert leakybench.make_baseline(id, device="cuda:1").device == "cuda:1"


def test_a_grid_gives_the_device_to_those_that_have_the_setting():
    grid = Grid(tasks=["LowRank-k1-v0"], baselines=["ResNet-v0", "Ridge-v0"], device="cuda")
    overrides = {job.run.baseline: job.run.baseline_overrides for job in grid.jobs()}
    assert overrides == {"ResNet-v0": {"steps": "uniform", "device": "cuda"}, "Ridge-v0": {}}
    assert grid.without_device() == ["Ridge-v0"]
    with pytest.raises(UsageError, match="choose it with --device cuda:1"):
        dataclasses.replace(grid, baseline_settings=[parse_setting("ResNet-v0:device=cuda:1")])


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnACard:
    """A baseline that says it ran on a card."""

    report: FitReport = dataclasses.field(default_factory=lambda: FitReport(values={"device": "cuda: Some Card"}))

    def fit(self, train, *, seed, preset):
        return self

    def predict(self, inputs):
        return np.zeros((len(inputs), 4), dtype=np.float32)


def test_a_record_states_its_device_and_is_timed_with_its_like_alone():
    task = leakybench.make("LowRank-k1-v0", seed=0, **TASK)
    on_card = leakybench.evaluate(OnACard(), task, preset="smoke")
    on_cpu = leakybench.evaluate(leakybench.make_baseline("Yardstick-v0", depth=1, width=4), task, preset="smoke")
    assert on_card.wall_clock["device"] == "cuda: Some Card"
    assert on_cpu.wall_clock["device"] == "cpu"
    assert "device" not in {**on_card.training, **on_cpu.training}
    # times are compared within one machine's name
    machines = [machine_of(record.provenance) for record in (on_card, on_cpu)]
    assert "cuda: Some Card" in machines[0]
    assert machines[0] != machines[1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_card_that_is_not_there_is_one_line(tmp_path, capsys):
    arguments = ["run", "--task", "LowRank-k1-v0", "--baseline", "ResNet-v0", "--results", str(tmp_path / "runs")]
    messages = {"cuda": "torch finds no CUDA device cuda here", "tpu": "device must be cpu, cuda or cuda:N"}
    for device, message in messages.items():
        assert main([*arguments, "--device", device]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    assert not (tmp_path / "runs").exists()


def test_the_yardstick_needs_none_of_torchs_defaults():
    task = leakybench.make("LowRank-k1-v0", seed=0, **TASK)
    baseline = leakybench.make_baseline("Yardstick-v0", depth=2, width=4)
    wanted = baseline.fit(task.train, seed=0, preset="smoke").predict(task.test.inputs)
    dtype = torch.get_default_dtype()
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    try:
        found = baseline.fit(task.train, seed=0, preset="smoke").predict(task.test.inputs)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)
    np.testing.assert_array_equal(found, wanted)
