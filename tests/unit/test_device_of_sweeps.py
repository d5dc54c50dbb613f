"""The device of a sweep: who gets it, which card the workers see, and what is refused before anything trains."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from leakybench.cli import main
from leakybench.engines import limits
from leakybench.engines.environment import CARDS, child_environment, one_card
from leakybench.engines.limits import check_workers
from leakybench.errors import UsageError
from leakybench.gate.reference import gate_jobs
from leakybench.registry import baselines
from leakybench.settings import has_setting
from leakybench.store import Store
from leakybench.sweeps.grid import Grid, parse_setting
from leakybench.sweeps.plan_file import make_grid
from tests.helpers import card, dummies
from tests.helpers.cli import one_line_error

GRID = ("run", "--task", "dummy/Tiny-v0", "--preset", "smoke")


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    dummies.register()
    with card.registered():
        yield


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where torch says that there are cards."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv(CARDS, raising=False)


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_grid_gives_the_device_to_those_that_have_the_setting():
    grid = Grid(tasks=["LowRank-k1-v0"], baselines=["ResNet-v0", "Ridge-v0"], device="cuda")
    overrides = {job.run.baseline: job.run.baseline_overrides for job in grid.jobs()}
    assert overrides == {"ResNet-v0": {"steps": "uniform", "device": "cuda"}, "Ridge-v0": {}}
    assert grid.without_device() == ["Ridge-v0"]
    for fields in ({"baseline_settings": [parse_setting("ResNet-v0:device=cuda:1")]}, {"device": "cuda:1"}):
        with pytest.raises(UsageError, match="choose it with --device cuda:1"):
            dataclasses.replace(grid, **fields)


def test_a_setting_of_one_baseline_goes_before_the_device_of_the_sweep():
    settings = [parse_setting("card/*:device=cpu")]
    grid = Grid(tasks=["dummy/Tiny-v0"], baselines=[card.ID], baseline_settings=settings, device="cuda")
    assert [job.run.baseline_overrides for job in grid.jobs()] == [{}]


def test_a_setting_is_one_that_the_class_declares():
    found = {
        id: has_setting(baselines.spec(id), "device") for id in (card.ID, "Yardstick-v0", "Ridge-v0", "Sklearn-v0")
    }
    assert found == {card.ID: True, "Yardstick-v0": True, "Ridge-v0": False, "Sklearn-v0": False}


@pytest.mark.parametrize(
    ("before", "device", "seen"),
    [
        (None, "cpu", None),
        (None, "cuda", None),
        (None, "cuda:2", "2"),
        # the numbers count among the cards that this process may use, as they do in torch
        ("5,7", "cuda:1", "7"),
        ("GPU-a,GPU-b", "cuda:0", "GPU-a"),
        ("5,7", "cuda", "5,7"),
        ("5,7", "cuda:2", ""),
    ],
)
def test_workers_see_the_chosen_card_alone(before, device, seen, cards, monkeypatch):
    if before is not None:
        monkeypatch.setenv(CARDS, before)
    with one_card(device):
        assert child_environment(1).get(CARDS) == seen
    assert os.environ.get(CARDS) == before


def test_a_card_that_is_not_there_leaves_no_trace(no_card):
    with pytest.raises(UsageError, match="torch finds no CUDA device cuda:3 here"), one_card("cuda:3"):
        pytest.fail("the block must not be entered")
    assert os.environ.get(CARDS) is None


@pytest.mark.parametrize("workers", ["0", "1"])
def test_the_number_of_the_card_reaches_the_runs_and_not_their_identity(workers, cards, tmp_path, capsys):
    where = [*GRID, "--results", str(tmp_path), "--workers", workers]
    assert main([*where, "--baseline", f"{card.ID},Mean-v0", "--device", "cuda:1"]) == 0
    shown = capsys.readouterr()
    assert "no setting 'device', so on the CPU: Mean-v0" in shown.err
    assert "1 of 2 runs were computed on cuda: Test Card." in shown.out
    records = {record.run.baseline_label: record for record in Store(tmp_path)}
    on_card, on_cpu = records[f"{card.ID}[device=cuda]"], records["Mean-v0"]
    assert (on_card.device, on_card.training["seen"], on_cpu.device) == ("cuda: Test Card", "1", "cpu")
    # another card of the machine: the run is there already
    assert main([*where, "--baseline", card.ID, "--device", "cuda:0"]) == 0
    assert "1 already stored" in capsys.readouterr().err
    assert main(["show", on_card.run_id, "--results", str(tmp_path)]) == 0
    assert "device                  cuda: Test Card" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda"], "torch finds no CUDA device cuda here: use --device cpu"),
        (["--device", "cuda:1"], "torch finds no CUDA device cuda:1 here"),
        (["--set", "device=cuda"], "torch finds no CUDA device cuda here"),
        (["--set", "device=cuda:1"], "a run does not hold the number of a card: choose it with --device cuda:1"),
        (["--device", "tpu"], "device must be cpu, cuda or cuda:N, got 'tpu'"),
        (["--device", "cuda:1", "--engine", "dask", "--scheduler", "localhost:1"], "see cards of their own"),
    ],
)
def test_a_device_that_cannot_be_used_is_one_line_before_anything_trains(options, message, no_card, tmp_path, capsys):
    runs = tmp_path / "runs"
    chosen = card.ID if "--set" in options else f"{card.ID},Mean-v0"
    assert main([*GRID, "--baseline", chosen, "--results", str(runs), *options]) == 2
    assert message in one_line_error(capsys.readouterr().err)
    assert not runs.exists()


def _plan(folder: Path, text: str) -> list[str]:
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    return ["run", "--plan", str(folder / "plan.toml"), "--results", str(folder / "runs"), "--workers", "0"]


PLAN = f"""
task = "dummy/Tiny-v0"
baseline = "{card.ID}"
preset = "smoke"
"""


def test_a_plan_file_chooses_the_device(cards, tmp_path, capsys):
    assert main(_plan(tmp_path, f'{PLAN}device = "cuda:1"')) == 0
    (found,) = Store(tmp_path / "runs")
    assert (found.device, found.training["seen"]) == ("cuda: Test Card", "1")
    grids = "".join(f'[[grid]]\ndevice = "{device}"\n' for device in ("cuda:0", "cuda:1", "cpu"))
    capsys.readouterr()
    assert main(_plan(tmp_path, PLAN + grids)) == 2
    assert "a sweep computes on one card, got cuda:0, cuda:1" in one_line_error(capsys.readouterr().err)
    assert main(_plan(tmp_path, f"{PLAN}device = 1")) == 2
    assert "device must be cpu, cuda or cuda:N" in one_line_error(capsys.readouterr().err)


def test_one_worker_has_the_card(monkeypatch):
    monkeypatch.setattr(limits, "cores", lambda: 8)
    assert check_workers(None, 2, on_card=True) == 1
    assert check_workers(0, 2, on_card=True) == 0
    with pytest.raises(UsageError, match="4 workers would share one card"):
        check_workers(4, 2, on_card=True)
    assert check_workers(4, 2, on_card=True, oversubscribe=True) == 4


def test_a_gate_measures_the_yardstick_on_each_device_in_use(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(f'{PLAN.replace(card.ID, f"{card.ID},Mean-v0")}device = "cuda"', encoding="utf-8")
    jobs = gate_jobs(path, "Yardstick-v0")
    # both ahead of what they judge, for the first seed
    assert [(job.run.baseline, job.device) for job in jobs[:2]] == [("Yardstick-v0", "cpu"), ("Yardstick-v0", "cuda")]
    assert {(job.run.baseline, job.device) for job in jobs} == {
        ("Yardstick-v0", "cpu"), ("Yardstick-v0", "cuda"), (card.ID, "cuda"), ("Mean-v0", "cpu"),
    }  # fmt: skip


def test_a_grid_of_a_gate_names_no_card():
    values = {"task": "dummy/Tiny-v0", "baseline": card.ID, "seeds": 0, "preset": "smoke", "device": "cuda:1"}
    with pytest.raises(UsageError, match="does not hold the number of a card"):
        make_grid(values)
