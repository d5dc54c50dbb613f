"""Kinetic energy, cross term, potential energy and Lagrangian of a representation path [JK24 section 1.3-1.4].

A layer takes A to ``A + rho dA`` with the smallest weights for which ``S W^T = dA + Lt A``. Their price splits into

    |dA + Lt A|^2 / (2 scale) = |dA|^2 / (2 scale) + (Lt / scale) <dA, A> + Lt^2 |A|^2 / (2 scale)
          Lagrangian          =      kinetic       +     cross term       -     potential energy

in the norm of ``K + gamma I``, where ``scale`` is the divisor of the penalty, ``max(Lt, 1)``. For Lt >= 1 these are
the paper's ``|dA|^2/(2 Lt)``, ``<dA, A>`` and ``-(Lt/2) |A|^2``. Every one of them depends on gamma. Unit: squared
weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leakybench.errors import UsageError
from leakybench.measures.arrays import Array, as_float64, non_negative
from leakybench.measures.norms import (
    Components,
    Kernel,
    kernel,
    product,
    project,
    weighted,
)


@dataclass(frozen=True)
class Energies:
    """Of one layer at one gamma; ``lagrangian = kinetic + cross - potential``."""

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
    """One layer split along the directions of its kernel, so that each gamma costs a sum of w terms.

    Attributes:
        layer: decomposition of ``S_{l-1}``.
        identity: of ``Tr(A A^T)``, A = A_{l-1}.
        motion: of ``Tr(dA dA^T)``, dA = dA_l; None after the last layer.
        crossing: of ``Tr(dA A^T)``; None after the last layer.
    """

    layer: Kernel
    identity: Components
    motion: Components | None = None
    crossing: Components | None = None

    def coi(self, gamma: float) -> float:
        """``|A|^2_(K + gamma I)``."""
        return weighted(self.layer, self.identity, gamma)

    def speed(self, gamma: float) -> float:
        """``|dA|_(K + gamma I)``, not squared."""
        if self.motion is None:
            raise UsageError("nothing moves after the last layer")
        return float(np.sqrt(weighted(self.layer, self.motion, gamma)))

    def energies(self, gamma: float, *, effective_depth: float, scale: float) -> Energies:
        """The four terms at an absolute gamma."""
        if self.motion is None or self.crossing is None:
            raise UsageError("nothing moves after the last layer")
        kinetic = weighted(self.layer, self.motion, gamma) / (2.0 * scale)
        cross = weighted(self.layer, self.crossing, gamma) * effective_depth / scale
        potential = -self.coi(gamma) * effective_depth**2 / (2.0 * scale)
        return Energies(kinetic=kinetic, cross=cross, potential=potential, lagrangian=kinetic + cross - potential)


def split_layer(activations: Array, velocity: Array | None = None, *, layer: Kernel | None = None) -> SplitLayer:
    """Split A (N, w) and, where given, dA (N, w) along the directions of ``K = S S^T``."""
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
    effective_depth: float,
    gamma: float,
    scale: float | None = None,
    bias: bool = True,
) -> Energies:
    """Kinetic energy, cross term, potential energy and Lagrangian of one layer; see the head of this file.

    Args:
        activations: A_{l-1}, (N, w).
        velocity: dA_l = (A_l - A_{l-1})/rho_l, (N, w).
        effective_depth: Lt, at least 0.
        gamma: absolute stabiliser, at least 0; at 0 a term is infinite where A or dA leaves the range of S.
        scale: divisor of the penalty, ``max(Lt, 1)`` unless given.
        bias: whether S has the column of ones.

    Raises:
        UsageError: shapes that differ, values that are not finite, a negative depth or gamma.
    """
    A, dA = as_float64("activations", activations), as_float64("velocity", velocity)
    if A.shape != dA.shape:
        raise UsageError(f"velocity needs the shape of the activations, {A.shape}, got {dA.shape}")
    depth = non_negative("effective_depth", effective_depth)
    divisor = penalty_scale(depth) if scale is None else non_negative("scale", scale, allow_zero=False)
    split = split_layer(A, dA, layer=kernel(A, bias=bias))
    return split.energies(non_negative("gamma", gamma), effective_depth=depth, scale=divisor)


def penalty_scale(effective_depth: float) -> float:
    """``max(Lt, 1)``: the divisor of the penalty ``lambda/(2 scale) sum_l rho_l |W_l|^2``."""
    return max(effective_depth, 1.0)


def velocities(activations: Array, step_sizes: Array) -> Array:
    """``dA_l = (A_l - A_{l-1}) / rho_l``, (L, N, w); activations (L + 1, N, w), step_sizes (L,)."""
    return np.diff(activations, axis=0) / step_sizes[:, None, None]


def path_length(speeds: Any, step_sizes: Any) -> float:
    """``ell = int |dA_p| dp = sum_l rho_l |dA_l|`` [JK24 section 2]; speeds and step_sizes (L,). Depends on their
    gamma."""
    speed, rho = as_float64("speeds", speeds, ndim=1), as_float64("step_sizes", step_sizes, ndim=1)
    if speed.shape != rho.shape:
        raise UsageError(f"one speed a step is needed, got {len(speed)} for {len(rho)}")
    return float(speed @ rho)
