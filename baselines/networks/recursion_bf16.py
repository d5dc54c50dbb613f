"""The recursion with its products in bfloat16: factors and results have 8 bits, sums inside a product and everything
that is kept from layer to layer 24.

On processors with bfloat16 instructions such products run at about twice the float32 rate and the stored states take
half the memory. The gradient is then exact to about 2^-8 of its size, not to round-off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leakybench.baselines.networks.recursion import Coefficients, Movement


class RoundedBuffers:
    """What rounded products need beside a workspace.

    Attributes:
        weights, weight_gradients: of U_l = b_l V_l, (R, L, w, w + 1) in bfloat16.
        update, gradient: ([R,] w, n) in bfloat16.
    """

    def __init__(self, depth: int, runs: int, width: int, samples: int, device: torch.device) -> None:
        def empty(*shape: int) -> Tensor:
            return torch.empty(*shape, dtype=torch.bfloat16, device=device)

        self.weights = empty(runs, depth, width, width + 1)
        self.weight_gradients = torch.empty_like(self.weights)
        shape = (width, samples) if runs == 1 else (runs, width, samples)
        self.update, self.gradient = empty(*shape), empty(*shape)


def forward_pass(
    weights: Sequence[Tensor],
    states: Sequence[Tensor],
    running: Tensor,
    update: Tensor,
    coefficients: Coefficients,
    movement: Movement | None = None,
) -> None:
    """As :func:`leakybench.baselines.networks.recursion.forward_pass` for U_l = b_l V_l.

    Args:
        weights: U_1 .. U_L, ([R,] w, w + 1), and states: S_0 .. S_{L-1}, ([R,] w + 1, n), in bfloat16.
        running: A_0, ([R,] w, n), in float32; A_L afterwards.
        update: ([R,] w, n) in bfloat16.
        coefficients: c.
        movement: takes notes.
    """
    width = running.shape[-2]
    product: Any = torch.mm if running.ndim == 2 else torch.bmm
    for weight, state, skip in zip(weights, states, coefficients.skip, strict=True):
        state[..., :width, :].copy_(running).clamp_min_(0.0)
        product(weight, state, out=update)
        if movement is not None:
            movement.before(running)
        running.mul_(skip).add_(update)
        if movement is not None:
            movement.after(running)


def backward_pass(
    weights: Sequence[Tensor],
    states: Sequence[Tensor],
    gradient: Tensor,
    rounded: Tensor,
    update: Tensor,
    weight_gradients: Sequence[Tensor],
    coefficients: Coefficients,
    *,
    to_input: bool,
) -> None:
    """As :func:`leakybench.baselines.networks.recursion.backward_pass` for U_l = b_l V_l and without decay.

    Args:
        weights, states, update, coefficients: as in :func:`forward_pass`, after it has run.
        gradient: dC/dA_L, ([R,] w, n), in float32; dC/dA_0 or dC/dA_1 afterwards.
        rounded: of that shape, in bfloat16.
        weight_gradients: receive dC/dU_l, ([R,] w, w + 1), in bfloat16.
        to_input: whether dC/dA_0 is wanted.
    """
    width = gradient.shape[-2]
    product: Any = torch.mm if gradient.ndim == 2 else torch.bmm
    for l in range(len(weights) - 1, -1, -1):
        state = states[l]
        rounded.copy_(gradient)
        product(rounded, state.mT, out=weight_gradients[l])
        if l > 0 or to_input:
            product(weights[l][..., :width].mT, rounded, out=update)
            torch.ops.aten.threshold_backward.grad_input(update, state[..., :width, :], 0.0, grad_input=update)
            gradient.mul_(coefficients.skip[l]).add_(update)
