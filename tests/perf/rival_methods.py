"""What a user would write to minimise the same objective from the same weights, and this package's own training.

    python -m tests.perf.rival_methods JOB

runs one method in a process of its own, and prints the objective against the seconds as JSON. JOB is JSON, see ``run``.
Nobody's compilation, first call or first touch of memory counts as time.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from leakybench.baselines.networks.matmul import matmul_scope
from leakybench.baselines.networks.training import train_in_stages
from tests.perf.problems import Start, make_start

Points = list[tuple[float, float]]
"""(seconds, objective), falling."""

THINNING = 1e-4
"""A value is recorded where it is lower than the last recorded one by this share, or the lowest of all."""

PAIRS = 20
NO_END = 10**9
"""A number of iterations that no budget allows."""


class BudgetSpentError(Exception):
    """Raised by ``Trace.add`` when the time is over, through whatever optimiser is running."""


class Trace:
    """The lowest objective so far against the seconds since ``begin``.

    Args:
        budget: seconds; None for no end.
        clock: in seconds.
    """

    def __init__(self, budget: float | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.budget = math.inf if budget is None else budget
        self._clock = clock
        self._points: Points = []
        self._lowest = (0.0, math.inf)
        self._begun = clock()

    def begin(self) -> None:
        """Start the clock."""
        self._begun = self._clock()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._begun

    def add(self, value: float) -> None:
        """Record an objective reached now.

        Raises:
            BudgetSpentError: the time is over.
        """
        now = self.seconds
        if value < self._lowest[1]:
            self._lowest = (now, value)
            if not self._points or value < (1.0 - THINNING) * self._points[-1][1]:
                self._points.append(self._lowest)
        if now >= self.budget:
            raise BudgetSpentError

    def points(self) -> Points:
        """What was recorded, the lowest value last."""
        ended = self._points[-1:] == [self._lowest] or math.isinf(self._lowest[1])
        return self._points if ended else [*self._points, self._lowest]


class PlainNetwork(nn.Module):
    """The network of a fit with fixed ends, as a user of PyTorch would write it; rows are samples.

    Args:
        start: whose weights it starts from.
    """

    def __init__(self, start: Start) -> None:
        super().__init__()
        data, self.coefficients = start.data, start.settings.coefficients
        self.decay = data.penalty
        self.inputs = nn.Buffer((data.embedding[0] @ data.inputs[0]).mT.contiguous())
        self.targets = nn.Buffer(data.targets[0].mT.contiguous())
        self.readout = nn.Buffer(data.readout[0].clone())
        width = data.width
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(start.settings.depth))
        with torch.no_grad():
            for layer, weight in zip(self.layers, start.weights[0], strict=True):
                layer.weight.copy_(weight[:, :-1])
                layer.bias.copy_(weight[:, -1])

    @property
    def layers(self) -> list[Any]:
        """The hidden layers; their weights and biases are V."""
        return list(self.hidden)

    def loss(self) -> Tensor:
        """The penalised objective F."""
        c, running = self.coefficients, self.inputs
        for layer, skip, branch in zip(self.hidden, c.skip, c.branch, strict=True):
            moved = layer(torch.relu(running))
            if branch != 1.0:  # a fully-connected network at uniform steps has neither factor
                moved = branch * moved
            running = moved if skip == 0.0 else skip * running + moved
        norms: Any = sum(
            rho * (layer.weight.square().sum() + layer.bias.square().sum())
            for layer, rho in zip(self.layers, c.step_sizes, strict=True)
        )
        cost = (nn.functional.linear(running, self.readout) - self.targets).square().mean()
        return cost + 0.5 * self.decay * norms

    def backward(self) -> Tensor:
        """F, with its gradient left in the parameters."""
        self.zero_grad()
        value = self.loss()
        value.backward()
        return value.detach()


def engine(start: Start, trace: Trace) -> None:
    """This package: continuation in the penalty, then the main phase, along which the objective is recorded."""
    objective, parameters = start.objective()

    def record(iteration: int, value: np.ndarray, residual: np.ndarray) -> None:
        trace.add(float(value[0]))

    with matmul_scope():
        trace.begin()
        train_in_stages(start.recipe, objective, parameters, start.probes(), progress=record)


def decaying(rate: float, share: float, trace: Trace) -> Iterator[float]:
    """Learning rates on a cosine from ``rate`` to 0 by the clock, over a share of the budget."""
    while (done := trace.seconds / (share * trace.budget)) < 1.0:
        yield rate * 0.5 * (1.0 + math.cos(math.pi * done))


def torch_adam(start: Start, trace: Trace, *, rate: float, share: float) -> None:
    """torch.optim.Adam, full batch, until its cosine decay ends."""
    network = PlainNetwork(start)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    network.backward()
    trace.begin()
    for now in decaying(rate, share, trace):
        optimiser.param_groups[0]["lr"] = now
        value = network.backward()
        optimiser.step()
        trace.add(float(value))


def torch_lbfgs(start: Start, trace: Trace) -> None:
    """torch.optim.LBFGS with the line search for the strong Wolfe conditions."""
    network = PlainNetwork(start)
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=NO_END, history_size=PAIRS, tolerance_grad=0.0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        value = network.backward()
        trace.add(float(value))
        return value

    network.backward()
    trace.begin()
    optimiser.step(closure)


def scipy_lbfgs(start: Start, trace: Trace) -> None:
    """scipy's L-BFGS-B on gradients by autograd: in float32 until its line search fails, then in float64."""
    network = PlainNetwork(start)
    parameters = list(network.parameters())

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        vector_to_parameters(torch.from_numpy(flat).to(parameters[0].dtype), parameters)
        value = float(network.backward())
        trace.add(value)
        return value, parameters_to_vector(one.grad for one in parameters).double().numpy()  # type: ignore[misc]

    point = parameters_to_vector(parameters).detach().double().numpy()
    options = {"maxcor": PAIRS, "maxiter": NO_END, "maxfun": NO_END, "ftol": 0.0, "gtol": 0.0}
    network.backward()
    trace.begin()
    for precision in (torch.float32, torch.float64):
        network.to(precision)
        point = minimize(value_and_gradient, point, jac=True, method="L-BFGS-B", options=options).x


