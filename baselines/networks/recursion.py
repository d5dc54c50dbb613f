"""The recursion that the three families share, forward and backward, on stacked arrays [JK24 sections 1.1 and 3].

    A_l = c_l A_{l-1} + b_l V_l S_{l-1},   S = [relu(A); 1],   l = 1..L

with V_l = W_l / max(Lt, 1), b_l = rho_l max(Lt, 1) and c_l = 1 - rho_l Lt. A fully-connected network has c_l = 0 and
Lt = L.

Here **columns are samples**, as in the paper and unlike the rest of the code: A is (w, n). The products then run along
n, which is long, and the row of ones of S lies behind a contiguous block. On the machines measured, that saves a
quarter of the time. Functions that users call take and return rows as samples.

Each stacked array has an axis of runs in front, (R, L, ...), so that R networks of one configuration train together
with batched products. R = 1 uses plain products on arrays without that axis; shapes ``([R,] w, n)`` mean either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """The numbers of the recursion for given step-sizes, as Python floats.

    Attributes:
        skip: c_l, of the skip connection; (L,).
        branch: b_l, of the branch; (L,).
        step_sizes: rho_l; (L,).
        scale: W / V, which is max(Lt, 1).
        effective_depth: Lt.
    """

    skip: tuple[float, ...]
    branch: tuple[float, ...]
    step_sizes: tuple[float, ...]
    scale: float
    effective_depth: float

    @classmethod
    def of(cls, step_sizes: Sequence[float] | Float[np.ndarray, " L"], effective_depth: float | None) -> Coefficients:
        """Compute the coefficients; ``effective_depth`` None means fully connected: no skip, and Lt = L."""
        rho = tuple(float(value) for value in step_sizes)
        depth = float(len(rho)) if effective_depth is None else float(effective_depth)
        scale = max(depth, 1.0)
        skip = tuple(0.0 if effective_depth is None else 1.0 - value * depth for value in rho)
        return cls(
            skip=skip,
            branch=tuple(value * scale for value in rho),
            step_sizes=rho,
            scale=scale,
            effective_depth=depth,
        )

    @property
    def depth(self) -> int:
        """L."""
        return len(self.step_sizes)

    def with_steps(self, step_sizes: Sequence[float] | Float[np.ndarray, " L"]) -> Coefficients:
        """The same family at other step-sizes."""
        return Coefficients.of(step_sizes, None if self.skipless else self.effective_depth)

    @property
    def skipless(self) -> bool:
        """Whether this is a fully-connected network."""
        return all(skip == 0.0 for skip in self.skip)

    @property
    def even(self) -> bool:
        """Whether all layers have the same coefficients, as under uniform steps."""
        return len(set(self.step_sizes)) == 1

    def absorbed(self) -> Coefficients:
        """The recursion of U_l = b_l V_l: the same skips, and every branch 1."""
        return replace(self, branch=(1.0,) * self.depth)


@dataclass(frozen=True, eq=False)
class RunCoefficients:
    """The recursion of U_l = b_l V_l for R runs whose step-sizes differ.

    Attributes:
        skip: c_l of every run, an array (R, 1, 1) for each layer.
        branch: 1 for each layer, as in ``Coefficients.absorbed``.
        skipless: whether these are fully-connected networks.
    """

    skip: tuple[Tensor, ...]
    branch: tuple[float, ...]
    skipless: bool
    even: ClassVar[bool] = False

    @classmethod
    def of(cls, runs: Sequence[Coefficients], like: Tensor) -> RunCoefficients:
        """Stack the coefficients of runs of one family and depth, in the precision and on the device of ``like``."""
        skips = like.new_tensor([run.skip for run in runs])[:, :, None, None]
        return cls(skips.unbind(1), (1.0,) * runs[0].depth, runs[0].skipless)


def layers(stacked: Float[Tensor, "R L *shape"]) -> list[Tensor]:
    """Per-layer views of a (R, L, ...) array; the axis of runs is dropped where R = 1, so that plain products apply."""
    return list(stacked[0].unbind(0) if stacked.shape[0] == 1 else stacked.unbind(1))


class Movement:
    """How far each layer moves the representation, recorded during a forward pass.

    Args:
        scratch: ([R,] w, n), for the representation before a layer.
    """

    def __init__(self, scratch: Float[Tensor, "*R w n"]) -> None:
        self._scratch = scratch
        self._moved: list[Tensor] = []
        self._sizes: list[Tensor] = []

    def before(self, running: Float[Tensor, "*R w n"]) -> None:
        """Record A_{l-1}."""
        self._scratch.copy_(running)

    def after(self, running: Float[Tensor, "*R w n"]) -> None:
        """Record A_l."""
        self._moved.append(torch.linalg.vector_norm(self._scratch.sub_(running), dim=(-2, -1)).reshape(-1))
        self._sizes.append(torch.linalg.vector_norm(running, dim=(-2, -1)).reshape(-1))

    def norms(self) -> tuple[Float[Tensor, "L R"], Float[Tensor, "L R"]]:
        """|A_l - A_{l-1}| and |A_l| for l = 1..L; float64 (L, R) each."""
        return torch.stack(self._moved).double(), torch.stack(self._sizes).double()


def forward_pass(
    weights: Sequence[Float[Tensor, "*R w w+1"]],
    states: Sequence[Float[Tensor, "*R w+1 n"]],
    running: Float[Tensor, "*R w n"],
    coefficients: Coefficients | RunCoefficients,
    movement: Movement | None = None,
) -> None:
    """Run the recursion in place: ``running`` goes from A_0 to A_L, and ``states[l]`` becomes S_l = [relu(A_l); 1].

    Args:
        weights: V_1 .. V_L, each ([R,] w, w + 1).
        states: S_0 .. S_{L-1}, each ([R,] w + 1, n), whose last row is one already.
        running: A_0, ([R,] w, n).
        coefficients: c and b.
        movement: records how far each layer moves.
    """
    width = running.shape[-2]
    product = Tensor.addmm_ if running.ndim == 2 else Tensor.baddbmm_
    even, skipless = coefficients.even, coefficients.skipless
    skips: Sequence[Any] = coefficients.skip
    for weight, state, skip, branch in zip(weights, states, skips, coefficients.branch, strict=True):
        torch.clamp_min(running, 0.0, out=state.narrow(-2, 0, width))
        if movement is not None:
            movement.before(running)
        if not even and not skipless:
            # the library compiles a kernel for each pair (alpha, beta) that it meets: a pair that changes costs more
            # than a pass over the array
            running.mul_(skip)
            skip = 1.0
        product(running, weight, state, beta=0.0 if skipless else skip, alpha=branch)
        if movement is not None:
            movement.after(running)


def backward_pass(
    weights: Sequence[Float[Tensor, "*R w w+1"]],
    states: Sequence[Float[Tensor, "*R w+1 n"]],
    gradient: Float[Tensor, "*R w n"],
    scratch: Float[Tensor, "*R w n"],
    weight_gradients: Sequence[Float[Tensor, "*R w w+1"]],
    coefficients: Coefficients | RunCoefficients,
    *,
    decay: Sequence[float],
    to_input: bool,
) -> None:
    """Back-propagate in place: ``gradient`` goes from dC/dA_L to dC/dA_0 (or stays at dC/dA_1).

    Args:
        weights: V_1 .. V_L, as in ``forward_pass``.
        states: S_0 .. S_{L-1}, as ``forward_pass`` left them.
        gradient: dC/dA_L, ([R,] w, n).
        scratch: of the same shape.
        weight_gradients: receive b_l (dC/dA_l) S_{l-1}^T + decay_l V_l, each ([R,] w, w + 1).
        coefficients: as in ``forward_pass``.
        decay: the penalty's gradient per unit of V_l; it costs nothing, being the product's own start value.
        to_input: whether dC/dA_0 is wanted.
    """
    width, mask_gradient = gradient.shape[-2], torch.ops.aten.threshold_backward.grad_input
    product: Any = torch.addmm if gradient.ndim == 2 else torch.baddbmm
    skips: Sequence[Any] = coefficients.skip
    for l in range(len(weights) - 1, -1, -1):
        weight, state, branch = weights[l], states[l], coefficients.branch[l]
        product(weight, gradient, state.mT, beta=decay[l], alpha=branch, out=weight_gradients[l])
        if l > 0 or to_input:
            product(scratch, weight.narrow(-1, 0, width).mT, gradient, beta=0.0, alpha=branch, out=scratch)
            mask_gradient(scratch, state.narrow(-2, 0, width), 0.0, grad_input=scratch)
            if coefficients.even:
                torch.add(scratch, gradient, alpha=skips[l], out=gradient)
            else:  # the same roundings for one run and for several
                gradient.mul_(skips[l]).add_(scratch)
