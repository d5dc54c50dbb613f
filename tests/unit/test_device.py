"""Devices in settings, identities, clocks and records; tests that need a GPU are skipped without one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import leakybench
from leakybench.analysis.scores import machine_of
from leakybench.engines.job import Job, failures
from leakybench.errors import UsageError
from leakybench.evaluation import Clock, device_of, run_spec
from leakybench.record import Record, RunSpec
from leakybench.specs import BaselineSpec, TaskSpec, check_device, device_name, identity_overrides
from tests.helpers.card import CardMean
from tests.helpers.records import run_spec as run_spec_of

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
TASK = {"d": 4, "n_train": 30, "n_test": 20}
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


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
    assert run(device="cuda:1").baseline_overrides.get("device") == "cuda"
    assert run(device="cuda:1").baseline_label.startswith(f"{id}[device=cuda")
    assert leakybench.make_baseline(id, device="cuda:1").device == "cuda:1"


def test_the_identity_of_runs_on_the_cpu_is_that_of_runs_before_devices():
    stored = "001e9af0aec9948f9e7a4cbc"  # of results/reference/records, made before baselines had a device
    data = json.loads((REFERENCE / "records" / f"{stored}.json").read_text(encoding="utf-8"))
    assert RunSpec.from_dict(data["run"]).run_id == data["run_id"] == stored
    assert "device" not in data["wall_clock"]
    assert Record.from_dict(data).device == "cpu"
    spelled_out = identity_overrides({**data["run"]["baseline_overrides"], "device": "cpu"}, {})
    assert RunSpec.from_dict({**data["run"], "baseline_overrides": spelled_out}).run_id == stored


@pytest.mark.parametrize(
    ("settings", "registered", "wanted"),
    [
        ({"device": "cpu"}, {}, {}),
        ({"device": "cuda"}, {}, {"device": "cuda"}),
        ({"device": "cuda:3", "depth": 2}, {"depth": 2}, {"device": "cuda"}),
        # an id that is registered for a card, on the card and off it
        ({"device": "cuda"}, {"device": "cuda"}, {}),
        ({"device": "cuda:1"}, {"device": "cuda"}, {}),
        ({"device": "cpu"}, {"device": "cuda"}, {"device": "cpu"}),
        ({"depth": 2}, {"depth": 3}, {"depth": 2}),
        ({"depth": None}, {}, {"depth": None}),
    ],
)
def test_overrides_count_what_changes_a_result(settings, registered, wanted):
    assert identity_overrides(settings, registered) == wanted


def test_no_id_is_registered_with_another_device():
    with pytest.raises(UsageError, match="device must be cpu, cuda or cuda:N, got 'mps'"):
        BaselineSpec(id="card/Net-v0", entry_point="nets:Net", kwargs={"device": "mps"})


def test_a_record_states_its_device_and_is_timed_with_its_like_alone():
    task = leakybench.make("LowRank-k1-v0", seed=0, **TASK)
    on_card = leakybench.evaluate(CardMean(device="cuda"), task, preset="smoke")
    on_cpu = leakybench.evaluate(leakybench.make_baseline("Yardstick-v0", depth=1, width=4), task, preset="smoke")
    assert (on_card.device, on_cpu.device) == ("cuda: Test Card", "cpu")
    assert on_cpu.wall_clock["device"] == "cpu"
    assert "device" not in {**on_card.training, **on_cpu.training}
    # times are compared within one machine's name
    machines = [machine_of(record.provenance) for record in (on_card, on_cpu)]
    assert "cuda: Test Card" in machines[0]
    assert machines[0] != machines[1]


@pytest.mark.parametrize("mode", ["silent", "diverged"])
def test_a_run_that_cannot_name_its_card_is_not_said_to_be_on_the_cpu(mode):
    task = leakybench.make("LowRank-k1-v0", seed=0, **TASK)
    assert leakybench.evaluate(CardMean(device="cuda", mode=mode), task, preset="smoke").device == "cuda"
    assert leakybench.evaluate(CardMean(mode=mode), task, preset="smoke").device == "cpu"


def test_a_failed_run_states_the_kind_of_its_device():
    run = run_spec_of(baseline_overrides={"device": "cuda:1"})
    for overrides, device in ((run.baseline_overrides, "cuda"), ({}, "cpu")):
        specs = {
            "task_spec": TaskSpec(id=run.task, entry_point="a:B"),
            "baseline_spec": BaselineSpec(id=run.baseline, entry_point="a:B"),
        }
        job = Job(run=dataclasses.replace(run, baseline_overrides=overrides), **specs)
        (outcome,) = failures(job, "timeout", "too slow", seconds=1.0, threads=1)
        assert (job.device, outcome.record.device) == (device, device)


def test_clocks_wait_for_the_card_at_both_ends(monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", events.append)
    with Clock("cuda:1")("fit"):
        events.append("work")
    assert events == ["cuda:1", "work", "cuda:1"]
    events.clear()
    # an error of the card is not replaced by one of waiting for it
    with pytest.raises(ZeroDivisionError), Clock("cuda")("fit"):
        raise ZeroDivisionError
    assert events == ["cuda"]
    events.clear()
    with Clock()("fit"):
        pass
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    with Clock("cuda")("fit"):
        pass
    assert events == []


def test_the_fit_is_timed_by_a_clock_of_its_device(monkeypatch):
    waits = []
    monkeypatch.setattr("leakybench.evaluation.clock.synchronise", waits.append)
    task = leakybench.make("LowRank-k1-v0", seed=0, **TASK)
    leakybench.evaluate(CardMean(device="cuda:1"), task, preset="smoke")
    assert set(waits) == {"cuda:1"}
    assert [device_of(thing) for thing in (object(), torch.nn.Linear(1, 1), CardMean(device="cuda"))] == [
        "cpu", "cpu", "cuda",
    ]  # fmt: skip
    assert device_of(SimpleNamespace(device=torch.device("cuda", 1))) == "cuda:1"


@needs_cuda
def test_the_yardstick_trains_on_the_card_from_the_same_weights():
    task = leakybench.make("LowRank-k1-v0", seed=0, **TASK)
    settings = {"depth": 2, "width": 8}
    baselines = [leakybench.make_baseline("Yardstick-v0", device=device, **settings) for device in ("cpu", "cuda")]
    both = [baseline.fit(task.train, seed=0, preset="smoke") for baseline in baselines]
    assert both[1].report.values["device"] == f"cuda: {torch.cuda.get_device_name('cuda')}"
    predictions = [model.predict(task.test.inputs) for model in both]
    assert type(predictions[1]) is np.ndarray
    # a few hundred Adam steps amplify the rounding of the products
    np.testing.assert_allclose(predictions[1], predictions[0], atol=0.05)


@needs_cuda
def test_a_record_of_the_card_names_it():
    task = leakybench.make("LowRank-k1-v0", seed=0, **TASK)
    baseline = leakybench.make_baseline("Yardstick-v0", depth=2, width=8, device="cuda:0")
    record = leakybench.evaluate(baseline, task, preset="smoke")
    assert record.status == "ok"
    assert record.device == device_name("cuda:0") != "cpu"
    assert record.run.baseline_overrides["device"] == "cuda"


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
