"""Profiles of a whole path, layer by layer, from which the figures of the paper are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from leakybench.baseline import Representations
from leakybench.measures.energies import SplitLayer, penalty_scale, split_layer, velocities
from leakybench.measures.momenta import relative_violation
from leakybench.measures.norms import features, gram_kernel

G0 = (1e-1, 1e-2, 1e-3, 1e-4)
"""The relative stabilisers at which every norm is reported."""


@dataclass(frozen=True)
class EnergyProfile:
    """Energies of a path at G values of g0, with ``gamma_l = g0 |S_l|_op^2``.

    The energies of layer l are taken in the norm of A_{l-1}.

    Attributes:
        coi: cost of identity ``|A_l|^2``, (G, L + 1).
        kinetic: kinetic energy, (G, L).
        cross: cross term, (G, L).
        potential: potential energy, (G, L).
        speed: ``|dA_l|``, (G, L).
        gamma: absolute stabiliser, (G, L + 1).
    """

    coi: Float64[np.ndarray, "G points"]
    kinetic: Float64[np.ndarray, "G L"]
    cross: Float64[np.ndarray, "G L"]
    potential: Float64[np.ndarray, "G L"]
    speed: Float64[np.ndarray, "G L"]
    gamma: Float64[np.ndarray, "G points"]


@dataclass(frozen=True)
class MomentumProfile:
    """Measures that need momenta, from the pair (A_{l-1}, B_l) of each layer.

    Attributes:
        hamiltonian: H_l, without a stabiliser, (L,).
        momentum: ``|B_l|^2``, (L,).
        momentum_features: ``|B_l^T S_{l-1}|^2``, which is ``|W_l|^2/Lt^2`` at a critical point, (L,).
        criticality: ``|W_l - scale B_l^T S_{l-1}| / |W_l|``, (L,).
        residual: the criticality over all layers at once, weighted by rho_l.
    """

    hamiltonian: Float64[np.ndarray, " L"]
    momentum: Float64[np.ndarray, " L"]
    momentum_features: Float64[np.ndarray, " L"]
    criticality: Float64[np.ndarray, " L"]
    residual: float


def split_path(path: Representations, *, motion: bool = True) -> list[SplitLayer]:
    """Decompose each layer l = 0..L once, so that all norms of the path cost little; without ``motion`` only A_l."""
    moves = list(velocities(path.activations, path.step_sizes)) if motion else []
    last = len(path.activations) - 1
    return [
        split_layer(activations, moves[index] if motion and index < last else None, layer=gram_kernel(activations))
        for index, activations in enumerate(path.activations)
    ]


def coi_profile(
    layers: list[SplitLayer], g0: tuple[float, ...] = G0
) -> tuple[Float64[np.ndarray, "G points"], Float64[np.ndarray, "G points"]]:
    """Cost of identity ``|A_l|^2`` at ``gamma_l = g0 |S_l|_op^2``, and these gammas, each (G, L + 1)."""
    gamma = np.array([[value * split.layer.operator_norm for split in layers] for value in g0])
    coi = np.array([[split.coi(g) for split, g in zip(layers, row, strict=True)] for row in gamma])
    return coi, gamma


def energy_profile(path: Representations, layers: list[SplitLayer], g0: tuple[float, ...] = G0) -> EnergyProfile:
    """All energies of a path [JK24 section 1.4]; ``layers`` from ``split_path``."""
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
    """The Hamiltonian and the criticality of each layer [JK24 section 1.5]; None if the path has no momenta."""
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
