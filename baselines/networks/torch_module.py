"""The hidden layers of the three families as a ``torch.nn.Module``, for networks that users build and train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leakybench.baselines.networks.initial import signal_preserving
from leakybench.baselines.networks.recursion import Coefficients, backward_pass, forward_pass
from leakybench.errors import UsageError


class _Recursion(torch.autograd.Function):
    """The recursion as one node of the autograd graph, with memory for each call, so that graphs may overlap."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, coefficients: Coefficients) -> Tensor:
        depth, width = weight.shape[0], weight.shape[1]
        states = inputs.new_empty(depth, width + 1, inputs.shape[1])
        states[:, width].fill_(1.0)
        running = inputs.clone(memory_format=torch.contiguous_format)
        forward_pass(weight.unbind(0), states.unbind(0), running, coefficients)
        ctx.coefficients = coefficients
        ctx.save_for_backward(weight, states)
        return running

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor, None]:
        weight, states = ctx.saved_tensors
        gradient = grad_output.clone(memory_format=torch.contiguous_format)
        weight_gradient = torch.empty_like(weight)
        backward_pass(
            weight.unbind(0),
            states.unbind(0),
            gradient,
            torch.empty_like(gradient),
            weight_gradient.unbind(0),
            ctx.coefficients,
            decay=[0.0] * weight.shape[0],
            to_input=ctx.needs_input_grad[0],
        )
        return gradient if ctx.needs_input_grad[0] else None, weight_gradient, None


class LeakyRecursion(torch.nn.Module):
    """The hidden layers of a leaky residual network: (n, w) -> (n, w).

    Args:
        width: w.
        step_sizes: rho, (L,); kept as a buffer, so that it is in the state_dict.
        effective_depth: Lt; 0 gives a ResNet, None a fully-connected network.
        generator: of the initial weights, see ``leakybench.baselines.networks.initial.signal_preserving``.
        dtype: of the one parameter ``weight`` (L, w, w + 1), which is V = W / max(Lt, 1), the bias in the last column.
        device: of the parameter.
    """

    step_sizes: Tensor

    def __init__(
        self,
        width: int,
        step_sizes: Sequence[float] | np.ndarray,
        effective_depth: float | None,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.effective_depth = effective_depth
        rho = torch.from_numpy(np.array(step_sizes, dtype=np.float64))
        self.register_buffer("step_sizes", rho)
        initial = signal_preserving(self.coefficients, width, generator=generator)
        self.weight = torch.nn.Parameter(initial.to(dtype=dtype, device=device))

    @property
    def coefficients(self) -> Coefficients:
        """c, b and scale at the present step-sizes."""
        return Coefficients.of(self.step_sizes.tolist(), self.effective_depth)

    def forward(self, inputs: Tensor) -> Tensor:
        """A_L (n, w) for A_0 (n, w)."""
        width = self.weight.shape[1]
        if inputs.ndim != 2 or inputs.shape[1] != width:
            raise UsageError(f"inputs must be (n, {width}), got {tuple(inputs.shape)}")
        return _Recursion.apply(inputs.mT, self.weight, self.coefficients).mT
