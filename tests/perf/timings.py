"""One training step of the engine, of an ordinary PyTorch network, and of the bare matrix products, timed side by side.

Milliseconds of two machines cannot be compared; the ratio to the plain network or to the floor, timed in turn in the
same process, can.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from leakybench.baselines.networks import initial, steps
from leakybench.baselines.networks.descent import AdamSettings
from leakybench.baselines.networks.matmul import matmul_scope
from leakybench.baselines.networks.objective import FitProblem, Objective
from leakybench.baselines.networks.recursion import Coefficients
from leakybench.baselines.yardstick import LEAK, plain_network

Step = Callable[[], None]
T = TypeVar("T")


def end_dimension(width: int) -> int:
    """Dimension of inputs and outputs in these timings: 30, as in the paper, where the width allows it."""
    return min(30, width)


def plain_step(width: int, samples: int, depth: int, *, compiled: bool = False) -> Step:
    """One full-batch step of the plain network with torch.optim.Adam: gradient of the mean squared error, update."""
    draw = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(samples, end_dimension(width), generator=draw) for _ in range(2))
    network = plain_network(end_dimension(width), width, end_dimension(width), depth, draw)
    network.embedding.requires_grad_(False)  # the engine's ends are fixed too
    network.readout.requires_grad_(False)
    optimiser = torch.optim.Adam(network.hidden.parameters(), lr=1e-4, weight_decay=1e-4)

    def loss() -> Tensor:
        return (network(inputs) - targets).square().mean()

    compute = torch.compile(loss) if compiled else loss

    def step() -> None:
        optimiser.zero_grad()
        compute().backward()
        optimiser.step()

    return step


def engine_step(width: int, samples: int, depth: int, *, runs: int = 1, products: torch.dtype | None = None) -> Step:
    """The same work by this package, for ``runs`` networks: one gradient of the penalised objective, one Adam update.

    ``products`` is the precision of the products, as for ``Objective``.
    """
    draw = torch.Generator().manual_seed(0)
    ends = end_dimension(width)
    problem = FitProblem(
        inputs=torch.randn(runs, ends, samples, generator=draw),
        targets=torch.randn(runs, ends, samples, generator=draw),
        embedding=initial.orthonormal(width, ends, generator=draw).float().repeat(runs, 1, 1),
        readout=initial.orthonormal(ends, width, generator=draw).float().repeat(runs, 1, 1),
        penalty=0.01,
    )
    coefficients = Coefficients.of(steps.uniform(depth), LEAK * depth)
    objective = Objective(problem, coefficients, products=products)
    weights = [initial.signal_preserving(coefficients, width, generator=draw) for _ in range(runs)]
    parameters = objective.initial(torch.stack(weights))
    gradient, first, second = (torch.zeros_like(parameters) for _ in range(3))
    count, settings = torch.zeros(()), AdamSettings(steps=1, rate=1e-4)

    def step() -> None:
        objective.gradient(parameters, gradient)
        count.add_(1)
        torch._fused_adam_(
            [parameters], [gradient], [first], [second], [], [count],
            lr=settings.rate, beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-10, amsgrad=False, maximize=False,
        )  # fmt: skip

    return step


def floor_step(width: int, samples: int, depth: int) -> Step:
    """The floor: the three matrix products of each layer and nothing else."""
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(depth, width, width + 1, generator=draw)
    state = torch.randn(depth, width + 1, samples, generator=draw)
    running, gradient = (torch.randn(width, samples, generator=draw) for _ in range(2))
    back, outer = torch.empty_like(gradient), torch.empty_like(weight)

    def step() -> None:
        for layer in range(depth):
            torch.mm(weight[layer], state[layer], out=running)
        for layer in range(depth):
            torch.mm(gradient, state[layer].mT, out=outer[layer])
            torch.mm(weight[layer, :, :width].mT, gradient, out=back)

    return step


def median_seconds(candidates: Mapping[str, Step], *, rounds: int = 9, warmup: int = 2) -> dict[str, float]:
    """Median seconds of each candidate, timed in turn, so that a machine whose speed drifts slows them all alike."""
    for step in candidates.values():
        for _ in range(warmup):
            step()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, step in candidates.items():
            begun = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in seconds.items()}


def with_chosen_products(step: Step) -> Step:
    """The step under the library of products that a fit would choose; the caller's setting comes back after it."""

    def run() -> None:
        with matmul_scope():
            step()

    return run


def beside_floor(shape: tuple[int, int, int], measure: Callable[[], T], *, rounds: int = 9) -> tuple[T, float]:
    """What ``measure`` returns, and the seconds of a floor step of (w, N, L), the mean of before and after it."""
    step = with_chosen_products(floor_step(*shape))

    def floor() -> float:
        return median_seconds({"floor": step}, rounds=rounds)["floor"]

    before = floor()
    result = measure()
    return result, 0.5 * (before + floor())


def step_seconds(width: int, samples: int, depth: int, *, rounds: int = 9) -> dict[str, float]:
    """Median seconds of a step of the engine, the plain network and the floor at torch's present thread count.

    The plain network runs under the user's own settings of torch, the other two under the chosen library of products.
    """
    shape = (width, samples, depth)
    return median_seconds(
        {
            "plain": plain_step(*shape),
            "engine": with_chosen_products(engine_step(*shape)),
            "floor": with_chosen_products(floor_step(*shape)),
        },
        rounds=rounds,
    )
