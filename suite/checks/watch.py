"""What code may not leave behind: changed global state, and words on standard output."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import signal
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np


def global_state() -> dict[str, str]:
    """A text for each piece of global state of this process, by the name that a report uses."""
    drawn: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    state: dict[str, str] = {
        "the global generator of numpy": _short(f"{drawn[1].tobytes().hex()}{drawn[2:]}"),
        "the global generator of random": _short(repr(random.getstate())),
        "numpy's error settings": repr(np.geterr()),
        "the environment variables": _short(repr(sorted(os.environ.items()))),
        "the working directory": os.getcwd(),
        "the signal handlers": repr([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]),
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        state |= {
            "the global generator of torch": _short(torch.random.get_rng_state().numpy().tobytes().hex()),
            "torch's default dtype": str(torch.get_default_dtype()),
            "torch's thread count": str(torch.get_num_threads()),
            "torch's gradient mode": str(torch.is_grad_enabled()),
            "torch's matmul precision": torch.get_float32_matmul_precision(),
            "torch's deterministic mode": str(torch.are_deterministic_algorithms_enabled()),
        }
    return state


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def watched(into: dict[str, Any]) -> Iterator[None]:
    """Note in ``into`` which global state the block changes and what it prints, adding to what is noted already."""
    before = global_state()
    words, loaded = io.StringIO(), len(sys.modules)
    try:
        with contextlib.redirect_stdout(words):
            yield
    finally:
        after = global_state()
        # libraries set variables and draw from random when they are first imported: not the object's doing
        own = {"the environment variables", "the global generator of random"} if len(sys.modules) > loaded else set()
        changed = [name for name in before if after[name] != before[name] and name not in own]
        into["changed"] = sorted({*into.get("changed", []), *changed})
        into["printed"] = f"{into.get('printed', '')}{words.getvalue()}"[:2000]


def scramble(number: int) -> None:
    """Put the global generators into a state of this process alone, so that whoever reads them is found out."""
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(number)


def purity_problems(seen: dict[str, Any], what: str) -> list[str]:
    """One line a kind of trace that the block left."""
    problems = [f"{what} changes {', '.join(seen['changed'])}"] if seen.get("changed") else []
    if seen.get("printed"):
        words = " ".join(str(seen["printed"]).split())[:60]
        problems.append(f"{what} prints to standard output ({words!r}), which belongs to tables and JSON")
    return problems
