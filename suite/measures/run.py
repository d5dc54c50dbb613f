"""Every measure of one run, taken together for its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from suite.baseline import Model
from suite.task import Split


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the record takes over: the rank with its evidence, plain numbers, and larger arrays."""

    bottleneck_rank: int | None
    rank_evidence: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def measure_model(model: Model, train: Split, test: Split) -> Measured:
    """Measure a fitted model on its training inputs, and on held-out ones where that says more."""
    return Measured(bottleneck_rank=None)
