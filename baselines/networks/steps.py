"""Layer step-sizes: where on the continuous depth axis the layers of a network sit [JK24 section 3].

A rule gives rho_1 .. rho_L > 0 with sum 1. ``uniform`` and ``irregular`` are fixed; ``adaptive`` starts uniform and
follows the network as it trains; ``early`` does so until the penalty has its full strength; ``settled`` does so in a
short training, after which a new one starts with its rho.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from leakybench.errors import UsageError

StepRule = Callable[[int], np.ndarray]
"""From the depth L to the step-sizes that training starts from, (L,)."""


def uniform(depth: int) -> np.ndarray:
    """rho_l = 1/L; (L,)."""
    return np.full(depth, 1.0 / depth)


def irregular(depth: int, amount: float = 0.9) -> np.ndarray:
    """rho_l = 1/L + (a/L) (1/4 - |l/L - 1/2|), normalised to sum 1: more layers near both ends; (L,).

    Args:
        depth: L.
        amount: a in [0, 1); 0 is uniform.
    """
    if not 0.0 <= amount < 1.0:
        raise UsageError(f"the amount of irregularity must be in [0, 1), got {amount!r}")
    place = np.arange(1, depth + 1) / depth
    rho = (1.0 + amount * (0.25 - np.abs(place - 0.5))) / depth
    return rho / rho.sum()


ADAPTIVE = "adaptive"
"""The rule whose step-sizes follow the network."""

EARLY = "early"
"""The rule whose step-sizes follow the network until the penalty has its full strength, and stay from there on."""

SETTLED = "settled"
"""The rule whose step-sizes a short adaptive training finds, and that stay from the start of a second one."""

RULES: Mapping[str, StepRule] = MappingProxyType(
    {"uniform": uniform, "irregular": irregular, ADAPTIVE: uniform, EARLY: uniform, SETTLED: uniform}
)
"""The rules of the three families, by name; see ``NetworkBaseline.step_rules`` for how to add one."""


def check_rule(rule: object, rules: Mapping[str, StepRule] = RULES) -> str:
    """Return ``rule``, or raise ``UsageError`` that names the existing ones."""
    if not isinstance(rule, str) or rule not in rules:
        raise UsageError(f"steps must be one of {', '.join(rules)}, got {rule!r}")
    return rule


def initial(rule: str, depth: int, rules: Mapping[str, StepRule] = RULES) -> np.ndarray:
    """The step-sizes that training starts from under a rule; float64 (L,).

    Raises:
        UsageError: no such rule, or one that does not give L positive numbers of sum 1.
    """
    rho = np.asarray(rules[check_rule(rule, rules)](depth), dtype=np.float64)
    # 1e-6 leaves room for a rule that computes in float32
    if rho.shape != (depth,) or not (rho > 0.0).all() or not abs(float(rho.sum()) - 1.0) <= 1e-6:
        raise UsageError(f"the step rule {rule} must give {depth} positive step-sizes of sum 1, got {rho.tolist()}")
    return rho


def positions(step_sizes: np.ndarray) -> np.ndarray:
    """p_0 = 0, p_l = rho_1 + ... + rho_l; (L + 1,) for (L,)."""
    return np.concatenate([[0.0], np.cumsum(step_sizes)])


@dataclass
class AdaptiveSteps:
    """The adaptive rule as a damped fixed-point iteration.

    With the relative speed c_l = |A_l - A_{l-1}| / (rho_l |A_l|), the paper sets rho_l proportional to 1/c_l. Its fixed
    points are the step-sizes at which every layer moves the same relative distance:

        |A_l - A_{l-1}| / |A_l| = const over l,   that is  rho_l c_l = 1 / sum_i c_i^{-1}.

    One update is a geometric mean of the old step-sizes and that target, normalised to sum 1:

        rho_l <- rho_l^(1 - eta) (c_l^{-1} / sum_i c_i^{-1})^eta.

    The network follows its steps, so the full update (eta = 1) overshoots; eta = 0.7 does not. Guards: a layer that
    hardly moves has c_l near 0 and would take the whole unit interval, so c_l is floored at ``slowest`` times the
    median of c, and no step leaves [1/reach, reach] times 1/L. Freeze: the steps stay once no log rho_l moved by
    more than ``tolerance`` in ``patience`` updates in a row, and in any case when training asks for fixed steps
    (``freeze``).

    Attributes:
        step_sizes: the present rho, (L,).
        damping: eta.
        slowest: floor of c_l, as a share of the median of c.
        reach: bound of L rho_l and of its inverse.
        tolerance: largest change of a log rho_l that counts as none.
        patience: updates in a row without change until the step-sizes are frozen.
        until: evaluation from which on they are frozen; None to leave that to training.
        frozen_at: evaluation at which they were frozen; None before.
        spread: max over min of rho_l c_l at the last update: 1 at the fixed point.
        trajectory: (evaluation, step_sizes) after each update.
    """

    step_sizes: np.ndarray
    damping: float = 0.7
    slowest: float = 1e-2
    reach: float = 4.0
    tolerance: float = 1e-2
    patience: int = 5
    until: int | None = None
    frozen_at: int | None = None
    spread: float | None = None
    trajectory: list[tuple[int, list[float]]] = field(default_factory=list)
    _quiet: int = 0

    def update(self, moved: np.ndarray, sizes: np.ndarray, evaluation: int) -> bool:
        """One damped update; returns whether the step-sizes changed.

        Args:
            moved: |A_l - A_{l-1}|, (L,).
            sizes: |A_l|, (L,).
            evaluation: gradients computed so far, for the trajectory.
        """
        if self.until is not None and evaluation >= self.until:
            self.freeze(evaluation)
        if self.frozen_at is not None:
            return False
        depth = len(self.step_sizes)
        relative = np.asarray(moved, dtype=np.float64) / np.maximum(np.asarray(sizes, dtype=np.float64), 1e-300)
        if not np.isfinite(relative).all() or relative.max() <= 0.0:
            return False  # nothing moves, or training has diverged, which the training loop reports
        speed = relative / self.step_sizes
        speed = np.maximum(speed, self.slowest * np.median(speed[speed > 0]))
        target = (1.0 / speed) / np.sum(1.0 / speed)
        new = self.step_sizes ** (1.0 - self.damping) * target**self.damping
        new = np.clip(new / new.sum(), 1.0 / (self.reach * depth), self.reach / depth)
        new /= new.sum()
        change = float(np.max(np.abs(np.log(new / self.step_sizes))))
        self.spread = float(relative.max() / max(relative.min(), 1e-300))
        self.step_sizes = new
        self.trajectory.append((evaluation, [round(float(rho), 6) for rho in new]))
        self._quiet = self._quiet + 1 if change <= self.tolerance else 0
        if self._quiet >= self.patience:
            self.freeze(evaluation)
        return True

    def freeze(self, evaluation: int) -> None:
        """Keep the step-sizes from here on: the end of training needs a fixed objective."""
        if self.frozen_at is None:
            self.frozen_at = evaluation
