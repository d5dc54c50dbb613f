"""Neural ODE: the leaky flow, with an adaptive solver instead of layers and step-sizes [JK24 section 1.1]."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.errors import DivergedError, UsageError
from leakybench.specs import BaselineSpec, is_number
from leakybench.task import Split

if TYPE_CHECKING:
    from torch import Tensor

NAME = "NeuralODE"

STEPS = {"smoke": 25, "standard": 120, "converged": 600, "paper": 600}
"""Full-batch steps of Adam, by preset."""

RATES = (3e-3, 1e-2, 3e-2)
"""Learning rates of Adam that are compared on held-out training rows."""

TRIAL = 0.15
"""Share of the steps that each rate is tested for, on four fifths of the rows: together 36% of the cost of the fit if
each step took as many evaluations."""

TRAINING_TOLERANCE = 3e-3
"""Relative and absolute tolerance of the solver while training; the gradient is that of the solver's own steps."""

PREDICTION_TOLERANCE = 1e-5
"""Tolerance while predicting, for the worst entry instead of the root mean square: the rows of a batch share their
steps, so that a prediction depends on the other rows, to about 1e-4."""


@dataclass(frozen=True, kw_only=True)
class NeuralODE:
    """dA/dp = -Lt A + S(A) W_p^T on p in [0, 1] with S(A) = [relu(A), 1]; dopri5 chooses the steps.

    W_p = Lt V_p, with V_p piecewise linear in p between ``knots`` equally spaced matrices. Embedding and read-out are
    fixed and orthonormal. The initial weights and the penalty lambda/(2 Lt) int |W_p|^2 dp are those of the Leaky
    ResNet, whose limit of many layers this is: dopri5 [Dormand and Prince 1980] is compared with the adaptive rule on
    the same flow. There are no layers, hence no representations: the record has error, Jacobian rank, wall-clock, and
    evaluations of the right-hand side.

    The learning rate of Adam is the one of ``RATES`` with the smallest error on a fifth of the training rows after the
    first 15% of the steps, at the schedule of the whole fit: a shorter schedule would favour large rates. The fit then
    starts again on all rows. Its wall-clock includes the choice; evaluations of the right-hand side are counted
    separately.

    Settings:
        effective_depth: Lt, above 0.
        width: w, at least the dimensions of inputs and targets.
        knots: number of matrices, at least 2.
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
            if not (is_number(value) and value > 0) and not (name == "penalty" and value is None):
                raise UsageError(f"{name} must be a finite number above 0, got {value!r}")

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``."""
        return {
            "effective_depth": {"low": 0.5, "high": 15.0, "log": True},
            "knots": [4, 8, 16],
            "penalty": {"low": 3e-4, "high": 3e-2, "log": True},
        }

    def fit(self, train: Split, *, seed: int, preset: str) -> SolvedFlow:
        """Train on inputs (n, d_in) and targets (n, d_out).

        Raises:
            UsageError: torchdiffeq is not installed, or the width is below a dimension of the data.
            DivergedError: the loss is not finite.
        """
        check_preset(preset)
        _require_solver()
        import torch

        from leakybench.baselines.networks import initial
        from leakybench.baselines.networks.recursion import Coefficients
        from leakybench.baselines.networks.settings import penalty_rule

        d_in, d_out = train.inputs.shape[1], train.targets.shape[1]
        if self.width < max(d_in, d_out):
            raise UsageError(f"width must be at least {max(d_in, d_out)} for {d_in} inputs and {d_out} outputs")
        draw = seeding.torch_generator(NAME, seed, "init")
        end = initial.mirrored if 2 * max(d_in, d_out) <= self.width else initial.orthonormal
        embedding = end(self.width, d_in, generator=draw).float()
        readout = end(self.width, d_out, generator=draw).float().mT.contiguous()
        # a discretisation with one layer for each knot, whose initial weights satisfy V S = A
        like = Coefficients.of([1.0 / self.knots] * self.knots, 0.5 * self.knots)
        weights = initial.looks_linear(like, self.width, noise=0.2, generator=draw).float()
        data = Data(torch.from_numpy(train.inputs.copy()) @ embedding.mT, torch.from_numpy(train.targets.copy()))
        strength = penalty_rule(self.effective_depth) if self.penalty is None else float(self.penalty)
        begun = time.perf_counter()
        with torch.no_grad():
            Flow(self.effective_depth, weights).solve(data.starts[:2], TRAINING_TOLERANCE)  # the solver's own set-up
        warmup = time.perf_counter() - begun
        training = _Training(self.effective_depth, weights, readout, strength, STEPS[preset])
        order = torch.from_numpy(seeding.generator(NAME, seed, "validation").permutation(len(train.inputs)))
        tuned = _tune(training, data, order)
        flow, curve = training.run(data, tuned["rate"])
        values: dict[str, Any] = {
            "objective": curve[-1][1],
            "lambda": strength,
            "evaluations": STEPS[preset],
            "function_evaluations": flow.evaluations,
            "function_evaluations_per_pass": flow.evaluations / STEPS[preset],
            **tuned,
            "curve": curve,
            "threads": torch.get_num_threads(),
            "warmup_seconds": warmup,
        }
        flow = Flow(self.effective_depth, flow.weights.detach())
        solved = SolvedFlow(flow=flow, embedding=embedding, readout=readout, report=FitReport(values=values))
        solved.predict(train.inputs)
        values["function_evaluations_predict"] = flow.evaluations
        return solved


def _require_solver() -> None:
    import importlib.util

    if importlib.util.find_spec("torchdiffeq") is None:
        raise UsageError("NeuralODE-v0 needs torchdiffeq: pip install '.[ode]' in the checkout of leakybench")


