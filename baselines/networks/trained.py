"""A trained network, with its predictions and its path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from leakybench.baseline import FitReport, Representations
from leakybench.baselines.networks.recursion import Coefficients
from leakybench.baselines.networks.steps import positions
from leakybench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A trained network of the three families. Weights are on the CPU; methods take and return rows as samples.

    Attributes:
        weights: V = W / max(Lt, 1), (L, w, w + 1), float32 or float64.
        embedding: E, (w, d_in).
        readout: D, (d_out, w).
        coefficients: c, b and rho at the final step-sizes.
        penalty: lambda of the loss C + lambda/(2 max(Lt, 1)) sum rho_l |W_l|^2.
        report: of the training.
        device: where predictions and paths are computed.
    """

    weights: Tensor
    embedding: Tensor
    readout: Tensor
    coefficients: Coefficients
    penalty: float
    report: FitReport
    device: str = "cpu"

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions f(X), (n, d_out), for inputs (n, d_in), in the precision of the weights."""
        embedding, readout, weights = (each.to(self.device) for each in (self.embedding, self.readout, self.weights))
        running = embedding @ torch.from_numpy(self._checked(inputs)).to(weights).mT
        for weight, skip, branch in zip(weights, self.coefficients.skip, self.coefficients.branch, strict=True):
            update = torch.addmm(weight[:, -1:], weight[:, :-1], running.clamp_min(0.0))
            running = torch.add(update.mul_(branch), running, alpha=skip)
        return (readout @ running).mT.contiguous().cpu().numpy()

    def jacobians(self, inputs: np.ndarray) -> np.ndarray:
        """Jacobians df/dx at inputs (n, d_in), (n, d_out, d_in), exact and in float64, by differentiating backward."""
        weights, c = self.weights.to(self.device, torch.float64), self.coefficients
        running = self.embedding.to(weights) @ torch.from_numpy(self._checked(inputs)).to(weights).mT
        masks = []
        for weight, skip, branch in zip(weights, c.skip, c.branch, strict=True):
            masks.append((running > 0.0).mT)
            update = torch.addmm(weight[:, -1:], weight[:, :-1], running.clamp_min(0.0))
            running = torch.add(update.mul_(branch), running, alpha=skip)
        # one row for each sample and output: the cotangent of that output
        rows = self.readout.to(weights).expand(running.shape[1], -1, -1)
        for l in range(c.depth - 1, -1, -1):
            rows = torch.add((rows @ weights[l, :, :-1]).mul_(masks[l][:, None] * c.branch[l]), rows, alpha=c.skip[l])
        return (rows @ self.embedding.to(weights)).cpu().numpy()

    def representations(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> Representations:
        """The path of ``inputs`` (n, d_in) in float64; with ``targets`` (n, d_out) also the momenta."""
        weights, c = self.weights.to(self.device, torch.float64), self.coefficients
        running = self.embedding.to(weights) @ torch.from_numpy(self._checked(inputs)).to(weights).mT
        path = [running]
        for weight, skip, branch in zip(weights, c.skip, c.branch, strict=True):
            update = torch.addmm(weight[:, -1:], weight[:, :-1], running.clamp_min(0.0))
            running = torch.add(update.mul_(branch), running, alpha=skip)
            path.append(running)
        momenta = None if targets is None else self._momenta(path, weights, torch.from_numpy(targets).to(weights).mT)
        return Representations(
            activations=_rows(path),
            positions=positions(np.asarray(c.step_sizes)),
            step_sizes=np.asarray(c.step_sizes),
            effective_depth=c.effective_depth,
            weights=(weights * c.scale).cpu().numpy(),
            momenta=momenta,
            penalty=self.penalty,
        )

    def _momenta(self, path: list[Tensor], weights: Tensor, targets: Tensor) -> np.ndarray:
        """B_l = -(1/lambda) dC/dA_l for l = 0..L by back-propagation, (L + 1, n, w)."""
        readout, c = self.readout.to(weights), self.coefficients
        gradient = readout.mT @ (readout @ path[-1] - targets) * (2.0 / targets.numel())
        gradients = [gradient]
        for l in range(c.depth - 1, -1, -1):
            back = (weights[l, :, :-1].mT @ gradient) * (path[l] > 0)
            gradient = c.skip[l] * gradient + c.branch[l] * back
            gradients.append(gradient)
        return _rows([gradient / -self.penalty for gradient in reversed(gradients)])

    def _checked(self, inputs: np.ndarray) -> np.ndarray:
        expected = self.embedding.shape[1]
        if not isinstance(inputs, np.ndarray) or inputs.ndim != 2 or inputs.shape[1] != expected:
            shape = getattr(inputs, "shape", type(inputs).__name__)
            raise UsageError(f"inputs must be an (n, {expected}) array, got {shape}")
        return inputs


def _rows(columns: list[Tensor]) -> np.ndarray:
    return torch.stack([array.mT for array in columns]).contiguous().cpu().numpy()
