"""The two kernels of the recursion, with one interface: products in the precision of the data, or in bfloat16.

A kernel owns the preallocated memory of R networks of one shape on one data set, and runs the recursion forward and
backward in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from leakybench.baselines.networks import recursion, recursion_bf16
from leakybench.baselines.networks.recursion import Coefficients, Movement, RunCoefficients, layers


class RecursionKernel(ABC):
    """Memory and passes of the recursion in one precision of the products.

    Args:
        depth: L.
        runs: R.
        width: w.
        samples: n.
        dtype: precision of what is kept from layer to layer.
        device: where the memory lies.

    Attributes:
        states: S_0 .. S_{L-1} with their row of ones, (R, L, w + 1, n): all that the backward pass needs, and nearly
            all the memory.
        state_layers: the same, a view for each layer, ([R,] w + 1, n).
        running: A_0 before ``forward`` and A_L after it, ([R,] w, n).
        gradient: dC/dA_L before ``backward`` and dC/dA_0 after it, ([R,] w, n).
        scratch: ([R,] w, n).
    """

    states_dtype: ClassVar[torch.dtype | None] = None
    """Precision of the states; None for that of the data."""

    def __init__(
        self, depth: int, runs: int, width: int, samples: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.states = torch.empty(
            runs, depth, width + 1, samples, dtype=self.states_dtype or dtype, device=device
        )  # fmt: skip
        self.states[:, :, width].fill_(1.0)
        self.state_layers = layers(self.states)
        shape = (width, samples) if runs == 1 else (runs, width, samples)
        self.running = torch.empty(shape, dtype=dtype, device=device)
        self.gradient, self.scratch = torch.empty_like(self.running), torch.empty_like(self.running)

    def set_coefficients(self, runs: Sequence[Coefficients]) -> None:
        """Change the step-sizes, given for each run or once for all; the depth stays."""
        # one for all where they agree, so that a run in a batch is computed as the run alone
        first = runs[0]
        shared = all(run == first for run in runs)
        self.coefficients = first if shared else RunCoefficients.of(runs, self.running)
        branches = [run.branch for run in (runs[:1] if shared else runs)]
        self.branch = self.running.new_tensor(branches)[:, :, None, None]

    @abstractmethod
    def forward(self, weights: Float[Tensor, "R L w w+1"], movement: Movement | None = None) -> None:
        """Run the recursion with V: ``running`` goes from A_0 to A_L, and ``states`` receive S_0 .. S_{L-1}."""

    @abstractmethod
    def backward(
        self,
        weights: Float[Tensor, "R L w w+1"],
        out: Float[Tensor, "R L w w+1"],
        *,
        decay: Tensor,
        to_input: bool,
    ) -> None:
        """Back-propagate ``gradient``, right after ``forward`` with the same V.

        Args:
            weights: V.
            out: receives dC/dV_l + decay_l V_l.
            decay: the penalty's gradient per unit of V_l, float64 (L,), or (R, L) where step-sizes differ.
            to_input: whether ``gradient`` is wanted as dC/dA_0.
        """

    def add_decay(self, out: Tensor, weights: Tensor, decay: Tensor) -> None:
        """Add decay_l V_l to ``out`` in a pass of its own."""
        out.addcmul_(weights, decay.to(out)[..., None, None])


class DataPrecisionKernel(RecursionKernel):
    """Products in the precision of the data.

    Under uniform step-sizes the products run on V itself, with b and c as their factors. Otherwise they run on
    U_l = b_l V_l, since the library compiles a kernel for each pair of factors (see ``recursion.forward_pass``).
    """

    def forward(self, weights: Tensor, movement: Movement | None = None) -> None:
        """As declared by ``RecursionKernel``."""
        coefficients = self.coefficients
        if coefficients.even:
            self._factors = layers(weights)
        else:
            self._factors = layers(weights * self.branch)
            coefficients = coefficients.absorbed() if isinstance(coefficients, Coefficients) else coefficients
        self._used = coefficients
        recursion.forward_pass(self._factors, self.state_layers, self.running, self._used, movement)

    def backward(self, weights: Tensor, out: Tensor, *, decay: Tensor, to_input: bool) -> None:
        """As declared by ``RecursionKernel``."""
        even = self.coefficients.even
        recursion.backward_pass(
            self._factors,
            self.state_layers,
            self.gradient,
            self.scratch,
            layers(out),
            self._used,
            decay=decay.tolist() if even else [0.0] * len(self._factors),
            to_input=to_input,
        )
        if not even:
            out.mul_(self.branch)
            self.add_decay(out, weights, decay)


class Bfloat16Kernel(RecursionKernel):
    """Products of U_l = b_l V_l in bfloat16, with the states in bfloat16 too; see ``recursion_bf16``."""

    states_dtype = torch.bfloat16

    def __init__(
        self, depth: int, runs: int, width: int, samples: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(depth, runs, width, samples, dtype=dtype, device=device)
        self._factors = torch.empty(runs, depth, width, width + 1, dtype=torch.bfloat16, device=device)
        self._factor_gradients = torch.empty_like(self._factors)
        self._update = torch.empty_like(self.running, dtype=torch.bfloat16)
        self._rounded_gradient = torch.empty_like(self._update)

    def forward(self, weights: Tensor, movement: Movement | None = None) -> None:
        """As declared by ``RecursionKernel``."""
        torch.mul(weights, self.branch, out=self._factors)
        recursion_bf16.forward_pass(
            layers(self._factors), self.state_layers, self.running, self._update, self.coefficients, movement
        )

    def backward(self, weights: Tensor, out: Tensor, *, decay: Tensor, to_input: bool) -> None:
        """As declared by ``RecursionKernel``."""
        recursion_bf16.backward_pass(
            layers(self._factors),
            self.state_layers,
            self.gradient,
            self._rounded_gradient,
            self._update,
            layers(self._factor_gradients),
            self.coefficients,
            to_input=to_input,
        )
        torch.mul(self._factor_gradients, self.branch, out=out)
        self.add_decay(out, weights, decay)


def make_kernel(
    products: torch.dtype | None,
    coefficients: Sequence[Coefficients],
    runs: int,
    width: int,
    samples: int,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> RecursionKernel:
    """The kernel for products in torch.bfloat16, or in the precision of the data where ``products`` is None."""
    kind = DataPrecisionKernel if products is None else Bfloat16Kernel
    kernel = kind(coefficients[0].depth, runs, width, samples, dtype=dtype, device=device)
    kernel.set_coefficients(coefficients)
    return kernel
