"""The plain network under torch.compile and in JAX, beside the engine, in a process of its own.

    python -m tests.perf.compilers THREADS

prints median seconds of one step as JSON. JAX fixes its number of threads when it starts, so each thread count takes a
new process. It is measured where it is installed; the project does not depend on it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import Any

import torch

from leakybench.baselines.yardstick import LEAK, plain_network
from tests.perf import timings
from tests.perf.timings import Step

SHAPE = (100, 1000, 20)


def jax_step(width: int, samples: int, depth: int) -> Step:
    """One full-batch step of the plain network with Adam, compiled by JAX; the work of ``timings.plain_step``."""
    import jax
    import jax.numpy as jnp

    draw = torch.Generator().manual_seed(0)
    ends = timings.end_dimension(width)
    inputs, targets = (jnp.asarray(torch.randn(samples, ends, generator=draw).numpy()) for _ in range(2))
    network = plain_network(ends, width, ends, depth, draw)

    def array(tensor: torch.Tensor) -> Any:
        return jnp.asarray(tensor.detach().numpy())

    embedding, readout = array(network.embedding.weight), array(network.readout.weight)
    weights = [(array(layer.weight), array(layer.bias)) for layer in network.hidden]

    def loss(weights: Any) -> Any:
        running = inputs @ embedding.T
        for weight, bias in weights:
            running = (1.0 - LEAK) * running + LEAK * (jax.nn.relu(running) @ weight.T + bias)
        return jnp.mean((running @ readout.T - targets) ** 2)

    def adam(weights: Any, first: Any, second: Any, count: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(weights)
        gradient = jax.tree.map(lambda g, w: g + 1e-4 * w, gradient, weights)
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        rate, correction = 1e-4 / (1 - 0.9**count), 1 - 0.999**count
        moved = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v / correction) + 1e-8), weights, first, second)
        return value, moved, first, second, count

    compiled = jax.jit(adam, donate_argnums=(0, 1, 2))
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.zeros(()))

    def step() -> None:
        nonlocal state
        value, *state = compiled(*state)
        jax.block_until_ready((value, state))

    return step


def time_compilers(threads: int) -> dict[str, float]:
    """Median seconds of a step of each candidate that is installed."""
    if hasattr(os, "sched_setaffinity"):  # before JAX starts: it takes as many threads as it may use processors
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)

    candidates = {
        "engine": timings.with_chosen_products(timings.engine_step(*SHAPE)),
        "floor": timings.with_chosen_products(timings.floor_step(*SHAPE)),
        "plain": timings.plain_step(*SHAPE),
        "torch.compile": timings.plain_step(*SHAPE, compiled=True),
    }
    if importlib.util.find_spec("jax") is not None:
        candidates["JAX"] = jax_step(*SHAPE)
    return timings.median_seconds(candidates, rounds=15, warmup=4)


if __name__ == "__main__":
    print(json.dumps(time_compilers(int(sys.argv[1]))))
