"""Ordinary modules as baselines: a plain network, a pre-activation residual network, a transformer block."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

import leakybench
from leakybench.provenance import source_of

SMALL = {"d": 8, "n_train": 150, "n_test": 60}


def plain(d_in: int, d_out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(d_in, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, d_out))


class Block(nn.Module):
    """x + W2 relu(W1 relu(norm(x))): the activation before the weights (He et al. 2016, arXiv 1603.05027)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(torch.relu(self.first(torch.relu(self.norm(x)))))


class PreActivation(nn.Module):
    def __init__(self, d_in: int, d_out: int, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.embed, self.readout = nn.Linear(d_in, width), nn.Linear(width, d_out)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.readout(x)


class Transformer(nn.Module):
    """Each input coordinate is a token: value times a direction, plus a place."""

    def __init__(self, d_in: int, d_out: int, width: int = 16) -> None:
        super().__init__()
        self.value, self.place = nn.Parameter(torch.randn(width)), nn.Parameter(torch.randn(d_in, width))
        self.block = nn.TransformerEncoderLayer(
            width, nhead=2, dim_feedforward=32, dropout=0.1, batch_first=True, norm_first=True
        )
        self.readout = nn.Linear(d_in * width, d_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x[:, :, None] * self.value + self.place
        return self.readout(self.block(tokens).flatten(1))


LAYERS = {plain: ["0", "1", "2", "3", "4"], PreActivation: ["embed", "blocks.0", "blocks.1", "blocks.2", "readout"]}
LAYERS[Transformer] = ["block", "readout"]


@pytest.mark.parametrize("factory", [plain, PreActivation, Transformer])
def test_any_module_is_evaluated_and_shows_its_states(factory) -> None:
    task = leakybench.make("LowRank-k2-v0", **SMALL)
    baseline = leakybench.wrap_module(factory)
    record = leakybench.evaluate(baseline, task, preset="smoke")
    assert record.status == "ok"
    assert record.test_error < 0.9
    assert record.bottleneck_rank is not None
    assert record.training["evaluations"] == 150
    model = baseline.fit(task.train, seed=0, preset="smoke")
    states = model.hidden(task.test.inputs)
    assert list(states) == LAYERS[factory]
    last = states[LAYERS[factory][-1]]
    np.testing.assert_array_equal(last.astype(np.float32), model.predict(task.test.inputs))
    assert set(model.hidden_ranks(task.test.inputs)) == set(states)
    assert not isinstance(model, leakybench.baseline.TraceableModel), "it has no weights of the recursion to show"


@pytest.mark.parametrize("factory", [plain, pytest.param(Transformer, marks=pytest.mark.slow)])
def test_the_checker_passes_a_module(factory) -> None:
    report = leakybench.check_baseline(leakybench.wrap_module(factory))
    assert report.passed, report


def test_a_trainer_of_ones_own_and_chosen_layers() -> None:
    def one_step(module, inputs, targets, *, seed, preset):
        with torch.no_grad():
            module[4].bias.copy_(targets.mean(0))
        return {"note": f"{preset} {seed}"}

    task = leakybench.make("LowRank-k2-v0", **SMALL)
    baseline = leakybench.wrap_module(plain, trainer=one_step, layers=["3"], name="bias only")
    record = leakybench.evaluate(baseline, task, preset="smoke")
    assert record.training["note"] == "smoke 0"
    assert record.run.baseline == "module/BiasOnly-v0"
    model = baseline.fit(task.train, seed=0, preset="smoke")
    assert list(model.hidden(task.test.inputs)) == ["3"]
    wrong = leakybench.wrap_module(plain, trainer=one_step, layers=["17"]).fit(task.train, seed=0, preset="smoke")
    with pytest.raises(leakybench.UsageError, match="the module has no submodule '17'; it has: 0, 1"):
        wrong.hidden(task.test.inputs)


def copy_mean(module, inputs, targets, *, seed, preset):
    with torch.no_grad():
        module[4].bias.copy_(targets.mean(0))


def test_the_spec_names_the_code_of_the_trainer() -> None:
    default, own = leakybench.wrap_module(plain).spec, leakybench.wrap_module(plain, trainer=copy_mean).spec
    assert default.kwargs["trainer"] == "leakybench.module_baseline:train_with_adam"
    assert own.kwargs["trainer"] == f"{__name__}:copy_mean"
    # a function without a place of its own in a module has only its bare name
    inner = leakybench.wrap_module(plain, trainer=lambda module, x, y, *, seed, preset: None)
    assert inner.spec.kwargs["trainer"] == "<lambda>"
    shadowed = functools.wraps(copy_mean)(lambda module, x, y, *, seed, preset: None)
    assert leakybench.wrap_module(plain, trainer=shadowed).spec.kwargs["trainer"] == "copy_mean"


def test_the_source_version_follows_the_trainer() -> None:
    task = leakybench.spec("LowRank-k2-v0")
    elsewhere = source_of(task, leakybench.wrap_module(plain).spec)
    assert source_of(task, leakybench.wrap_module(plain, trainer=copy_mean).spec) != elsewhere


@pytest.mark.parametrize(
    ("factory", "trainer", "message"),
    [
        (3, None, "wrap_module requires a callable factory"),
        (lambda d_in: nn.Linear(d_in, 1), None, r"a factory takes \(d_in, d_out\)"),
        (plain, lambda module: None, r"a trainer takes \(module, inputs, targets"),
    ],
)
def test_bad_arguments_are_one_line(factory, trainer, message) -> None:
    with pytest.raises(leakybench.UsageError, match=message) as caught:
        leakybench.wrap_module(factory, trainer=trainer)
    assert "\n" not in str(caught.value)


def test_a_bad_module_is_one_line() -> None:
    task = leakybench.make("LowRank-k2-v0", **SMALL)
    with pytest.raises(leakybench.UsageError, match=r"the module maps \(2, 8\) to \(2, 3\), expected \(2, 8\)"):
        leakybench.wrap_module(lambda d_in, d_out: nn.Linear(d_in, 3)).fit(task.train, seed=0, preset="smoke")
    with pytest.raises(leakybench.UsageError, match=r"must return a torch.nn.Module, got int"):
        leakybench.wrap_module(lambda d_in, d_out: 3).fit(task.train, seed=0, preset="smoke")


def test_divergence_is_a_status() -> None:
    def explode(module, inputs, targets, *, seed, preset):
        with torch.no_grad():
            module[4].bias.fill_(float("nan"))

    task = leakybench.make("LowRank-k2-v0", **SMALL)
    assert (
        leakybench.evaluate(leakybench.wrap_module(plain, trainer=explode), task, preset="smoke").status == "diverged"
    )
