"""Profiles of a whole path, layer by layer: what the figures of the paper are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.baseline import Representations
from leakybench.measures.arrays import Array
from leakybench.measures.energies import (
    SplitLayer,
    penalty_scale,
    split_layer,
    velocities,
)
from leakybench.measures.momenta import relative_violation
from leakybench.measures.norms import features, gram_kernel

G0 = (1e-1, 1e-2, 1e-3, 1e-4)
"""The relative stabilisers at which every norm is reported."""


@dataclass(frozen=True)
class EnergyProfile:
    """Of a path at each g0, with ``gamma_l = g0 |S_l|_op^2``; the layer l has its energies in the norm of A_{l-1}.

    Attributes:
        coi: |A_l|^2, (G, L + 1).
        kinetic, cross, potential: (G, L).
        speed: |dA_l|, (G, L).
        gamma: absolute, (G, L + 1).
    """

    coi: Array
    kinetic: Array
    cross: Array
    potential: Array
    speed: Array
    gamma: Array


@dataclass(frozen=True)
class MomentumProfile:
    """What the momenta add, each (L,), by the pairs (A_{l-1}, B_l) of a layer.

    Attributes:
        hamiltonian: H_l, no stabiliser.
        momentum: |B_l|^2.
        momentum_features: |B_l^T S_{l-1}|^2, that is |W_l|^2/Lt^2 at a critical point.
        criticality: |W_l - scale B_l^T S_{l-1}| / |W_l|.
        residual: the same over all layers at once, weighted by rho_l.
    """

    hamiltonian: Array
    momentum: Array
    momentum_features: Array
    criticality: Array
    residual: float


def split_path(path: Representations, *, motion: bool = True) -> list[SplitLayer]:
    """One decomposition a layer, for l = 0..L; all norms of the path come from them at little cost."""
    moves = list(velocities(path.activations, path.step_sizes)) if motion else []
    last = len(path.activations) - 1
    return [
        split_layer(activations, moves[index] if motion and index < last else None, layer=gram_kernel(activations))
        for index, activations in enumerate(path.activations)
    ]


def coi_profile(layers: list[SplitLayer], g0: tuple[float, ...] = G0) -> tuple[Array, Array]:
    """``|A_l|^2`` at ``gamma_l = g0 |S_l|_op^2`` and these gammas, each (G, L + 1)."""
    gamma = np.array([[value * split.layer.operator_norm for split in layers] for value in g0])
    coi = np.array([[split.coi(g) for split, g in zip(layers, row, strict=True)] for row in gamma])
    return coi, gamma


def energy_profile(path: Representations, layers: list[SplitLayer], g0: tuple[float, ...] = G0) -> EnergyProfile:
    """All energies of a path [JK24 section 1.4]; ``layers`` from :func:`split_path`."""
    coi, gamma = coi_profile(layers, g0)
    depth, scale = path.effective_depth, penalty_scale(path.effective_depth)
    terms = [
        [split.energies(g, effective_depth=depth, scale=scale) for split, g in zip(layers, row, strict=False)]
        for row in gamma[:, :-1]
    ]
    kinetic = np.array([[term.kinetic for term in row] for row in terms])
    return EnergyProfile(
        coi=coi,
        kinetic=kinetic,
        cross=np.array([[term.cross for term in row] for row in terms]),
        potential=np.array([[term.potential for term in row] for row in terms]),
        speed=np.sqrt(2.0 * scale * kinetic),
        gamma=gamma,
    )


def momentum_profile(path: Representations) -> MomentumProfile | None:
    """The Hamiltonian and the criticality of each layer [JK24 section 1.5]; None where the path has no momenta."""
    if path.momenta is None:
        return None
    depth, scale = path.effective_depth, penalty_scale(path.effective_depth)
    hamiltonian, sizes, criticality = [], [], []
    violation = size = 0.0
    for rho, W, A, B in zip(path.step_sizes, path.weights, path.activations[:-1], path.momenta[1:], strict=True):
        produced = B.T @ features(A)
        squared = float(np.sum(produced**2))
        hamiltonian.append(0.5 * scale * squared - depth * float(np.vdot(B, A)))
        sizes.append((float(np.sum(B**2)), squared))
        criticality.append(relative_violation(W, scale * produced))
        violation += rho * float(np.sum((W - scale * produced) ** 2))
        size += rho * float(np.sum(W**2))
    momentum, momentum_features = np.array(sizes).T
    return MomentumProfile(
        hamiltonian=np.array(hamiltonian),
        momentum=momentum,
        momentum_features=momentum_features,
        criticality=np.array(criticality),
        residual=float(np.sqrt(violation / size)) if size > 0.0 else float("inf") if violation > 0.0 else 0.0,
    )
