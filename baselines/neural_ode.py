"""Neural ODE: the leaky flow itself, with an adaptive solver in place of layers and step-sizes [JK24 section 1.1]."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from suite import seeding
from suite.baseline import FitReport, check_preset
from suite.errors import DivergedError, UsageError
from suite.registration import BaselineSpec
from suite.task import Split

if TYPE_CHECKING:
    from torch import Tensor

NAME = "NeuralODE"

STEPS = {"smoke": 25, "standard": 120, "converged": 600, "paper": 600}
"""Full-batch steps of Adam, by preset."""

RATE = 1e-2
TRAINING_TOLERANCE = 3e-3
"""Relative and absolute tolerance of the solver while training: the gradient is that of the steps it takes."""

PREDICTION_TOLERANCE = 1e-5
"""While predicting, of the worst entry instead of the root mean square: the rows of a batch share their steps, and a
prediction then depends on the other rows to about 1e-4."""


@dataclass(frozen=True, kw_only=True)
class NeuralODE:
    """dA/dp = -Lt A + S(A) W_p^T on p in [0, 1] with S(A) = [relu(A), 1]; dopri5 chooses the steps.

    W_p = Lt V_p, V_p piecewise linear in p between ``knots`` equally spaced matrices. Embedding and read-out are fixed
    and orthonormal, start and penalty lambda/(2 Lt) int |W_p|^2 dp are those of the Leaky ResNet, of which this is the
    limit of many layers: dopri5 [Dormand and Prince 1980] meets the adaptive rule on the same flow. There are no
    layers, so no representations: the record has error, Jacobian rank, wall-clock, evaluations of the right-hand side.

    Settings:
        effective_depth: Lt, above 0. width: w, at least the dimensions of inputs and targets. knots: at least 2.
        penalty: lambda; None for the rule of the networks.
    """

    effective_depth: float = 7.0
    width: int = 100
    knots: int = 8
    penalty: float | None = None
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        for name, low in (("width", 2), ("knots", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise UsageError(f"{name} must be an integer, at least {low}, got {value!r}")
        for name in ("effective_depth", "penalty"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not (number and value > 0) and not (name == "penalty" and value is None):
                raise UsageError(f"{name} must be a finite number above 0, got {value!r}")

    def fit(self, train: Split, *, seed: int, preset: str) -> SolvedFlow:
        """Train on inputs (n, d_in) and targets (n, d_out).

        Raises:
            UsageError: torchdiffeq is not installed, or a width below the dimensions. DivergedError: not finite.
        """
        check_preset(preset)
        _require_solver()
        import torch

        from baselines import initial
        from baselines.network import Coefficients
        from baselines.training import penalty_rule

        d_in, d_out = train.inputs.shape[1], train.targets.shape[1]
        if self.width < max(d_in, d_out):
            raise UsageError(f"width must be at least {max(d_in, d_out)} for {d_in} inputs and {d_out} outputs")
        draw = seeding.torch_generator(NAME, seed, "init")
        end = initial.mirrored if 2 * max(d_in, d_out) <= self.width else initial.orthonormal
        embedding = end(self.width, d_in, generator=draw).float()
        readout = end(self.width, d_out, generator=draw).float().mT.contiguous()
        # a discretisation with a knot a layer, whose share of the identity the start needs: V S = A
        like = Coefficients.of([1.0 / self.knots] * self.knots, 0.5 * self.knots)
        weights = initial.looks_linear(like, self.width, noise=0.2, generator=draw).float().requires_grad_()
        flow = Flow(self.effective_depth, weights)
        inputs = torch.from_numpy(train.inputs.copy()) @ embedding.mT
        targets = torch.from_numpy(train.targets.copy())
        strength = penalty_rule(self.effective_depth) if self.penalty is None else float(self.penalty)
        begun = time.perf_counter()
        with torch.no_grad():
            flow.solve(inputs[:2], TRAINING_TOLERANCE)  # the solver's own set-up
        warmup, flow.evaluations = time.perf_counter() - begun, 0
        curve = _train(flow, inputs, targets, readout, strength, STEPS[preset])
        values: dict[str, Any] = {
            "objective": curve[-1][1],
            "lambda": strength,
            "evaluations": STEPS[preset],
            "function_evaluations": flow.evaluations,
            "function_evaluations_per_pass": flow.evaluations / STEPS[preset],
            "curve": curve,
            "threads": torch.get_num_threads(),
            "warmup_seconds": warmup,
        }
        flow = Flow(self.effective_depth, weights.detach())
        solved = SolvedFlow(flow=flow, embedding=embedding, readout=readout, report=FitReport(values=values))
        solved.predict(train.inputs)
        values["function_evaluations_predict"] = flow.evaluations
        return solved


def _require_solver() -> None:
    import importlib.util

    if importlib.util.find_spec("torchdiffeq") is None:
        raise UsageError("NeuralODE-v0 needs torchdiffeq: pip install 'leakybench[ode]'")


def _train(
    flow: Flow, inputs: Tensor, targets: Tensor, readout: Tensor, strength: float, steps: int
) -> list[tuple[int, float]]:
    """Adam with a rate that falls to 0 along a cosine; returns (step, objective), some twenty of them."""
    import torch

    optimiser = torch.optim.Adam([flow.weights], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    curve = []
    for step in range(steps):
        optimiser.zero_grad()
        outputs = flow.solve(inputs, TRAINING_TOLERANCE) @ readout.mT
        loss = (outputs - targets).square().mean() + flow.penalty(strength)
        if not bool(torch.isfinite(loss)):
            raise DivergedError("the loss is not finite")
        loss.backward()
        torch.nn.utils.clip_grad_norm_([flow.weights], 1.0)
        optimiser.step()
        schedule.step()
        if step % max(steps // 20, 1) == 0 or step + 1 == steps:
            curve.append((step, float(loss.detach())))
    return curve


class Flow:
    """The right-hand side, which counts its evaluations.

    Args:
        effective_depth: Lt.
        weights: V at the knots, (K, w, w + 1).
    """

    def __init__(self, effective_depth: float, weights: Tensor) -> None:
        self.effective_depth, self.weights = effective_depth, weights
        self.evaluations = 0

    def __call__(self, place: Tensor, state: Tensor) -> Tensor:
        """dA/dp, (n, w), at p and A (n, w)."""
        import torch

        self.evaluations += 1
        last = len(self.weights) - 1
        at = min(max(float(place.detach()), 0.0), 1.0) * last
        left = min(int(at), last - 1)
        weight = torch.lerp(self.weights[left], self.weights[left + 1], at - left)
        branch = torch.addmm(weight[:, -1], state.clamp_min(0.0), weight[:, :-1].mT)
        return (branch - state) * self.effective_depth

    def solve(self, start: Tensor, tolerance: float, *, worst: bool = False) -> Tensor:
        """A_1 (n, w) for A_0 (n, w); ``worst``: the tolerance holds for the worst entry."""
        from torchdiffeq import odeint

        span = start.new_tensor([0.0, 1.0])
        options = {"norm": _largest} if worst else None
        return odeint(self, start, span, method="dopri5", rtol=tolerance, atol=tolerance, options=options)[-1]

    def penalty(self, strength: float) -> Tensor:
        """lambda/(2 max(Lt, 1)) int_0^1 |W_p|^2 dp, exact for a piecewise linear W: (h/3)(|a|^2 + <a, b> + |b|^2)."""
        ahead, behind = self.weights[1:], self.weights[:-1]
        total = (ahead.square() + ahead * behind + behind.square()).sum() / (3.0 * (len(self.weights) - 1))
        return total * (0.5 * strength * self.effective_depth**2 / max(self.effective_depth, 1.0))


def _largest(error: Tensor) -> Tensor:
    return error.abs().max()


@dataclass(frozen=True, kw_only=True)
class SolvedFlow:
    """A trained flow between its embedding E (w, d_in) and its read-out D (d_out, w)."""

    flow: Flow
    embedding: Tensor
    readout: Tensor
    report: FitReport

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in)."""
        import torch

        rows = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
        with torch.no_grad():
            starts = [part @ self.embedding.mT for part in rows.split(8192)]
            parts = [self.flow.solve(start, PREDICTION_TOLERANCE, worst=True) @ self.readout.mT for start in starts]
        return torch.cat(parts).numpy()
