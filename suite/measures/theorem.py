"""Both sides of the stable decomposition theorem and of the separation of time scales [JK24 sections 2 and A.3].

With ``|B_p|^2 <= c`` and the path length ``ell = int |dA|_(K + gamma I) dp``, for the continuous flow and any one gamma
above 0,

    -(ell/Lt + sqrt(gamma c))^2 <= -2H/Lt - min_p |A_p|^2_(K + gamma I) <= gamma c,
    -Lt sqrt(gamma c) <= |dA|_(K + gamma I) - Lt sqrt(|A|^2_(K + gamma I) + 2H/Lt) <= 2 Lt sqrt(gamma c).

The proof is local, so the first inequality also holds on a part of the path, with the c, minimum and ell of that part,
and ell divided by its extent. There the bounds are narrower: the momenta are largest at the entry of the path, so that
c = max |B_p|^2 over the whole path makes the bounds wide.

gamma trades one side against the other: a smaller gamma makes ``gamma c`` smaller and ell larger. On a network H varies
from layer to layer, and the weights are critical only up to a residual; a violation measures both effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from leakybench.errors import UsageError
from leakybench.measures.arrays import Number, as_float64, non_negative


@dataclass(frozen=True)
class Decomposition:
    """Values and bounds of both inequalities; an inequality holds if its value lies between its bounds.

    Attributes:
        c: ``max_p |B_p|^2``.
        length: ell.
        gap: ``-2H/Lt - min_p |A_p|^2``.
        gap_low: lower bound of the gap.
        gap_high: upper bound of the gap.
        excess: ``|dA| - Lt sqrt(max(|A|^2 + 2H/Lt, 0))`` of each layer, (L,).
        excess_low: lower bound of the excess.
        excess_high: upper bound of the excess.
    """

    c: float
    length: float
    gap: float
    gap_low: float
    gap_high: float
    excess: Float64[np.ndarray, " L"]
    excess_low: float
    excess_high: float

    @property
    def gap_holds(self) -> bool:
        """Whether the first inequality holds."""
        return self.gap_low <= self.gap <= self.gap_high

    @property
    def excess_share(self) -> float:
        """Share of the layers at which the second inequality holds."""
        return float(np.mean((self.excess_low <= self.excess) & (self.excess <= self.excess_high)))


def stable_decomposition(
    hamiltonian: Number,
    coi: Any,
    speeds: Any,
    momentum_sizes: Any,
    step_sizes: Any,
    *,
    effective_depth: Number,
    gamma: Number,
) -> Decomposition:
    """Both sides of the stable decomposition theorem, on a path or on consecutive layers of one [JK24 section 2].

    Args:
        hamiltonian: H, one number for the path.
        coi: ``|A_{l-1}|^2_(K + gamma I)``, (L,).
        speeds: ``|dA_l|_(K + gamma I)``, (L,).
        momentum_sizes: ``|B_l|^2``, (L,).
        step_sizes: rho_l, (L,).
        effective_depth: Lt, above 0.
        gamma: absolute stabiliser, above 0, the same for all layers.

    Raises:
        UsageError: the lengths of the arrays differ, a value is not finite, or the depth or gamma is not positive.
    """
    identity, speed = as_float64("coi", coi, ndim=1), as_float64("speeds", speeds, ndim=1)
    momenta, rho = as_float64("momentum_sizes", momentum_sizes, ndim=1), as_float64("step_sizes", step_sizes, ndim=1)
    if not identity.shape == speed.shape == momenta.shape == rho.shape:
        raise UsageError(
            f"one value a layer is needed of each, got {len(identity)}, {len(speed)}, {len(momenta)} and {len(rho)}"
        )
    depth = non_negative("effective_depth", effective_depth, allow_zero=False)
    stabiliser = non_negative("gamma", gamma, allow_zero=False)
    energy = float(hamiltonian)
    if not np.isfinite(energy):
        raise UsageError(f"hamiltonian must be finite, got {hamiltonian!r}")
    c, length = float(momenta.max()), float(rho @ speed)
    root = float(np.sqrt(stabiliser * c))
    return Decomposition(
        c=c,
        length=length,
        gap=-2.0 * energy / depth - float(identity.min()),
        gap_low=-((length / (float(rho.sum()) * depth) + root) ** 2),
        gap_high=stabiliser * c,
        excess=speed - depth * np.sqrt(np.maximum(identity + 2.0 * energy / depth, 0.0)),
        excess_low=-depth * root,
        excess_high=2.0 * depth * root,
    )


def time_scales(
    speeds: Any, coi: Any, *, effective_depth: Number
) -> tuple[Float64[np.ndarray, " L"], Float64[np.ndarray, " L"]]:
    """Speeds ``|dA_l|`` and their prediction ``Lt sqrt(COI_l - min COI)`` [JK24 section 2].

    The path is slow inside the bottleneck and fast at both ends. Both values depend on the gamma of the norms, which
    must be the same for all layers.

    Args:
        speeds: ``|dA_l|_(K + gamma I)``, (L,).
        coi: ``|A_{l-1}|^2_(K + gamma I)``, (L,).
        effective_depth: Lt, at least 0.

    Returns:
        Speeds and predictions, each (L,).

    Raises:
        UsageError: the lengths differ, a value is not finite, or the depth is negative.
    """
    speed, identity = as_float64("speeds", speeds, ndim=1), as_float64("coi", coi, ndim=1)
    if speed.shape != identity.shape:
        raise UsageError(f"one speed a cost is needed, got {len(speed)} for {len(identity)}")
    depth = non_negative("effective_depth", effective_depth)
    return speed, depth * np.sqrt(identity - identity.min())
