"""Kinetic energy, cross term, potential energy and Lagrangian of a representation path [JK24 section 1.3-1.4].

A layer takes A to ``A + rho dA`` with the smallest weights for which ``S W^T = dA + Lt A``. Their cost splits into

    |dA + Lt A|^2 / (2 scale) = |dA|^2 / (2 scale) + (Lt / scale) <dA, A> + Lt^2 |A|^2 / (2 scale)
          Lagrangian          =      kinetic       +     cross term       -     potential energy

in the norm of ``K + gamma I``, where ``scale`` is the divisor of the penalty, ``max(Lt, 1)``. For Lt >= 1 these are
the paper's ``|dA|^2/(2 Lt)``, ``<dA, A>`` and ``-(Lt/2) |A|^2``. All of them depend on gamma. Unit: squared weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from leakybench.errors import UsageError
from leakybench.measures.arrays import Number, as_float64, non_negative
from leakybench.measures.norms import Components, Kernel, kernel, product, project, weighted


@dataclass(frozen=True)
class Energies:
    """Energies of one layer at one gamma, in units of squared weights.

    Attributes:
        kinetic: ``|dA|^2 / (2 scale)``.
        cross: ``(Lt / scale) <dA, A>``.
        potential: ``-Lt^2 |A|^2 / (2 scale)``.
        lagrangian: ``kinetic + cross - potential``.
    """

    kinetic: float
    cross: float
    potential: float
    lagrangian: float

    @property
    def hamiltonian(self) -> float:
        """The stabilised Hamiltonian, ``kinetic + potential`` [JK24 section 1.5]."""
        return self.kinetic + self.potential


@dataclass(frozen=True)
class SplitLayer:
    """One layer split along the directions of its kernel, so that the norms at each gamma are sums of w terms.

    Attributes:
        layer: decomposition of ``S_{l-1}``.
        identity: components of ``Tr(A A^T)``, A = A_{l-1}.
        motion: components of ``Tr(dA dA^T)``, dA = dA_l; None after the last layer.
        crossing: components of ``Tr(dA A^T)``; None after the last layer.
    """

    layer: Kernel
    identity: Components
    motion: Components | None = None
    crossing: Components | None = None

    def coi(self, gamma: float) -> float:
        """Cost of identity at an absolute gamma, ``|A|^2_(K + gamma I)``."""
        return weighted(self.layer, self.identity, gamma)

    def speed(self, gamma: float) -> float:
        """Speed at an absolute gamma, ``|dA|_(K + gamma I)``, not squared."""
        if self.motion is None:
            raise UsageError("nothing moves after the last layer")
        return float(np.sqrt(weighted(self.layer, self.motion, gamma)))

    def energies(self, gamma: float, *, effective_depth: float, scale: float) -> Energies:
        """The four energies at an absolute gamma."""
        if self.motion is None or self.crossing is None:
            raise UsageError("nothing moves after the last layer")
        kinetic = weighted(self.layer, self.motion, gamma) / (2.0 * scale)
        cross = weighted(self.layer, self.crossing, gamma) * effective_depth / scale
        potential = -self.coi(gamma) * effective_depth**2 / (2.0 * scale)
        return Energies(kinetic=kinetic, cross=cross, potential=potential, lagrangian=kinetic + cross - potential)


def split_layer(
    activations: Float64[np.ndarray, "N w"],
    velocity: Float64[np.ndarray, "N w"] | None = None,
    *,
    layer: Kernel | None = None,
) -> SplitLayer:
    """Split A (N, w) and, if given, dA (N, w) along the directions of ``K = S S^T``."""
    layer = kernel(activations) if layer is None else layer
    place = project(layer, activations)
    if velocity is None:
        return SplitLayer(layer=layer, identity=product(place, place))
    move = project(layer, velocity)
    return SplitLayer(layer, product(place, place), product(move, move), product(move, place))


def layer_energies(
    activations: Any,
    velocity: Any,
    *,
    effective_depth: Number,
    gamma: Number,
    scale: Number | None = None,
    bias: bool = True,
) -> Energies:
    """Kinetic energy, cross term, potential energy and Lagrangian of one layer [JK24 sections 1.3-1.4].

        |dA + Lt A|^2 / (2 scale) = |dA|^2 / (2 scale) + (Lt / scale) <dA, A> + Lt^2 |A|^2 / (2 scale)

    in the norm of ``K + gamma I``: the Lagrangian is kinetic + cross - potential.

    Args:
        activations: A_{l-1}, (N, w).
        velocity: dA_l = (A_l - A_{l-1})/rho_l, (N, w).
        effective_depth: Lt, at least 0.
        gamma: absolute stabiliser, at least 0. At 0 a term is infinite if A or dA leaves the range of S.
        scale: divisor of the penalty; default ``max(Lt, 1)``.
        bias: whether S has the column of ones.

    Raises:
        UsageError: the shapes differ, a value is not finite, or the depth or gamma is negative.
    """
    A, dA = as_float64("activations", activations), as_float64("velocity", velocity)
    if A.shape != dA.shape:
        raise UsageError(f"velocity needs the shape of the activations, {A.shape}, got {dA.shape}")
    depth = non_negative("effective_depth", effective_depth)
    divisor = penalty_scale(depth) if scale is None else non_negative("scale", scale, allow_zero=False)
    split = split_layer(A, dA, layer=kernel(A, bias=bias))
    return split.energies(non_negative("gamma", gamma), effective_depth=depth, scale=divisor)


def penalty_scale(effective_depth: float) -> float:
    """Divisor of the penalty ``lambda/(2 scale) sum_l rho_l |W_l|^2``: ``max(Lt, 1)``."""
    return max(effective_depth, 1.0)


def velocities(
    activations: Float64[np.ndarray, "points N w"], step_sizes: Float64[np.ndarray, " L"]
) -> Float64[np.ndarray, "L N w"]:
    """Velocities ``dA_l = (A_l - A_{l-1}) / rho_l`` of a path, (L, N, w).

    Args:
        activations: A_0 .. A_L, (L + 1, N, w).
        step_sizes: rho_1 .. rho_L, (L,).
    """
    return np.diff(activations, axis=0) / step_sizes[:, None, None]


def path_length(speeds: Any, step_sizes: Any) -> float:
    """Length of a path, ``ell = int |dA_p| dp = sum_l rho_l |dA_l|`` [JK24 section 2].

    Args:
        speeds: ``|dA_l|_(K + gamma I)``, (L,). The length depends on their gamma.
        step_sizes: rho_l, (L,).

    Raises:
        UsageError: the lengths of the arguments differ, or a value is not finite.
    """
    speed, rho = as_float64("speeds", speeds, ndim=1), as_float64("step_sizes", step_sizes, ndim=1)
    if speed.shape != rho.shape:
        raise UsageError(f"one speed a step is needed, got {len(speed)} for {len(rho)}")
    return float(speed @ rho)
