"""The recursion with its products in bfloat16.

Factors and results of a product have 8 significant bits; sums inside a product, and everything that is kept from layer
to layer, have 24. On processors with bfloat16 instructions such products run at about twice the float32 rate, and the
stored states take half the memory. The gradient is then exact to about 2^-8 of its size, not to round-off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor

from leakybench.baselines.networks.recursion import Coefficients, Movement, RunCoefficients


def forward_pass(
    weights: Sequence[BFloat16[Tensor, "*R w w+1"]],
    states: Sequence[BFloat16[Tensor, "*R w+1 n"]],
    running: Float[Tensor, "*R w n"],
    update: BFloat16[Tensor, "*R w n"],
    coefficients: Coefficients | RunCoefficients,
    movement: Movement | None = None,
) -> None:
    """As ``recursion.forward_pass`` for U_l = b_l V_l.

    Args:
        weights: U_1 .. U_L, each ([R,] w, w + 1), in bfloat16.
        states: S_0 .. S_{L-1}, each ([R,] w + 1, n), in bfloat16.
        running: A_0, ([R,] w, n), in float32; A_L afterwards.
        update: ([R,] w, n), in bfloat16.
        coefficients: c.
        movement: records how far each layer moves.
    """
    width = running.shape[-2]
    product: Any = torch.mm if running.ndim == 2 else torch.bmm
    skips: Sequence[Any] = coefficients.skip
    for weight, state, skip in zip(weights, states, skips, strict=True):
        state[..., :width, :].copy_(running).clamp_min_(0.0)
        product(weight, state, out=update)
        if movement is not None:
            movement.before(running)
        running.mul_(skip).add_(update)
        if movement is not None:
            movement.after(running)


def backward_pass(
    weights: Sequence[BFloat16[Tensor, "*R w w+1"]],
    states: Sequence[BFloat16[Tensor, "*R w+1 n"]],
    gradient: Float[Tensor, "*R w n"],
    rounded_gradient: BFloat16[Tensor, "*R w n"],
    update: BFloat16[Tensor, "*R w n"],
    weight_gradients: Sequence[BFloat16[Tensor, "*R w w+1"]],
    coefficients: Coefficients | RunCoefficients,
    *,
    to_input: bool,
) -> None:
    """As ``recursion.backward_pass`` for U_l = b_l V_l and without decay.

    Args:
        weights: U_1 .. U_L, as in ``forward_pass``.
        states: S_0 .. S_{L-1}, as ``forward_pass`` left them.
        gradient: dC/dA_L, ([R,] w, n), in float32; dC/dA_0 or dC/dA_1 afterwards.
        rounded_gradient: ([R,] w, n), in bfloat16.
        update: ([R,] w, n), in bfloat16.
        weight_gradients: receive dC/dU_l, each ([R,] w, w + 1), in bfloat16.
        coefficients: c.
        to_input: whether dC/dA_0 is wanted.
    """
    width = gradient.shape[-2]
    product: Any = torch.mm if gradient.ndim == 2 else torch.bmm
    for l in range(len(weights) - 1, -1, -1):
        state = states[l]
        rounded_gradient.copy_(gradient)
        product(rounded_gradient, state.mT, out=weight_gradients[l])
        if l > 0 or to_input:
            product(weights[l][..., :width].mT, rounded_gradient, out=update)
            torch.ops.aten.threshold_backward.grad_input(update, state[..., :width, :], 0.0, grad_input=update)
            gradient.mul_(coefficients.skip[l]).add_(update)
