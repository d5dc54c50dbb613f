"""Watch code for side effects: changes of global state, and output on standard output."""

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
    """Return a fingerprint of each piece of global state of this process, by the name used in reports."""
    legacy: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    state: dict[str, str] = {
        "the global generator of numpy": _fingerprint(f"{legacy[1].tobytes().hex()}{legacy[2:]}"),
        "the global generator of random": _fingerprint(repr(random.getstate())),
        "numpy's error settings": repr(np.geterr()),
        "the environment variables": _fingerprint(repr(sorted(os.environ.items()))),
        "the working directory": os.getcwd(),
        "the signal handlers": repr([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]),
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        state |= {
            "the global generator of torch": _fingerprint(torch.random.get_rng_state().numpy().tobytes().hex()),
            "torch's default dtype": str(torch.get_default_dtype()),
            "torch's thread count": str(torch.get_num_threads()),
            "torch's gradient mode": str(torch.is_grad_enabled()),
            "torch's matmul precision": torch.get_float32_matmul_precision(),
            "torch's deterministic mode": str(torch.are_deterministic_algorithms_enabled()),
        }
    return state


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def watched(into: dict[str, Any]) -> Iterator[None]:
    """Add to ``into`` which global state the block changes (``changed``) and what it prints (``printed``)."""
    before = global_state()
    output, loaded = io.StringIO(), len(sys.modules)
    try:
        with contextlib.redirect_stdout(output):
            yield
    finally:
        after = global_state()
        # a library's first import may set variables and draw from random, for which the object is not responsible
        by_imports = {"the environment variables", "the global generator of random"}
        excused = by_imports if len(sys.modules) > loaded else set()
        changed = [name for name in before if after[name] != before[name] and name not in excused]
        into["changed"] = sorted({*into.get("changed", []), *changed})
        into["printed"] = f"{into.get('printed', '')}{output.getvalue()}"[:2000]


def scramble(number: int) -> None:
    """Seed the global generators with a number of this process, to reveal code that draws from them."""
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(number)


def purity_problems(seen: dict[str, Any], what: str) -> list[str]:
    """Return one line for each kind of side effect in the facts of ``watched``.

    Args:
        seen: the facts.
        what: the subject of the sentences, such as "the fit".
    """
    problems = [f"{what} changes {', '.join(seen['changed'])}"] if seen.get("changed") else []
    if seen.get("printed"):
        text = " ".join(str(seen["printed"]).split())[:60]
        problems.append(f"{what} prints to standard output ({text!r}), which is reserved for tables and JSON")
    return problems
