"""Initial weights, embeddings and read-outs."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from leakybench.baselines.networks.recursion import Coefficients


def looks_linear(coefficients: Coefficients, width: int, *, noise: float, generator: torch.Generator | None) -> Tensor:
    """Initial V_1 .. V_L under which a mirrored representation passes unchanged; float64 (L, w, w + 1).

    A representation A = [z; -z] has S = [relu(z); relu(-z); 1], so that [[I, -I], [-I, I]] S = A: the network begins
    as a linear isometry at any depth and effective depth (Balduzzi et al. 2017, arXiv 1702.08591, call such weights
    looks-linear). Random weights that only keep the norm (``signal_preserving``) do not keep the angles: at a large
    effective depth all samples point the same way before training starts, and it ends at a constant function.

    The identity's share is (1 - c)/b, which makes branch and skip add up to A: 1 for a leaky network, 0 for a
    ResNet. ``noise`` times He's random weights are added to break the symmetry. With an odd width the last unit has
    noise alone. Biases start at 0.
    """
    weights = _random_weights(coefficients.depth, width, noise * math.sqrt(2.0 / width), generator)
    half = width // 2
    upper, lower = slice(0, half), slice(half, 2 * half)
    for weight, skip, branch in zip(weights, coefficients.skip, coefficients.branch, strict=True):
        share = (1.0 - skip) / branch
        for rows, columns in itertools.product((upper, lower), repeat=2):
            weight[rows, columns].diagonal().add_(share if rows == columns else -share)
    return weights


def signal_preserving(
    coefficients: Coefficients, width: int, *, gain: float = 1.0, generator: torch.Generator | None
) -> Tensor:
    """Random V_1 .. V_L that keep the squared norm of a representation from layer to layer; float64 (L, w, w + 1).

    Branch and skip are uncorrelated at first, so a layer multiplies the expected squared norm by c^2 + b^2 g^2, where
    the branch has He's standard deviation sqrt(2/w) times the gain g. With g^2 = (1 - c^2)/b^2 = (2 - a)/a for a =
    rho Lt the norm stays; with He's own g = 1 a leaky network of many layers fades to zero. A skip of 1 (a ResNet)
    leaves no room for a branch: there g = 1, and the norm grows by at most a factor e over the depth. Biases start at
    0. ``gain`` multiplies all weights: below 1 a deep leaky network then fades, above 1 it grows.
    """
    weights = _random_weights(coefficients.depth, width, math.sqrt(2.0 / width), generator)
    for weight, skip, branch in zip(weights, coefficients.skip, coefficients.branch, strict=True):
        weight.mul_(gain * math.sqrt(max(1.0, (1.0 - skip**2) / branch**2)))
    return weights


def _random_weights(depth: int, width: int, size: float, generator: torch.Generator | None) -> Tensor:
    """Normal weights of standard deviation ``size`` and biases 0; float64 (L, w, w + 1)."""
    weights = size * torch.randn(depth, width, width + 1, generator=generator, dtype=torch.float64, device="cpu")
    weights[:, :, width] = 0.0
    return weights


def orthonormal(rows: int, columns: int, *, generator: torch.Generator | None) -> Tensor:
    """A uniformly random matrix with orthonormal columns (rows >= columns) or rows; float64 (rows, columns)."""
    tall = torch.randn(max(rows, columns), min(rows, columns), generator=generator, dtype=torch.float64, device="cpu")
    q, r = torch.linalg.qr(tall)
    q = q * torch.sign(torch.diagonal(r))  # without the signs, QR's q is not uniform
    return q if rows >= columns else q.mT.contiguous()


def mirrored(width: int, columns: int, *, generator: torch.Generator | None) -> Tensor:
    """Orthonormal columns of the form [Q; -Q]/sqrt(2), for ``looks_linear``; float64 (w, columns), 2 columns <= w."""
    half = orthonormal(width // 2, columns, generator=generator) / math.sqrt(2.0)
    return torch.cat([half, -half, half.new_zeros(width % 2, columns)])