class Data(NamedTuple):
    """Embedded inputs A_0 (n, w) and targets (n, d_out)."""

    starts: Tensor
    targets: Tensor

    def rows(self, chosen: Tensor) -> Data:
        """The rows with these numbers, (m,)."""
        return Data(self.starts[chosen], self.targets[chosen])


@dataclass(frozen=True)
class _Training:
    """Adam with a learning rate that falls to 0 along a cosine.

    Attributes:
        effective_depth: Lt.
        start: initial V at the knots, (K, w, w + 1), the same at each run.
        readout: D, (d_out, w).
        strength: lambda.
        steps: of the whole schedule.
    """

    effective_depth: float
    start: Tensor
    readout: Tensor
    strength: float
    steps: int

    def run(self, data: Data, rate: float, *, stop: int | None = None) -> tuple[Flow, list[tuple[int, float]]]:
        """The flow after ``stop`` of the steps (None: all), and its curve: about twenty pairs (step, objective).

        Raises:
            DivergedError: the loss is not finite.
        """
        import torch

        flow = Flow(self.effective_depth, self.start.clone().requires_grad_())
        optimiser = torch.optim.Adam([flow.weights], lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        curve, last = [], (self.steps if stop is None else stop) - 1
        for step in range(last + 1):
            optimiser.zero_grad()
            loss = flow.squared_error(data, self.readout) + flow.penalty(self.strength)
            if not bool(torch.isfinite(loss)):
                raise DivergedError("the loss is not finite")
            loss.backward()
            torch.nn.utils.clip_grad_norm_([flow.weights], 1.0)
            optimiser.step()
            schedule.step()
            if step % max(self.steps // 20, 1) == 0 or step == last:
                curve.append((step, float(loss.detach())))
        return flow, curve


def _tune(training: _Training, data: Data, order: Tensor) -> dict[str, Any]:
    """The rate with the smallest squared error on the first fifth of ``order`` (n,), and the cost of the choice.

    A rate that diverges has no error (None). If all diverge, the smallest is used, and the fit reports it.
    """
    import torch

    held_out, rest = data.rows(order[: max(len(order) // 5, 1)]), data.rows(order[max(len(order) // 5, 1) :])
    stop = max(round(TRIAL * training.steps), 1)
    begun, evaluations = time.perf_counter(), 0
    errors: dict[float, float | None] = dict.fromkeys(RATES)
    for rate in RATES:
        try:
            flow, _ = training.run(rest, rate, stop=stop)
            with torch.no_grad():
                error = float(flow.squared_error(held_out, training.readout))
        except DivergedError:
            continue
        errors[rate] = error if math.isfinite(error) else None
        evaluations += flow.evaluations
    known = {rate: error for rate, error in errors.items() if error is not None}
    rate = min(known, key=lambda rate: known[rate]) if known else min(RATES)
    return {
        "rate": rate,
        "held_out": {f"{rate:g}": error for rate, error in errors.items()},
        "evaluations_tuning": stop * len(RATES),
        "function_evaluations_tuning": evaluations,
        "seconds_tuning": time.perf_counter() - begun,
    }


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
        """dA/dp, (n, w), at the place p and the state A (n, w)."""
        import torch

        self.evaluations += 1
        last = len(self.weights) - 1
        at = min(max(float(place.detach()), 0.0), 1.0) * last
        left = min(int(at), last - 1)
        weight = torch.lerp(self.weights[left], self.weights[left + 1], at - left)
        branch = torch.addmm(weight[:, -1], state.clamp_min(0.0), weight[:, :-1].mT)
        return (branch - state) * self.effective_depth

    def solve(self, start: Tensor, tolerance: float, *, worst: bool = False) -> Tensor:
        """The state at p = 1, (n, w), for that at p = 0, (n, w); ``worst``: the tolerance holds for the worst entry.

        Raises:
            DivergedError: the solver finds no step that is small enough, or leaves the finite numbers.
        """
        from torchdiffeq import odeint

        span = start.new_tensor([0.0, 1.0])
        options = {"norm": _largest} if worst else None
        try:
            return odeint(self, start, span, method="dopri5", rtol=tolerance, atol=tolerance, options=options)[-1]
        except AssertionError as error:  # torchdiffeq reports failure by assertions
            raise DivergedError(f"dopri5 stops: {str(error)[:60]}") from None

    def squared_error(self, data: Data, readout: Tensor) -> Tensor:
        """The mean squared error at the tolerance of training; ``readout`` (d_out, w)."""
        return (self.solve(data.starts, TRAINING_TOLERANCE) @ readout.mT - data.targets).square().mean()

    def penalty(self, strength: float) -> Tensor:
        """lambda/(2 max(Lt, 1)) int_0^1 |W_p|^2 dp, exact for a piecewise linear W: (h/3)(|a|^2 + <a, b> + |b|^2)."""
        ahead, behind = self.weights[1:], self.weights[:-1]
        total = (ahead.square() + ahead * behind + behind.square()).sum() / (3.0 * (len(self.weights) - 1))
        return total * (0.5 * strength * self.effective_depth**2 / max(self.effective_depth, 1.0))


def _largest(error: Tensor) -> Tensor:
    return error.abs().max()


@dataclass(frozen=True, kw_only=True)
class SolvedFlow:
    """A trained flow between embedding and read-out.

    Attributes:
        flow: the right-hand side.
        embedding: E, (w, d_in).
        readout: D, (d_out, w).
        report: of the training.
    """

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
