"""The yardstick: a leaky residual network in plain PyTorch, with autograd and torch.optim.Adam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.specs import BaselineSpec, check_device, device_name
from leakybench.task import Split

LEAK = 0.35
"""rho_l Lt of the network; the cost of a step does not depend on it."""

STEPS = {"smoke": 50, "standard": 300, "converged": 1000, "paper": 6000}


@dataclass(frozen=True, kw_only=True)
class PlainModel:
    """A trained plain network."""

    network: Any
    report: FitReport
    device: str = "cpu"

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in)."""
        import torch

        with torch.no_grad():
            return self.network(torch.from_numpy(inputs).to(self.device)).cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """A fixed number of full-batch Adam steps on the mean squared error; the unit in which costs are counted.

    It is timed under torch's own settings.

    Settings:
        depth: L.
        width: w.
        device: where to train, ``cpu``, ``cuda`` or ``cuda:N``; the initial weights are drawn on the CPU.
    """

    depth: int = 20
    width: int = 100
    device: str = "cpu"
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        check_device(self.device)

    def prepare(self) -> None:
        """Import torch."""
        import torch  # noqa: F401

    def fit(self, train: Split, *, seed: int, preset: str) -> PlainModel:
        """Train on (n, d_in) inputs and (n, d_out) targets."""
        import torch

        check_preset(preset)
        draw = seeding.torch_generator("Yardstick", seed, "init")
        inputs, targets = (torch.from_numpy(array).to(self.device) for array in (train.inputs, train.targets))
        network = plain_network(inputs.shape[1], self.width, targets.shape[1], self.depth, draw).to(self.device)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        loss = torch.zeros((), dtype=torch.float32, device=self.device)
        for _ in range(STEPS[preset]):
            optimiser.zero_grad()
            loss = (network(inputs) - targets).square().mean()
            loss.backward()
            optimiser.step()
        values = {
            "cost": float(loss.detach()),
            "evaluations": STEPS[preset],
            "threads": torch.get_num_threads(),
            "device": device_name(self.device),
        }
        return PlainModel(network=network, report=FitReport(values=values), device=self.device)


def plain_network(d_in: int, width: int, d_out: int, depth: int, draw: Any) -> Any:
    """An ``nn.Module`` (n, d_in) -> (n, d_out): ``depth`` leaky layers between linear ends, drawn from ``draw``."""
    import torch
    from torch import Tensor, nn

    class PlainNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kind: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
            self.embedding = nn.Linear(d_in, width, bias=False, **kind)
            self.hidden = nn.ModuleList(nn.Linear(width, width, **kind) for _ in range(depth))
            self.readout = nn.Linear(width, d_out, bias=False, **kind)

        def forward(self, inputs: Tensor) -> Tensor:
            running = self.embedding(inputs)
            for layer in self.hidden:
                running = (1.0 - LEAK) * running + LEAK * layer(torch.relu(running))
            return self.readout(running)

    with torch.random.fork_rng(devices=[]):  # torch's own initialisation draws from the global generator
        network: Any = PlainNetwork()
    gain = ((2.0 - LEAK) / LEAK) ** 0.5  # keeps the norm, see leakybench.baselines.networks.initial.signal_preserving
    with torch.no_grad():
        for layer in network.hidden:
            layer.weight.normal_(std=gain * (2.0 / width) ** 0.5, generator=draw)
            layer.bias.zero_()
        network.embedding.weight.normal_(std=d_in**-0.5, generator=draw)
        network.readout.weight.normal_(std=width**-0.5, generator=draw)
    return network
