"""The settings under which every run computes, whatever its process computed before."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import numpy as np

from leakybench import seeding
from leakybench.surroundings import Change, kept, loaded_module

NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""What numpy does on floating-point errors: its own default."""


@contextlib.contextmanager
def standard(task: str, seed: int, changes: list[Change]) -> Iterator[Callable[[], None]]:
    """Compute under the libraries' own defaults inside the block, and put the caller's settings back behind it.

    The defaults are float32, the CPU, gradients, exact float32 products and numpy's warnings. The global generators,
    which nothing here draws from, start from task and seed, so that code that draws from them all the same does not
    depend on what ran before.

    Args:
        task: id of the task.
        seed: of the run.
        changes: receives what the block changed of this and of all other global state, see
            ``leakybench.surroundings.kept``.

    Yields:
        A function to call after the generators were seeded again.
    """
    with contextlib.ExitStack() as stack:
        # what belongs to the thread alone
        stack.enter_context(np.errstate(**NUMPY_ERRORS))  # type: ignore[arg-type]
        if (torch := loaded_module("torch")) is not None:
            if torch.is_inference_mode_enabled():
                stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            if torch.get_default_device().type != "cpu":  # such a context slows every call down: only where needed
                stack.enter_context(torch.device("cpu"))
        seeded = stack.enter_context(kept(changes, begin=_process_defaults))
        seed_generators(task, seed)
        seeded()
        yield seeded


def _process_defaults() -> None:
    """Set what all threads share."""
    if (torch := loaded_module("torch")) is not None:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        torch.use_deterministic_algorithms(False)


def seed_generators(task: str, seed: int) -> None:
    """Seed the global generators of Python, numpy and, where it is loaded, torch."""
    state = seeding.seed_sequence(task, seed, "global generators").generate_state(1, np.uint32)
    random.seed(int(state[0]))
    np.random.seed(int(state[0]))  # noqa: NPY002 - the global one is meant
    if (torch := loaded_module("torch")) is not None:
        torch.manual_seed(int(state[0]))