def jax_adam(start: Start, trace: Trace, *, rate: float, share: float) -> None:
    """JAX and optax's Adam, compiled, with the same cosine decay."""
    import jax
    import jax.numpy as jnp
    import optax

    loss, weights = jax_loss(start)
    adam = optax.inject_hyperparams(optax.adam)(learning_rate=rate)

    @jax.jit
    def step(weights: Any, state: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(weights)
        updates, state = adam.update(gradient, state)
        return value, optax.apply_updates(weights, updates), state

    state = adam.init(weights)
    _, *warm = step(weights, state)
    jax.block_until_ready(step(*warm))  # the arrays that a first call made may be compiled for anew
    trace.begin()
    for now in decaying(rate, share, trace):
        state.hyperparams["learning_rate"] = jnp.asarray(now, dtype=jnp.float32)
        value, weights, state = step(weights, state)
        jax.block_until_ready(weights)
        trace.add(float(value))


def jax_loss(start: Start) -> tuple[Callable[[Any], Any], Any]:
    """F as a function of the layers' weights and biases, and those to start from."""
    import jax
    import jax.numpy as jnp

    network = PlainNetwork(start)
    c, decay = network.coefficients, network.decay
    inputs, targets, readout = (jnp.asarray(array.numpy()) for array in network.buffers())
    weights = [(jnp.asarray(l.weight.detach().numpy()), jnp.asarray(l.bias.detach().numpy())) for l in network.layers]

    def loss(weights: Any) -> Any:
        running, norms = inputs, 0.0
        for (weight, bias), skip, branch, rho in zip(weights, c.skip, c.branch, c.step_sizes, strict=True):
            running = skip * running + branch * (jax.nn.relu(running) @ weight.T + bias)
            norms += rho * ((weight**2).sum() + (bias**2).sum())
        return jnp.mean((running @ readout.T - targets) ** 2) + 0.5 * decay * norms

    return loss, weights


METHODS: dict[str, Callable[..., None]] = {
    "engine": engine,
    "torch LBFGS": torch_lbfgs,
    "scipy L-BFGS-B": scipy_lbfgs,
    "torch Adam": torch_adam,
    "JAX Adam": jax_adam,
}


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run a method on one thread.

    Args:
        job: ``problem`` (arguments of ``make_start``), ``method``, ``options`` (of the method) and ``seconds`` (the
            budget; None for no end).

    Returns:
        ``points``, and ``seconds`` until the method ended.
    """
    torch.set_num_threads(1)
    trace = Trace(job["seconds"])
    with contextlib.suppress(BudgetSpentError):
        METHODS[job["method"]](make_start(**job["problem"]), trace, **job["options"])
    seconds = trace.seconds
    return {"points": trace.points(), "seconds": seconds}


if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    if chosen["method"] == "JAX Adam" and hasattr(os, "sched_setaffinity"):
        # JAX takes as many threads as it may use processors when it starts
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    print(json.dumps(run(chosen)))
