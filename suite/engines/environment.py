"""The environment variables of the processes that compute runs and checks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from leakybench.errors import UsageError
from leakybench.specs import check_device

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables from which numerical libraries take their number of threads when they are loaded."""

CARDS = "CUDA_VISIBLE_DEVICES"
"""Variable from which the CUDA library takes the cards that a process sees, by number or by name."""


def child_environment(threads: int) -> dict[str, str]:
    """Return the environment of a child process whose numerical libraries use ``threads`` threads.

    The import path of this process is passed on, so that the child can import the same modules, including those in a
    folder that was added to ``sys.path`` by hand.
    """
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path or os.getcwd() for path in sys.path)),
    }


def has_card() -> bool:
    """Whether torch finds a GPU that it can use."""
    import torch  # here, so that no command loads it without need

    return torch.cuda.is_available()


@contextmanager
def one_card(device: str) -> Iterator[None]:
    """Inside the block, let this process and the processes that it starts see no card but the one of ``cuda:N``.

    A run holds the kind of its device alone, ``cuda``, because the cards of a machine compute alike. The number
    travels beside it in the environment, which every worker inherits, and which the CUDA library reads when a process
    first uses it: there the chosen card is the only one, and so the ``cuda`` of each run.

    Args:
        device: ``cpu`` or ``cuda``, which change nothing, or ``cuda:N``; where the environment names cards already, N
            counts among these, as in torch.

    Raises:
        UsageError: a GPU is asked for, and torch finds none, or not this one.
    """
    kind, _, number = check_device(device).partition(":")
    if kind == "cpu":
        yield
        return
    before = os.environ.get(CARDS)
    if number:
        named = dict(enumerate(before.split(","))) if before is not None else {int(number): number}
        os.environ[CARDS] = named.get(int(number), "")
    try:
        if not has_card():
            raise UsageError(f"torch finds no CUDA device {device} here: use --device cpu")
        yield
    finally:
        if before is None:
            os.environ.pop(CARDS, None)
        else:
            os.environ[CARDS] = before
