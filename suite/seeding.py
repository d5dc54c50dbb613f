"""Derive random generators from name, seed and role, so that no draw depends on order, worker or engine.

A generator is a function of ``(name, seed, role)`` alone, where ``name`` is the id of the task or of the
baseline and ``role`` says what is drawn (``"teacher"``, ``"train"``, ``"init"``). The global generators of numpy
and torch are never touched.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from leakybench.errors import UsageError

if TYPE_CHECKING:
    import torch

MAX_SEED = 2**32 - 1


def check_seed(seed: object) -> int:
    """Return ``seed``, of Python, numpy or torch, as an int.

    Raises:
        UsageError: it is not an integer in [0, 2**32 - 1].
    """
    number: object = seed
    if getattr(seed, "ndim", None) == 0 and callable(item := getattr(seed, "item", None)):
        number = item()
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_SEED:
        raise UsageError(f"seed must be an integer from 0 to {MAX_SEED}, got {str(seed)[:60]!r}")
    return int(number)


def seed_sequence(name: str, seed: int, role: str) -> np.random.SeedSequence:
    """Return the entropy of one role: 128 bits of SHA-256 over ``name``, ``seed`` and ``role``."""
    text = "\x1f".join((name, str(check_seed(seed)), role))
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.SeedSequence(int.from_bytes(digest[:16], "big"))


def generator(name: str, seed: int, role: str) -> np.random.Generator:
    """Return a numpy generator for one role of one seeded task or baseline."""
    return np.random.default_rng(seed_sequence(name, seed, role))


def torch_generator(name: str, seed: int, role: str) -> torch.Generator:
    """Return a CPU torch generator for one role; draws on the CPU do not depend on the training device."""
    import torch

    state = int(seed_sequence(name, seed, role).generate_state(1, np.uint64)[0])
    return torch.Generator(device="cpu").manual_seed(state >> 1)
