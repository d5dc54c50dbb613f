"""Base classes of the tasks whose target factors through R^k, so that their true rank is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leakybench.errors import UsageError
from leakybench.task import SyntheticTask, TargetFunction
from leakybench.tasks.teachers import Map


@dataclass(frozen=True, kw_only=True)
class FactoredTask(SyntheticTask):
    """A target f = h o g with a code g: R^d -> R^k and a decoder h: R^k -> R^d_out.

    The factorisation bounds the bottleneck rank of f by k from above, and a point where the Jacobian of f has rank k
    bounds it by k from below (``leakybench.measures.certificate``). Together they certify ``true_rank`` = k.

    A subclass defines ``factors`` and ``true_rank``.
    """

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """Draw (g, h), functions of float64 rows: g (n, d) -> (n, k), h (n, k) -> (n, d_out)."""
        raise UsageError(f"{type(self).__name__} does not define factors(rng)")

    @cached_property
    def _factors(self) -> tuple[Map, Map]:
        return self.factors(self.rng("teacher"))

    def code(self, x: np.ndarray) -> np.ndarray:
        """Map raw inputs (n, d) to codes (n, k) by g, float64."""
        return self._factors[0](x)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Map codes (n, k) to clean, unscaled targets (n, d_out) by h, float64."""
        return self._factors[1](z)

    def target_function(self, rng: np.random.Generator) -> TargetFunction:
        """The composition of the two factors."""
        code, decode = self.factors(rng)
        return lambda x: decode(code(x))

    def require_number(self, name: str, low: float, high: float = np.inf, *, open_low: bool = False) -> None:
        """Raise ``UsageError`` unless the setting ``name`` is a finite number in [low, high].

        With ``open_low`` the interval is (low, high].
        """
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
        if not number or not low <= value <= high or (open_low and value == low):
            least = f"above {low:g}" if open_low else f"at least {low:g}"
            most = f", at most {high:g}" if np.isfinite(high) else ""
            raise UsageError(f"{name} must be a finite number {least}{most}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class CodedTask(FactoredTask):
    """A factored task whose code has a given dimension.

    Settings:
        k: dimension of the code and true rank, at most d.
    """

    k: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("k", 1, self.d, why="a code has no more dimensions than the inputs, d")

    @property
    def true_rank(self) -> int:
        """The dimension k of the code."""
        return self.k
