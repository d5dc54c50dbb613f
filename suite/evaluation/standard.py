"""The settings under which every run computes, whatever its process computed before."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.surroundings import loaded_module

NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""What numpy does on floating-point errors: its own default."""


@contextlib.contextmanager
def standard(task: str, seed: int) -> Iterator[None]:
    """Compute under the libraries' own defaults inside the block, and put the caller's settings back behind it.

    The defaults are float32, the CPU, gradients, exact float32 products and numpy's warnings. The global generators,
    which nothing here draws from, start from task and seed, so that code that draws from them all the same does not
    depend on what ran before.

    Args:
        task: id of the task.
        seed: of the run.
    """
    caller = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one is meant
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(**NUMPY_ERRORS))  # type: ignore[arg-type]
        if (torch := loaded_module("torch")) is not None:
            stack.enter_context(_torch_defaults(torch))
        try:
            seed_generators(task, seed)
            yield
        finally:
            random.setstate(caller[0])
            np.random.set_state(caller[1])  # noqa: NPY002 - the global one is meant


def seed_generators(task: str, seed: int) -> None:
    """Seed the global generators of Python, numpy and, where it is loaded, torch."""
    state = seeding.seed_sequence(task, seed, "global generators").generate_state(1, np.uint32)
    random.seed(int(state[0]))
    np.random.seed(int(state[0]))  # noqa: NPY002 - the global one is meant
    if (torch := loaded_module("torch")) is not None:
        torch.manual_seed(int(state[0]))


@contextlib.contextmanager
def _torch_defaults(torch: Any) -> Iterator[None]:
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    generator = torch.random.get_rng_state()
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # a context of its own slows every call down, so only where needed
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        torch.use_deterministic_algorithms(False)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)
            torch.use_deterministic_algorithms(deterministic)
            torch.random.set_rng_state(generator)
